//! Pools of packet buffers.

use std::ffi::CString;
use std::fmt;
use std::ptr::NonNull;

use arrayvec::ArrayVec;

use crate::eal::Eal;
use crate::error::Errno;
use crate::mbuf::{HEADROOM, Mbuf};

/// How large a pool is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MempoolConfig {
    /// Packet buffers: all RX and TX descriptors, all bursts in flight and all caches, then some.
    /// A power of two less one wastes least.
    pub mbufs: u32,
    /// Bytes of packet a buffer holds after its headroom of [`HEADROOM`]: the largest frame with its
    /// outer headers and trailer. 64 to 65,000.
    pub data_bytes: u16,
    /// Buffers each lcore keeps for itself, 0 to 512.
    pub cache: u32,
}

impl MempoolConfig {
    /// The memory the pool takes, MiB, rounded up: sum these for [`crate::EalConfig::memory_mib`].
    #[must_use]
    pub fn memory_mib(&self) -> u32 {
        // The mbuf, the pool's object header and its alignment.
        const OVERHEAD: u64 = dpdk_sys::SHIM_MBUF_SIZE as u64 + 128;
        let each = OVERHEAD + u64::from(self.data_bytes) + HEADROOM as u64;
        let mib = (u64::from(self.mbufs) * each).div_ceil(1 << 20) + 1;
        u32::try_from(mib).unwrap_or(u32::MAX)
    }
}

impl Default for MempoolConfig {
    /// 8,191 buffers of 2,048 bytes.
    fn default() -> Self {
        Self { mbufs: 8191, data_bytes: 2048, cache: 256 }
    }
}

/// A pool of packet buffers: a handle, freely copied. The pool itself lives until the process ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mempool(NonNull<dpdk_sys::rte_mempool>);

// SAFETY: the pool's ring takes many producers and consumers, its caches belong to one lcore each (a
// thread that is no lcore uses none), and it is never freed.
unsafe impl Send for Mempool {}
// SAFETY: as above.
unsafe impl Sync for Mempool {}

impl Mempool {
    /// Makes a pool. `name` is unique in the process and at most 25 bytes.
    ///
    /// # Errors
    /// A name that is taken or too long, sizes out of range, or too little memory: all with the sizes.
    pub fn new(eal: &Eal, name: &str, config: &MempoolConfig) -> Result<Self, MempoolError> {
        let wrong = |reason| MempoolError::Config { name: name.to_owned(), reason };
        if name.is_empty() || name.len() >= dpdk_sys::SHIM_POOL_NAME_SIZE as usize {
            return Err(wrong("the name must have 1 to 25 bytes"));
        }
        if config.mbufs == 0 || config.cache > dpdk_sys::SHIM_POOL_MAX_CACHE {
            return Err(wrong("mbufs must be above 0 and cache at most 512"));
        }
        if !(64..=65_000).contains(&config.data_bytes) {
            return Err(wrong("data_bytes must be 64 to 65000"));
        }
        let c_name = CString::new(name).map_err(|_| wrong("the name must not contain a zero byte"))?;
        #[expect(clippy::cast_possible_truncation, reason = "HEADROOM is 128 and data_bytes at most 65,000")]
        let room = HEADROOM as u16 + config.data_bytes;
        // A pool refuses a cache that could hold more than two thirds of it.
        let cache = config.cache.min(config.mbufs / 2);
        // SAFETY: EAL is up (`eal` proves it); both names are terminated and outlive the call.
        let pool = unsafe {
            dpdk_sys::rte_pktmbuf_pool_create_by_ops(
                c_name.as_ptr(),
                config.mbufs,
                cache,
                0,
                room,
                -1, // any NUMA node
                eal.pool_ops().as_ptr(),
            )
        };
        NonNull::new(pool).map(Self).ok_or_else(|| MempoolError::Create {
            name: name.to_owned(),
            mbufs: config.mbufs,
            mib: config.memory_mib(),
            source: Errno::last(),
        })
    }

    /// One empty buffer: length 0, full headroom.
    ///
    /// # Errors
    /// [`PoolEmpty`]: all buffers are in use.
    #[inline]
    pub fn alloc(&self) -> Result<Mbuf, PoolEmpty> {
        // SAFETY: the pool lives until the process ends; a buffer it gives is ours alone.
        unsafe { NonNull::new(dpdk_sys::shim_mbuf_alloc(self.0.as_ptr())).map(|raw| Mbuf::from_raw(raw)) }
            .ok_or(PoolEmpty)
    }

    /// Appends `count` empty buffers to `mbufs`, or none.
    ///
    /// # Errors
    /// [`PoolEmpty`]: fewer than `count` are free, or `mbufs` has no room for them.
    pub fn alloc_bulk<const N: usize>(
        &self,
        mbufs: &mut ArrayVec<Mbuf, N>,
        count: usize,
    ) -> Result<(), PoolEmpty> {
        if count > mbufs.remaining_capacity() {
            return Err(PoolEmpty);
        }
        let wanted = u32::try_from(count).map_err(|_| PoolEmpty)?;
        let length = mbufs.len();
        // SAFETY: the spare part of the array has room for `count` pointers, and an `Mbuf` is one
        // pointer; on success all of them were written with buffers that are ours alone.
        unsafe {
            let spare = mbufs.as_mut_ptr().add(length).cast::<*mut dpdk_sys::rte_mbuf>();
            if dpdk_sys::shim_mbuf_alloc_bulk(self.0.as_ptr(), spare, wanted) != 0 {
                return Err(PoolEmpty);
            }
            mbufs.set_len(length + count);
        }
        Ok(())
    }

    /// Buffers that are out: in queues, rings, bursts. Walks all caches: not for the hot path.
    #[must_use]
    pub fn in_use(&self) -> u32 {
        // SAFETY: the pool lives until the process ends.
        unsafe { dpdk_sys::rte_mempool_in_use_count(self.0.as_ptr()) }
    }

    /// Buffers that are free, with those in caches.
    #[must_use]
    pub fn available(&self) -> u32 {
        // SAFETY: the pool lives until the process ends.
        unsafe { dpdk_sys::rte_mempool_avail_count(self.0.as_ptr()) }
    }

    /// Bytes a received packet may have in one buffer.
    #[must_use]
    pub fn data_bytes(&self) -> usize {
        // SAFETY: the pool lives until the process ends and was made by this type, so it holds mbufs.
        usize::from(unsafe { dpdk_sys::shim_pool_data_room(self.0.as_ptr()) }).saturating_sub(HEADROOM)
    }

    pub(crate) fn as_ptr(&self) -> *mut dpdk_sys::rte_mempool {
        self.0.as_ptr()
    }
}

impl fmt::Debug for Mempool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mempool")
            .field("in_use", &self.in_use())
            .field("available", &self.available())
            .finish()
    }
}

/// No buffer was free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the packet pool is empty")]
pub struct PoolEmpty;

/// Why a pool was not made.
#[derive(Debug, thiserror::Error)]
pub enum MempoolError {
    /// The sizes or the name are not possible.
    #[error("packet pool \"{name}\": {reason}")]
    Config {
        /// The pool.
        name: String,
        /// The rule that was broken.
        reason: &'static str,
    },
    /// DPDK refused.
    #[error("packet pool \"{name}\" of {mbufs} buffers ({mib} MiB): {source}")]
    Create {
        /// The pool.
        name: String,
        /// Buffers asked for.
        mbufs: u32,
        /// What they take, MiB.
        mib: u32,
        /// DPDK's answer: `ENOMEM`, or `EEXIST` for a name in use.
        source: Errno,
    },
}
