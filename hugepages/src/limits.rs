//! What the process may lock into memory.

use std::fmt;

use serde::Serialize;

use crate::system::System;

/// The limit on locked memory, which DMA buffers and key memory need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum MemoryLock {
    /// No limit.
    Unlimited,
    /// At most this much.
    Kib(u64),
    /// The kernel did not say.
    Unknown,
}

impl MemoryLock {
    /// True when `mib` MiB can be locked for sure.
    #[must_use]
    pub fn allows_mib(self, mib: u64) -> bool {
        match self {
            Self::Unlimited => true,
            Self::Kib(kib) => kib / 1024 >= mib,
            Self::Unknown => false,
        }
    }
}

impl fmt::Display for MemoryLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::Kib(kib) => write!(f, "{kib} KiB"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl System {
    /// This process's soft limit, by `/proc/self/limits`.
    #[must_use]
    pub fn memory_lock(&self) -> MemoryLock {
        let text = self.read("/proc/self/limits").unwrap_or_default();
        let soft =
            text.lines().find_map(|line| line.strip_prefix("Max locked memory")?.split_whitespace().next());
        match soft {
            Some("unlimited") => MemoryLock::Unlimited,
            Some(bytes) => {
                bytes.parse().map_or(MemoryLock::Unknown, |bytes: u64| MemoryLock::Kib(bytes / 1024))
            }
            None => MemoryLock::Unknown,
        }
    }
}
