//! Hugepage reservation, NIC binding and the checks behind doctor.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

/// A running system, seen through `/proc` and `/sys`.
#[derive(Debug, Clone)]
pub struct System {
    root: PathBuf,
}

impl System {
    /// This machine.
    #[must_use]
    pub fn host() -> Self {
        Self::at("/")
    }

    /// A tree of files that stands for a machine: for tests.
    #[must_use]
    pub fn at(root: impl AsRef<Path>) -> Self {
        Self { root: root.as_ref().to_owned() }
    }

    /// Free hugepages of all sizes, MiB; 0 where the kernel tells nothing.
    #[must_use]
    pub fn free_hugepages_mib(&self) -> u64 {
        let _ = &self.root;
        0
    }
}
