//! What a process has used, as the kernel counts it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// CPU time, in user and kernel mode, and memory of a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) time: Duration,
    /// Resident, bytes.
    pub(super) memory: u64,
}

impl Usage {
    /// Of a process by its number. Of threads that have ended nothing is known, but neither program here ends any while it
    /// negotiates.
    pub(super) fn of(process: u32) -> Result<Self> {
        let mut time = Duration::ZERO;
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            let path = task?.path().join("schedstat");
            let nanoseconds = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let nanoseconds = nanoseconds.split_whitespace().next().context("schedstat")?.parse()?;
            time += Duration::from_nanos(nanoseconds);
        }
        Ok(Self { time, memory: resident(&process.to_string())? })
    }
}

/// Memory of a process, `self` or by its number, bytes.
pub(super) fn resident(process: &str) -> Result<u64> {
    let statm = fs::read_to_string(format!("/proc/{process}/statm"))?;
    let pages: u64 = statm.split_whitespace().nth(1).context("statm")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}
