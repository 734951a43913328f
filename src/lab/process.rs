//! Programs that a laboratory starts and stops.

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program in its own process group, stopped when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command with its output appended to `log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let errors = file.try_clone()?;
        let child = command.process_group(0).stdin(Stdio::null()).stdout(file).stderr(errors).spawn();
        let child =
            child.with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
        Ok(Self { child, log: log.to_path_buf() })
    }

    /// Its process ID.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Kills it at once, without a chance to clean up, as a crash would.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// Sends it a signal.
    pub fn send(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // It may have ended in the meantime; the caller sees that by `is_alive`.
            let _ = kill_process(pid, signal);
        }
    }

    /// Asks it to end as Ctrl-C does.
    pub fn interrupt(&self) {
        self.send(Signal::INT);
    }

    /// Asks it to stop, and kills it and what it started after five seconds.
    pub fn stop(&mut self) {
        if !self.is_alive() {
            return;
        }
        self.signal(Signal::TERM);
        let end = Instant::now() + Duration::from_secs(5);
        while self.is_alive() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        if self.is_alive() {
            self.kill();
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.pid() {
            // The group may have ended in the meantime.
            let _ = kill_process_group(group, signal);
        }
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}
