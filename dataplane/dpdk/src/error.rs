//! The error number of a DPDK call.

use std::fmt;
use std::io;

/// Why a DPDK call failed: an `errno` value, positive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(i32);

impl Errno {
    pub(crate) const NOT_SUPPORTED: Self = Self(95);
    pub(crate) const NOT_IMPLEMENTED: Self = Self(38);

    /// From what a DPDK function returned: 0 and above is success, below it a negated `errno`.
    pub(crate) fn check(status: i32) -> Result<i32, Self> {
        if status < 0 { Err(Self::from_status(status)) } else { Ok(status) }
    }

    /// Of the last failed call on this thread that reports by `rte_errno`.
    pub(crate) fn last() -> Self {
        // SAFETY: reads a thread-local integer.
        Self(unsafe { dpdk_sys::shim_errno() })
    }

    /// Many DPDK functions answer a bare -1 and leave the cause in `rte_errno`.
    fn from_status(status: i32) -> Self {
        let last = Self::last();
        if status == -1 && last.0 != 0 { last } else { Self(status.saturating_neg()) }
    }

    /// The number, positive.
    #[must_use]
    pub fn code(self) -> i32 {
        self.0
    }

    pub(crate) fn is_unsupported(self) -> bool {
        self == Self::NOT_SUPPORTED || self == Self::NOT_IMPLEMENTED
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // DPDK's own numbers begin at 1000.
        if self.0 < 1000 {
            io::Error::from_raw_os_error(self.0).fmt(f)
        } else {
            write!(f, "DPDK error {}", self.0)
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Errno {}
