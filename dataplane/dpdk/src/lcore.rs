//! EAL's threads: which CPUs they run on, and how a closure is run on one.

use std::any::Any;
use std::ffi::{c_int, c_void};
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;

/// On which CPUs the main lcore (the agent) and the worker lcores run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LcorePlan {
    /// CPUs of lcore 0, the main lcore, then of each worker.
    lcores: Vec<Vec<usize>>,
}

impl LcorePlan {
    /// One lcore on each CPU: the first is the main lcore, the others are workers.
    #[must_use]
    pub fn pinned(main: usize, workers: &[usize]) -> Self {
        let lcores = std::iter::once(main).chain(workers.iter().copied()).map(|cpu| vec![cpu]).collect();
        Self { lcores }
    }

    /// The main lcore and `workers` workers, all free to move over `cpus`.
    #[must_use]
    pub fn floating(workers: usize, cpus: &[usize]) -> Self {
        Self { lcores: vec![cpus.to_vec(); workers + 1] }
    }

    /// Pins each lcore to a CPU of its own where `cpus` has `workers + 1`, else lets all of them float:
    /// pinned together, pollers that only spin would starve each other.
    #[must_use]
    pub fn fitting(workers: usize, cpus: &[usize]) -> Self {
        match cpus.split_first() {
            Some((main, rest)) if rest.len() >= workers => Self::pinned(*main, &rest[..workers]),
            _ => Self::floating(workers, cpus),
        }
    }

    /// [`LcorePlan::fitting`] over the CPUs that this process may use.
    #[must_use]
    pub fn automatic(workers: usize) -> Self {
        Self::fitting(workers, &allowed_cpus())
    }

    /// Workers, not counting the main lcore.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.lcores.len().saturating_sub(1)
    }

    /// True when lcores share CPUs: workers must sleep when idle.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        let mut seen = Vec::new();
        self.lcores.iter().flatten().any(|cpu| {
            let again = seen.contains(cpu);
            seen.push(*cpu);
            again
        })
    }

    /// The value of EAL's `--lcores`; none when a CPU list is empty or there are too many lcores.
    pub(crate) fn argument(&self) -> Option<String> {
        if self.lcores.is_empty()
            || self.lcores.len() > dpdk_sys::SHIM_MAX_LCORE as usize
            || self.lcores.iter().any(Vec::is_empty)
        {
            return None;
        }
        let mut argument = String::new();
        for (lcore, cpus) in self.lcores.iter().enumerate() {
            let cpus: Vec<String> = cpus.iter().map(usize::to_string).collect();
            let separator = if lcore == 0 { "" } else { "," };
            // Writing to a String does not fail.
            let _ = write!(argument, "{separator}{lcore}@({})", cpus.join(","));
        }
        Some(argument)
    }
}

/// The CPUs this thread may run on, by `sched_getaffinity`; CPU 0 where that cannot be read.
fn allowed_cpus() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return vec![0] };
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
}

/// The EAL lcore this thread is; none for a thread that EAL does not know.
#[must_use]
pub fn current_lcore() -> Option<u32> {
    // SAFETY: reads a thread-local integer.
    let id = unsafe { dpdk_sys::shim_lcore_id() };
    (id < dpdk_sys::SHIM_MAX_LCORE).then_some(id)
}

/// An idle worker lcore. Having it is the right to run something on it.
#[derive(Debug, PartialEq, Eq)]
pub struct Lcore {
    id: u32,
}

impl Lcore {
    /// Every worker lcore of this process. Call once: [`crate::Eal`] does.
    pub(crate) fn all() -> Vec<Self> {
        let mut workers = Vec::new();
        let mut id = u32::MAX;
        loop {
            // SAFETY: EAL is up; reads its configuration. Starting from -1 gives the first worker.
            id = unsafe { dpdk_sys::rte_get_next_lcore(id, 1, 0) };
            if id >= dpdk_sys::SHIM_MAX_LCORE {
                return workers;
            }
            workers.push(Self { id });
        }
    }

