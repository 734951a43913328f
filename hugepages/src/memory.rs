//! Memory and hugepages: what there is, and reserving more.

use std::io;

use serde::Serialize;

use crate::system::System;

/// What `/proc/meminfo` says, KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemInfo {
    /// All memory.
    pub total_kib: u64,
    /// Memory that programs can still get.
    pub available_kib: u64,
    /// The default size of a hugepage.
    pub hugepage_kib: u64,
    /// Hugepages of that size that nobody uses.
    pub hugepages_free: u64,
}

/// Hugepages of one size, of the machine or of one NUMA node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// The NUMA node; none for the machine as a whole.
    pub node: Option<u32>,
    /// The size of a page, KiB: 2048 or 1048576 on x86-64.
    pub size_kib: u64,
    /// Reserved pages.
    pub total: u64,
    /// Those that nobody uses.
    pub free: u64,
}

impl Pool {
    /// What is free, MiB.
    #[must_use]
    pub fn free_mib(&self) -> u64 {
        self.free.saturating_mul(self.size_kib) / 1024
    }
}

/// A wish: so many free pages of a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// On this NUMA node; anywhere if none.
    pub node: Option<u32>,
    /// The size of a page, KiB.
    pub size_kib: u64,
    /// How many shall be free.
    pub pages: u64,
}

/// Why pages were not reserved.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    /// The kernel knows no such pages.
    #[error("this kernel has no hugepages of {size_kib} KiB{}", on_node(*.node))]
    NoSuchPool {
        /// Asked for, KiB.
        size_kib: u64,
        /// Asked for.
        node: Option<u32>,
    },
    /// The file could not be written.
    #[error("writing {path}: {source}: reserve hugepages as root, outside of containers")]
    Write {
        /// The file.
        path: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Memory is too full or too fragmented.
    #[error(
        "asked for {asked} free hugepages of {} KiB{}, the kernel granted {}: stop programs, or reserve at \
         boot with the kernel parameters hugepagesz={}K hugepages={}",
        pool.size_kib, on_node(pool.node), pool.free, pool.size_kib, pool.total + asked - pool.free
    )]
    Short {
        /// Asked for.
        asked: u64,
        /// What there is now.
        pool: Pool,
    },
}

fn on_node(node: Option<u32>) -> String {
    node.map_or_else(String::new, |node| format!(" on NUMA node {node}"))
}

/// The directory of the hugepages of the machine, or of a NUMA node.
fn directory(node: Option<u32>) -> String {
    match node {
        None => "/sys/kernel/mm/hugepages".to_owned(),
        Some(node) => format!("/sys/devices/system/node/node{node}/hugepages"),
    }
}

impl System {
    /// `/proc/meminfo`; zeros where it says nothing.
    #[must_use]
    pub fn meminfo(&self) -> MemInfo {
        let text = self.read("/proc/meminfo").unwrap_or_default();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        MemInfo {
            total_kib: value("MemTotal"),
            available_kib: value("MemAvailable"),
            hugepage_kib: value("Hugepagesize"),
            hugepages_free: value("HugePages_Free"),
        }
    }

    /// The machine's hugepages, by size.
    #[must_use]
    pub fn pools(&self) -> Vec<Pool> {
        self.pools_of(None)
    }

    /// The hugepages of each NUMA node, by node and size.
    #[must_use]
    pub fn node_pools(&self) -> Vec<Pool> {
        let node = |name: &String| name.strip_prefix("node")?.parse().ok();
        let mut nodes: Vec<u32> = self.names("/sys/devices/system/node").iter().filter_map(node).collect();
        nodes.sort_unstable();
        nodes.into_iter().flat_map(|node| self.pools_of(Some(node))).collect()
    }

    fn pools_of(&self, node: Option<u32>) -> Vec<Pool> {
        let size = |name: &String| name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok();
        let mut sizes: Vec<u64> = self.names(&directory(node)).iter().filter_map(size).collect();
        sizes.sort_unstable();
        sizes.into_iter().filter_map(|size_kib| self.pool(node, size_kib)).collect()
    }

    fn pool(&self, node: Option<u32>, size_kib: u64) -> Option<Pool> {
        let directory = format!("{}/hugepages-{size_kib}kB", directory(node));
        let total = self.read_number(&format!("{directory}/nr_hugepages"))?;
        let free = self.read_number(&format!("{directory}/free_hugepages"))?;
        Some(Pool { node, size_kib, total, free })
    }

    /// Free hugepages of all sizes, MiB: by `/sys`, and by `/proc/meminfo` where that is not mounted.
    #[must_use]
    pub fn free_hugepages_mib(&self) -> u64 {
        let pools = self.pools();
        if pools.is_empty() {
            let info = self.meminfo();
            return info.hugepages_free.saturating_mul(info.hugepage_kib) / 1024;
        }
        pools.iter().map(Pool::free_mib).sum()
    }

    /// True if the kernel gives transparent hugepages at least to those who ask for them.
    #[must_use]
    pub fn has_transparent_hugepages(&self) -> bool {
        let modes = self.read("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
        modes.contains("[madvise]") || modes.contains("[always]")
    }

    /// Makes `wish.pages` pages free, by reserving what is missing, and returns what there is then. The
    /// reservation lasts until the machine stops; pages that are free already are not added to.
    ///
    /// # Errors
    /// [`ReserveError::Short`] where the kernel granted less: what it granted stays reserved.
    pub fn reserve(&self, wish: Reservation) -> Result<Pool, ReserveError> {
        let Reservation { node, size_kib, pages } = wish;
        let none = || ReserveError::NoSuchPool { size_kib, node };
        let before = self.pool(node, size_kib).ok_or_else(none)?;
        let Some(missing) = pages.checked_sub(before.free).filter(|&missing| missing > 0) else {
            return Ok(before);
        };
        let path = format!("{}/hugepages-{size_kib}kB/nr_hugepages", directory(node));
        let total = before.total.saturating_add(missing);
        self.write(&path, &total.to_string()).map_err(|source| ReserveError::Write { path, source })?;
        // The kernel takes the number and reserves what it can: only reading shows how much.
        let pool = self.pool(node, size_kib).ok_or_else(none)?;
        if pool.free < pages { Err(ReserveError::Short { asked: pages, pool }) } else { Ok(pool) }
    }
}
