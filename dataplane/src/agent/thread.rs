//! What the kernel says of a thread of this process.

use std::time::Duration;

/// As `/proc/self/task/*/stat` has it (proc_pid_stat(5)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ThreadState {
    /// What it does now.
    pub activity: Activity,
    /// CPU time it has had since it began; in steps of some 10 ms.
    pub cpu: Duration,
}

/// What a thread does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activity {
    /// It runs, or would if it had a CPU.
    Runs,
    /// It waits in the kernel.
    Waits,
    /// A signal or a debugger stopped it.
    Stopped,
}

impl ThreadState {
    /// Of the thread with the kernel's number `thread`; `None` if it is gone, or that cannot be read.
    #[must_use]
    pub fn read(thread: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).ok()?;
        Self::parse(&stat, rustix::param::clock_ticks_per_second())
    }

    fn parse(stat: &str, ticks_per_second: u64) -> Option<Self> {
        // The name, in brackets, may hold anything; state is the third field of all, utime the 14th.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let activity = match fields.next()? {
            "R" => Activity::Runs,
            "T" | "t" => Activity::Stopped,
            _ => Activity::Waits,
        };
        let mut ticks = fields.skip(10).map(str::parse::<u64>);
        let ticks = ticks.next()?.ok()? + ticks.next()?.ok()?;
        Some(Self { activity, cpu: Duration::from_millis(ticks * 1000 / ticks_per_second.max(1)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let stat = "4711 (a) R (b) S 1 4711 4711 0 -1 4194560 120 0 1 0 250 50 0 0 20 0 3 0 1000 1 2\n";
        let state = ThreadState::parse(stat, 100).unwrap();
        assert_eq!(state, ThreadState { activity: Activity::Waits, cpu: Duration::from_secs(3) });
        assert_eq!(ThreadState::parse("4711 (a) R 1 4711", 100), None);
        assert_eq!(ThreadState::parse("", 100), None);
    }

    #[test]
    fn this_thread_runs() {
        let this = rustix::thread::gettid().as_raw_pid();
        assert_eq!(ThreadState::read(this).unwrap().activity, Activity::Runs);
        assert_eq!(ThreadState::read(i32::MAX), None);
    }
}
