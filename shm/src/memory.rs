//! Memory that another process may write at any moment.
//!
//! All access goes through [`Mapping`], in relaxed atomic 64-bit words: a copy made while the peer writes is
//! torn at worst, never undefined. No Rust reference to plain data in the mapping exists.
#![allow(unsafe_code, reason = "maps shared memory and reaches it through atomics")]

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{Advice, MlockFlags};

/// Bytes of a word, the unit of access.
pub(crate) const WORD: usize = 8;

/// Seals every memfd of the contract carries: its size is final, and so are its seals.
const SIZE_SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW);

/// Why memory cannot be shared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    #[error("cannot create shared memory: {0}")]
    Create(#[source] std::io::Error),
    #[error("cannot map shared memory: {0}")]
    Map(#[source] std::io::Error),
    #[error("cannot read the properties of shared memory: {0}")]
    Inspect(#[source] std::io::Error),
    #[error("shared memory is not sealed against resizing")]
    NotSealed,
    #[error("shared memory is {found} bytes long, {expected} expected")]
    Size { expected: usize, found: u64 },
}

/// A new zeroed memfd of `len` bytes that can never be resized. `later` may add a write seal.
pub(crate) fn create(name: &str, len: usize, later: Sealing) -> Result<OwnedFd, MemoryError> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create(name, flags).map_err(|e| MemoryError::Create(e.into()))?;
    let bytes = u64::try_from(len).unwrap_or(u64::MAX);
    rustix::fs::ftruncate(&fd, bytes).map_err(|e| MemoryError::Create(e.into()))?;
    let seals = match later {
        Sealing::Final => SIZE_SEALS | SealFlags::SEAL,
        Sealing::WriteSealFollows => SIZE_SEALS,
    };
    rustix::fs::fcntl_add_seals(&fd, seals).map_err(|e| MemoryError::Create(e.into()))?;
    Ok(fd)
}

/// Whether [`create`] closes the list of seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealing {
    Final,
    WriteSealFollows,
}

/// Nobody who does not hold a writable mapping yet can get one.
pub(crate) fn seal_future_writes(fd: &OwnedFd) -> Result<(), MemoryError> {
    rustix::fs::fcntl_add_seals(fd, SealFlags::FUTURE_WRITE | SealFlags::SEAL)
        .map_err(|e| MemoryError::Create(e.into()))
}

/// The size of a received memfd, after checking that it can never shrink under a mapping of it.
pub(crate) fn sealed_len(fd: &OwnedFd) -> Result<u64, MemoryError> {
    let seals = rustix::fs::fcntl_get_seals(fd).map_err(|e| MemoryError::Inspect(e.into()))?;
    if !seals.contains(SIZE_SEALS) {
        return Err(MemoryError::NotSealed);
    }
    let stat = rustix::fs::fstat(fd).map_err(|e| MemoryError::Inspect(e.into()))?;
    u64::try_from(stat.st_size).map_err(|_| MemoryError::Size { expected: 0, found: 0 })
}

/// A mapping of a sealed memfd. Offsets are in bytes and multiples of [`WORD`].
///
/// # Panics
/// Every access panics when it leaves the mapping, which only a mistake in this crate can cause: lengths that
/// come from a peer are checked against the layout first.
#[derive(Debug)]
pub(crate) struct Mapping {
    raw: MmapRaw,
    writable: bool,
}

impl Mapping {
    /// Maps all `len` bytes of `fd` for reading and writing, kept out of core dumps.
    pub(crate) fn writable(fd: &OwnedFd, len: usize) -> Result<Self, MemoryError> {
        Self::check(fd, len)?;
        let raw = MmapOptions::new().len(len).map_raw(fd).map_err(MemoryError::Map)?;
        Ok(Self { raw, writable: true }.hidden_from_dumps())
    }

    /// Maps all `len` bytes of `fd` for reading.
    pub(crate) fn read_only(fd: &OwnedFd, len: usize) -> Result<Self, MemoryError> {
        Self::check(fd, len)?;
        let raw = MmapOptions::new().len(len).map_raw_read_only(fd).map_err(MemoryError::Map)?;
        Ok(Self { raw, writable: false }.hidden_from_dumps())
    }

    fn check(fd: &OwnedFd, len: usize) -> Result<(), MemoryError> {
        let found = sealed_len(fd)?;
        if usize::try_from(found) != Ok(len) || len == 0 {
            return Err(MemoryError::Size { expected: len, found });
        }
        Ok(())
    }

    fn hidden_from_dumps(self) -> Self {
        // SAFETY: the range is exactly our mapping, and DONTDUMP changes no contents.
        let hidden = unsafe {
            rustix::mm::madvise(self.raw.as_mut_ptr().cast(), self.raw.len(), Advice::LinuxDontDump)
        };
        debug_assert!(hidden.is_ok(), "madvise(DONTDUMP) is refused for no mapping of a memfd");
        self
    }

    /// Keeps `offset..offset + len` out of swap as its pages are touched. Returns whether RLIMIT_MEMLOCK
    /// allowed it.
    pub(crate) fn lock(&self, offset: usize, len: usize) -> bool {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.raw.len()), "outside the mapping");
        // SAFETY: the range was checked to lie in our mapping; locking changes no contents.
        unsafe {
            rustix::mm::mlock_with(self.raw.as_mut_ptr().add(offset).cast(), len, MlockFlags::ONFAULT).is_ok()
        }
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        let inside = offset.checked_add(WORD).is_some_and(|end| end <= self.raw.len());
        assert!(inside && offset.is_multiple_of(WORD), "outside the mapping");
        // SAFETY: in bounds and aligned by the assertion (a mapping is page aligned); live as long as `self`;
        // in this process the memory is only ever reached through such atomics.
        unsafe { AtomicU64::from_ptr(self.raw.as_mut_ptr().add(offset).cast()) }
    }

    pub(crate) fn load(&self, offset: usize, order: Ordering) -> u64 {
        self.word(offset).load(order)
    }

    pub(crate) fn store(&self, offset: usize, value: u64, order: Ordering) {
        assert!(self.writable, "a reader's mapping is not written");
        self.word(offset).store(value, order);
    }

    /// Adds to a word that only one thread writes: a plain load and store.
    pub(crate) fn add_unshared(&self, offset: usize, amount: u64) {
        assert!(self.writable, "a reader's mapping is not written");
        let word = self.word(offset);
        word.store(word.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// Copies `into.len()` bytes out; torn where the peer writes at the same time.
    pub(crate) fn copy_out(&self, offset: usize, into: &mut [u8]) {
        for (index, chunk) in into.chunks_mut(WORD).enumerate() {
            let word = self.word(offset + index * WORD).load(Ordering::Relaxed).to_ne_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    /// Copies `from` in; the rest of its last word becomes zero.
    pub(crate) fn copy_in(&self, offset: usize, from: &[u8]) {
        assert!(self.writable, "a reader's mapping is not written");
        for (index, chunk) in from.chunks(WORD).enumerate() {
            let mut word = [0; WORD];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(offset + index * WORD).store(u64::from_ne_bytes(word), Ordering::Relaxed);
        }
    }

    /// Overwrites `len` bytes with zeros, rounded up to words. Atomic stores are never optimized away.
    pub(crate) fn wipe(&self, offset: usize, len: usize) {
        assert!(self.writable, "a reader's mapping is not written");
        for at in (offset..offset + len).step_by(WORD) {
            self.word(at).store(0, Ordering::Relaxed);
        }
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
    }
}
