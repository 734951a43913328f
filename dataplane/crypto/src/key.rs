//! Expanded keys.

use std::{fmt, ptr::NonNull};

use crate::{
    backend::BackendError,
    memory::{Block, Boxed, OutOfMemory},
    portable,
    suite::{Mode, Suite},
};

/// The key material of one SA, as cut from KEYMAT (RFC 7296 section 2.17).
#[derive(Clone, Copy)]
pub struct KeyMaterial<'a> {
    /// Encryption key, with the salt of an AEAD or of counter mode as its last 4 bytes.
    pub encryption: &'a [u8],
    /// Authentication key; empty with an AEAD.
    pub authentication: &'a [u8],
}

/// A key expanded by one back-end, for [`Job`](crate::Job)s of contexts of the same back-end.
///
/// The schedule sits in the memory given to [`Backend::expand`](crate::Backend::expand) and is
/// zeroized when the key is dropped.
#[repr(C)]
pub struct Key {
    /// First, where the C shim finds it.
    pub(crate) traits: Traits,
    schedule: Schedule,
}

/// What each packet needs to know of its key: `struct emb_key`, and what the shim does not read.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Traits {
    start: NonNull<u8>,
    /// The shim's number for what to do; 0 if it has nothing to do with the key.
    call: u8,
    pub(crate) icv_len: u8,
    pub(crate) iv_len: u8,
    /// What the encrypted part is a multiple of, less one.
    block_mask: u8,
    /// First part of the nonce of an AEAD or of counter mode, as it stands in memory.
    pub(crate) salt: u32,
    lines: Lines,
    pub(crate) mode: Mode,
    suite: Suite,
}

// SAs lay their fields out so that these bytes share a cache line.
const _: () = assert!(size_of::<Traits>() <= 40);

/// The cache lines of a schedule that a packet of a few hundred bytes needs, a bit each.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Lines {
    seal: u64,
    open: u64,
}

// SAFETY: `start` points into the schedule, which may go to any thread and be shared among them.
unsafe impl Send for Key {}
// SAFETY: as for `Send`.
unsafe impl Sync for Key {}

/// What the back-ends make of a key.
pub(crate) enum Schedule {
    /// RustCrypto's state.
    Portable(Boxed<portable::Schedule>),
    /// Opaque bytes laid out by the C shim.
    #[cfg(ipsec_mb)]
    IpsecMb {
        /// The bytes.
        block: Block,
        /// The shim's number for what to do with them.
        call: u8,
        /// Its cache lines that most packets need.
        lines: Lines,
    },
}

/// Why a key could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Key material of the wrong length.
    #[error("{suite} takes {expected} bytes of {what} key, not {actual}")]
    Length {
        /// The suite.
        suite: Suite,
        /// "encryption" or "authentication".
        what: &'static str,
        /// Bytes it takes.
        expected: usize,
        /// Bytes given.
        actual: usize,
    },
    /// The key memory is exhausted.
    #[error("no room for another expanded key")]
    Memory,
    /// The back-end failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl KeyMaterial<'_> {
    /// Whether the lengths are those of `suite`.
    pub(crate) fn check(&self, suite: Suite) -> Result<(), KeyError> {
        let check = |what, expected, actual| match expected == actual {
            true => Ok(()),
            false => Err(KeyError::Length { suite, what, expected, actual }),
        };
        check("encryption", suite.encryption_key_len(), self.encryption.len())?;
        check("authentication", suite.authentication_key_len(), self.authentication.len())
    }

    /// The encryption key without the salt, and the salt (zero if there is none). Lengths are checked.
    pub(crate) fn split_salt(&self, suite: Suite) -> (&[u8], [u8; 4]) {
        match self.encryption.split_last_chunk::<4>() {
            Some((key, salt)) if suite.cipher().salt_len() == 4 => (key, *salt),
            _ => (self.encryption, [0; 4]),
        }
    }
}

impl Key {
    pub(crate) fn new(suite: Suite, salt: [u8; 4], schedule: Schedule) -> Key {
        let (call, lines) = match &schedule {
            Schedule::Portable(schedule) => (0, Lines::first(schedule.block().len())),
            #[cfg(ipsec_mb)]
            Schedule::IpsecMb { call, lines, .. } => (*call, *lines),
        };
        let byte = |len: usize| u8::try_from(len).expect("no suite has longer parts");
        let traits = Traits {
            start: schedule.block().start(),
            call,
            icv_len: byte(suite.icv_len()),
            iv_len: byte(suite.iv_len()),
            block_mask: byte(suite.block_len() - 1),
            salt: u32::from_le_bytes(salt),
            lines,
            mode: suite.cipher().mode(),
            suite,
        };
        Key { traits, schedule }
    }

    /// The suite this key is for.
    #[inline]
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.traits.suite
    }

    /// Asks the processor to fetch what sealing a packet of a few hundred bytes needs of the schedule; 4 to 8
    /// packets ahead pays.
    #[inline]
    pub fn prefetch_to_seal(&self) {
        self.prefetch(self.traits.lines.seal);
    }

    /// As [`prefetch_to_seal`](Self::prefetch_to_seal), for opening.
    #[inline]
    pub fn prefetch_to_open(&self) {
        self.prefetch(self.traits.lines.open);
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    fn prefetch(&self, mut lines: u64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start = self.traits.start.as_ptr().cast::<i8>();
        while lines != 0 {
            let at = start.wrapping_add(64 * lines.trailing_zeros() as usize);
            // SAFETY: a prefetch of any address only hints; SSE is part of x86-64.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at) };
            lines &= lines - 1;
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn prefetch(&self, _lines: u64) {}

    /// Bytes that the schedule takes of the key memory.
    #[must_use]
    pub fn memory_len(&self) -> usize {
        self.schedule.block().len()
    }

    /// What its back-end made of it.
    #[inline]
    pub(crate) fn schedule(&self) -> &Schedule {
        &self.schedule
    }
}

impl Traits {
    /// Whether the cipher takes so many bytes: whole blocks, and at least one.
    #[inline]
    pub(crate) fn takes(&self, len: u16) -> bool {
        let mask = u16::from(self.block_mask);
        len & mask == 0 && (mask == 0 || len != 0)
    }
}

impl Schedule {
    fn block(&self) -> &Block {
        match self {
            Schedule::Portable(schedule) => schedule.block(),
            #[cfg(ipsec_mb)]
            Schedule::IpsecMb { block, .. } => block,
        }
    }
}

impl Lines {
    /// The first of so many bytes: eight at most.
    fn first(len: usize) -> Lines {
        let lines = (1 << len.div_ceil(64).min(8)) - 1;
        Lines { seal: lines, open: lines }
    }
}

impl From<OutOfMemory> for KeyError {
    fn from(_: OutOfMemory) -> KeyError {
        KeyError::Memory
    }
}

impl fmt::Debug for KeyMaterial<'_> {
    /// Lengths only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (encryption, authentication) = (self.encryption.len(), self.authentication.len());
        write!(f, "KeyMaterial({encryption} + {authentication} bytes)")
    }
}

impl fmt::Debug for Key {
    /// The suite and a length only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {} bytes)", self.suite(), self.memory_len())
    }
}
