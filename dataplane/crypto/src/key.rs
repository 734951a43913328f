//! Expanded keys.

use std::fmt;

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
pub struct Key {
    pub(crate) suite: Suite,
    /// The suite's, looked up once.
    pub(crate) sizes: Sizes,
    /// First part of the nonce of an AEAD or of counter mode.
    pub(crate) salt: [u8; 4],
    pub(crate) schedule: Schedule,
}

/// What each packet needs to know of the suite.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) iv_len: usize,
    pub(crate) icv_len: usize,
    pub(crate) block: usize,
    pub(crate) mode: Mode,
}

/// What the back-ends make of a key.
pub(crate) enum Schedule {
    /// RustCrypto's state.
    Portable(Boxed<portable::Schedule>),
    /// Opaque bytes laid out by the C shim.
    #[cfg(ipsec_mb)]
    IpsecMb(Block),
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
        let sizes = Sizes {
            iv_len: suite.iv_len(),
            icv_len: suite.icv_len(),
            block: suite.block_len(),
            mode: suite.cipher().mode(),
        };
        Key { suite, sizes, salt, schedule }
    }

    /// The suite this key is for.
    #[inline]
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Asks the processor to fetch the start of the schedule; 4 to 8 packets ahead pays.
    #[inline]
    pub fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let start = self.block().start().as_ptr().cast::<i8>();
            for line in 0..4 {
                // SAFETY: a prefetch of any address only hints; SSE is part of x86-64.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(64 * line)) };
            }
        }
    }

    /// Bytes that the schedule takes of the key memory.
    #[must_use]
    pub fn memory_len(&self) -> usize {
        self.block().len()
    }

    fn block(&self) -> &Block {
        match &self.schedule {
            Schedule::Portable(schedule) => schedule.block(),
            #[cfg(ipsec_mb)]
            Schedule::IpsecMb(block) => block,
        }
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
        write!(f, "Key({}, {} bytes)", self.suite, self.memory_len())
    }
}
