//! Where packet memory comes from: decided before EAL starts, which cannot be asked twice in one process.

use std::fmt;

use crate::eal::EalError;

/// What the configuration asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemoryMode {
    /// Hugepages where enough are free, else ordinary pages.
    #[default]
    Auto,
    /// Hugepages, or an error.
    Hugepages,
    /// Ordinary pages (`--no-huge`).
    Ordinary,
}

/// What was decided; its `Display` is for the start-up log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Memory {
    /// Hugepages, of which this much was free, MiB.
    Hugepages {
        /// Free when EAL started, MiB.
        free_mib: u64,
    },
    /// Ordinary pages: NICs without an IOMMU cannot use them, and every packet costs more TLB misses.
    Ordinary {
        /// All that EAL may use, MiB.
        mib: u32,
        /// Free hugepages that were not enough, MiB; none where ordinary pages were asked for.
        free_mib: Option<u64>,
    },
}

impl Memory {
    /// Decides from what is free now: `need` MiB for pools and queues. No packet buffer crosses an ordinary
    /// page unless it must, so that of those there have to be up to twice as many; what is not touched of them
    /// is never taken from the system.
    pub(crate) fn decide(mode: MemoryMode, need: u32, free_mib: u64) -> Result<Self, EalError> {
        let enough = free_mib >= u64::from(need);
        let mib = need.saturating_mul(2);
        match mode {
            MemoryMode::Auto | MemoryMode::Hugepages if enough => Ok(Self::Hugepages { free_mib }),
            MemoryMode::Auto => Ok(Self::Ordinary { mib, free_mib: Some(free_mib) }),
            MemoryMode::Hugepages => Err(EalError::NoHugepages { need_mib: need, free_mib }),
            MemoryMode::Ordinary => Ok(Self::Ordinary { mib, free_mib: None }),
        }
    }
}

impl Memory {
    /// What EAL is to take where `need` MiB are needed.
    pub(crate) fn taken_mib(&self, need: u32) -> u32 {
        match self {
            Self::Hugepages { .. } => need,
            Self::Ordinary { mib, .. } => *mib,
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hugepages { free_mib } => write!(f, "hugepages ({free_mib} MiB free at start)"),
            Self::Ordinary { mib, free_mib: None } => {
                write!(f, "{mib} MiB of ordinary pages, as configured")
            }
            Self::Ordinary { mib, free_mib: Some(free) } => write!(
                f,
                "{mib} MiB of ordinary pages: only {free} MiB of hugepages are free \
                 (`esplanade doctor` says how to reserve them)"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn automatic_takes_hugepages_only_when_enough_are_free() {
        let decide = |free| Memory::decide(MemoryMode::Auto, 256, free).expect("auto always finds memory");
        assert_eq!(decide(256), Memory::Hugepages { free_mib: 256 });
        assert_eq!(decide(255), Memory::Ordinary { mib: 512, free_mib: Some(255) });
        assert!(decide(0).to_string().contains("only 0 MiB of hugepages"), "{}", decide(0));
    }

    #[test]
    fn insisting_on_hugepages_that_are_not_there_is_an_error() {
        let error = Memory::decide(MemoryMode::Hugepages, 512, 16).expect_err("none free");
        assert!(error.to_string().contains("512 MiB"), "{error}");
        let ordinary = Memory::decide(MemoryMode::Ordinary, 512, 4096).expect("ordinary");
        assert_eq!(ordinary, Memory::Ordinary { mib: 1024, free_mib: None });
    }
}