    /// EAL's number of it, 1 and up.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The NUMA node it runs on.
    #[must_use]
    pub fn numa_node(&self) -> u32 {
        // SAFETY: EAL is up and the number is one of its lcores'.
        unsafe { dpdk_sys::rte_lcore_to_socket_id(self.id) }
    }

    /// Runs `work` on this lcore. A panic in it is caught and returned by [`JoinHandle::join`].
    ///
    /// # Panics
    /// Never while the invariant holds that an `Lcore` is idle: EAL refuses only a busy one.
    pub fn spawn<T, F>(self, work: F) -> JoinHandle<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (sender, receiver) = mpsc::sync_channel(1);
        let finished = Arc::new(AtomicBool::new(false));
        let finish = Arc::clone(&finished);
        let task: Task = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            // Nobody listens when the handle was dropped.
            let _ = sender.send(result);
            finish.store(true, Ordering::Release);
        });
        let argument = Box::into_raw(Box::new(task)).cast::<c_void>();
        // SAFETY: `run` takes the argument for what it is, once; the lcore is idle, as we own it.
        let status = unsafe { dpdk_sys::rte_eal_remote_launch(Some(run), argument, self.id) };
        assert!(status == 0, "lcore {} is not idle: {status}", self.id);
        JoinHandle { lcore: self, receiver, finished }
    }
}

type Task = Box<dyn FnOnce() + Send>;

/// What EAL calls on the lcore.
unsafe extern "C" fn run(argument: *mut c_void) -> c_int {
    // SAFETY: the argument is the box that `spawn` leaked for this one call.
    let task = unsafe { Box::from_raw(argument.cast::<Task>()) };
    // The work is caught within; this catches a panic of dropping its result.
    match catch_unwind(AssertUnwindSafe(task)) {
        Ok(()) => 0,
        Err(_) => -1,
    }
}

/// A closure that runs on an lcore. Dropping the handle lets it run on, and gives the lcore up.
#[derive(Debug)]
pub struct JoinHandle<T> {
    lcore: Lcore,
    receiver: Receiver<thread::Result<T>>,
    finished: Arc<AtomicBool>,
}

impl<T> JoinHandle<T> {
    /// Sleeps until the closure has returned; gives the lcore back with its result, or with what it
    /// panicked with.
    pub fn join(self) -> (Lcore, thread::Result<T>) {
        let lost = || Box::new("the lcore's result was lost") as Box<dyn Any + Send>;
        let result = self.receiver.recv().unwrap_or_else(|_| Err(lost()));
        // SAFETY: EAL is up and the number is a worker's. It spins, but the work is done: EAL is about to
        // note so.
        unsafe { dpdk_sys::rte_eal_wait_lcore(self.lcore.id) };
        (self.lcore, result)
    }

    /// True once the closure has returned or panicked: [`JoinHandle::join`] does not sleep then.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// EAL's number of the lcore it runs on.
    #[must_use]
    pub fn lcore_id(&self) -> u32 {
        self.lcore.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_cpus_pin_and_too_few_float() {
        let pinned = LcorePlan::fitting(2, &[4, 5, 6, 7]);
        assert_eq!(pinned.argument().as_deref(), Some("0@(4),1@(5),2@(6)"));
        assert!(!pinned.is_shared());
        let floating = LcorePlan::fitting(2, &[0, 1]);
        assert_eq!(floating.argument().as_deref(), Some("0@(0,1),1@(0,1),2@(0,1)"));
        assert!(floating.is_shared());
        assert_eq!(floating.workers(), 2);
    }

    #[test]
    fn a_plan_without_cpus_is_none() {
        assert_eq!(LcorePlan::floating(1, &[]).argument(), None);
        assert!(LcorePlan::automatic(1).argument().is_some());
    }
}
