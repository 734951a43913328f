//! One packet's cryptography.

use std::{fmt, ops::Range};

use crate::{
    key::{Key, Sizes},
    suite::Mode,
};

/// The longest buffer of a job, bytes: what the engines and an IP packet both allow.
pub const MAX_LEN: usize = 65_000;

/// SPI and sequence number (RFC 4303 section 2).
const ESP_HEADER: usize = 8;

/// A packet to seal or to open, in place. See the [crate documentation](crate) for its layout.
///
/// A job whose layout does not fit its buffer or its suite is made all the same, and ends as
/// [`Status::BadLength`].
pub struct Job<'a> {
    pub(crate) key: &'a Key,
    /// Encrypt-then-MAC authenticates it from its start up to the tag.
    pub(crate) buffer: &'a mut [u8],
    /// AEAD: 12 bytes, salt and IV. Counter mode: these and the first counter. CBC: one block. NULL: unused.
    pub(crate) nonce: [u8; 16],
    pub(crate) aad: Aad,
    /// With ESN and a MAC: appended to what is authenticated (RFC 4303 section 2.8).
    pub(crate) esn_high: Option<[u8; 4]>,
    pub(crate) cipher: Range<usize>,
    pub(crate) tag_at: usize,
    status: Status,
}

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Not processed yet.
    Pending,
    /// Sealed, or opened and authentic.
    Ok,
    /// The integrity check failed. The buffer holds no plaintext.
    AuthFailed,
    /// The encrypted part is no multiple of the cipher's block, or the packet is too short for its
    /// tag or longer than [`MAX_LEN`]. The buffer is unchanged.
    BadLength,
    /// The key was expanded by an engine that this context does not know. The buffer is unchanged.
    WrongBackend,
}

/// Where things are in the buffer of a job that is not laid out like an ESP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// AEAD: 12 bytes, the whole nonce. CBC and counter mode: the first block. The rest is ignored.
    pub nonce: [u8; 16],
    /// What is encrypted.
    pub cipher: Range<usize>,
    /// Where the tag starts; at or after the end of `cipher`.
    pub tag_at: usize,
    /// With a MAC: appended to what is authenticated.
    pub esn_high: Option<u32>,
}

/// Additional authenticated data of an AEAD, inline.
#[derive(Clone, Copy)]
pub(crate) struct Aad {
    bytes: [u8; 12],
    len: u8,
}

impl<'a> Job<'a> {
    /// A job to seal the ESP packet `esp`, which reaches from the ESP header to the end of the ICV;
    /// `esn_high` is the high half of the sequence number with ESN.
    ///
    /// The header is written, also the explicit IV of an AEAD or of counter mode, which must never repeat
    /// under a key.
    /// The IV of CBC is filled in by the job: the encrypted sequence number (NIST SP 800-38A
    /// appendix C), unpredictable to anyone without the key, and it costs no random numbers.
    #[inline]
    #[must_use]
    pub fn encap(key: &'a Key, esp: &'a mut [u8], esn_high: Option<u32>) -> Job<'a> {
        let Some(spans) = EspSpans::new(key.sizes, esp.len()) else {
            return Job::broken(key, esp);
        };
        match key.sizes.mode {
            Mode::Aead | Mode::Gmac => return Job::esp_aead(key, esp, esn_high, spans),
            Mode::Ctr => return Job::esp_ctr(key, esp, esn_high, spans),
            Mode::Cbc | Mode::Null => {}
        }
        // Encrypting the unique number as the first block of the chain makes it the IV of the rest.
        let unique = unique(esp, esn_high);
        match key.sizes.iv_len {
            16 => esp[ESP_HEADER..24].copy_from_slice(&unique),
            8 => esp[ESP_HEADER..16].copy_from_slice(&unique[..8]),
            _ => {}
        }
        let layout = spans.layout(ESP_HEADER, [0; 16], esn_high);
        Job::new(key, esp, Aad::NONE, layout)
    }

    /// A job to open the ESP packet `esp`, which reaches from the ESP header to the end of the ICV;
    /// `esn_high` is the high half of the sequence number with ESN.
    #[inline]
    #[must_use]
    pub fn decap(key: &'a Key, esp: &'a mut [u8], esn_high: Option<u32>) -> Job<'a> {
        let Some(spans) = EspSpans::new(key.sizes, esp.len()) else {
            return Job::broken(key, esp);
        };
        match key.sizes.mode {
            Mode::Aead | Mode::Gmac => return Job::esp_aead(key, esp, esn_high, spans),
            Mode::Ctr => return Job::esp_ctr(key, esp, esn_high, spans),
            Mode::Cbc | Mode::Null => {}
        }
        let mut nonce = [0; 16];
        match key.sizes.iv_len {
            16 => nonce.copy_from_slice(&esp[ESP_HEADER..24]),
            8 => nonce[..8].copy_from_slice(&esp[ESP_HEADER..16]),
            _ => {}
        }
        let layout = spans.layout(spans.cipher_at, nonce, esn_high);
        Job::new(key, esp, Aad::NONE, layout)
    }

    /// A job on any layout; `aad` is at most 12 bytes and for an AEAD only. For vectors and tests:
    /// ESP packets have [`encap`](Self::encap) and [`decap`](Self::decap).
    #[must_use]
    pub fn with_layout(key: &'a Key, buffer: &'a mut [u8], aad: &[u8], layout: Layout) -> Job<'a> {
        let Some(aad) = Aad::new(aad) else { return Job::broken(key, buffer) };
        Job::new(key, buffer, aad, layout)
    }

    /// What became of the job.
    #[inline]
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    #[inline]
    fn esp_aead(key: &'a Key, esp: &'a mut [u8], esn_high: Option<u32>, spans: EspSpans) -> Job<'a> {
        let aad = Aad::esp(esp, esn_high);
        let nonce = counter_nonce(key, esp);
        Job::new(key, esp, aad, spans.layout(spans.cipher_at, nonce, None))
    }

    #[inline]
    fn esp_ctr(key: &'a Key, esp: &'a mut [u8], esn_high: Option<u32>, spans: EspSpans) -> Job<'a> {
        let mut nonce = counter_nonce(key, esp);
        nonce[15] = 1; // the first counter (RFC 3686 section 4)
        let layout = spans.layout(spans.cipher_at, nonce, esn_high);
        Job::new(key, esp, Aad::NONE, layout)
    }

    /// Checks the layout, so that no engine has to.
    #[inline]
    fn new(key: &'a Key, buffer: &'a mut [u8], aad: Aad, layout: Layout) -> Job<'a> {
        let Layout { nonce, cipher, tag_at, esn_high } = layout;
        let Sizes { block, icv_len, mode, .. } = key.sizes;
        // A block length is a power of two.
        let whole = cipher.len() & (block - 1) == 0 && (block == 1 || !cipher.is_empty());
        let ordered = cipher.start <= cipher.end && cipher.end <= tag_at;
        let authenticated = tag_at > 0 || matches!(mode, Mode::Aead | Mode::Gmac);
        let room = tag_at.checked_add(icv_len).is_some_and(|end| end <= buffer.len());
        if !(whole && ordered && authenticated && room && buffer.len() <= MAX_LEN) {
            return Job::broken(key, buffer);
        }
        let esn_high = esn_high.map(u32::to_be_bytes);
        Job { key, buffer, nonce, aad, esn_high, cipher, tag_at, status: Status::Pending }
    }

    #[cold]
    fn broken(key: &'a Key, buffer: &'a mut [u8]) -> Job<'a> {
        Job {
            key,
            buffer,
            nonce: [0; 16],
            aad: Aad::NONE,
            esn_high: None,
            cipher: 0..0,
            tag_at: 0,
            status: Status::BadLength,
        }
    }

    /// Whether an engine has work to do.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.status == Status::Pending
    }

    /// Where the tag is, or goes to.
    #[cfg(ipsec_mb)]
    #[inline]
    pub(crate) fn tag(&mut self) -> &mut [u8] {
        &mut self.buffer[self.tag_at..self.tag_at + self.key.sizes.icv_len]
    }

    /// Ends the job; wipes what may be unauthenticated plaintext.
    #[inline]
    pub(crate) fn finish(&mut self, status: Status) {
        self.status = status;
        if status == Status::AuthFailed {
            self.buffer[self.cipher.clone()].fill(0);
        }
    }
}

/// Salt and explicit IV.
#[inline]
fn counter_nonce(key: &Key, esp: &[u8]) -> [u8; 16] {
    let mut nonce = [0; 16];
    nonce[..4].copy_from_slice(&key.salt);
    nonce[4..12].copy_from_slice(&esp[ESP_HEADER..16]);
    nonce
}

/// The parts of an ESP packet from its header on.
#[derive(Clone, Copy)]
struct EspSpans {
    cipher_at: usize,
    tag_at: usize,
}

impl EspSpans {
    /// Of a packet of `len` bytes, unless it is too short for header, IV and ICV.
    #[inline]
    fn new(sizes: Sizes, len: usize) -> Option<EspSpans> {
        let cipher_at = ESP_HEADER + sizes.iv_len;
        let tag_at = len.checked_sub(sizes.icv_len)?;
        (cipher_at <= tag_at).then_some(EspSpans { cipher_at, tag_at })
    }

    /// The layout that encrypts from `start` up to the tag.
    #[inline]
    fn layout(self, start: usize, nonce: [u8; 16], esn_high: Option<u32>) -> Layout {
        Layout { nonce, cipher: start..self.tag_at, tag_at: self.tag_at, esn_high }
    }
}

/// A block that starts with the 64-bit sequence number of a packet, so that it never repeats under a key.
#[inline]
fn unique(esp: &[u8], esn_high: Option<u32>) -> [u8; 16] {
    let mut block = [0; 16];
    block[..4].copy_from_slice(&esn_high.unwrap_or(0).to_be_bytes());
    block[4..8].copy_from_slice(&esp[4..8]);
    block
}

impl Aad {
    pub(crate) const NONE: Aad = Aad { bytes: [0; 12], len: 0 };

    fn new(data: &[u8]) -> Option<Aad> {
        let mut bytes = [0; 12];
        bytes.get_mut(..data.len())?.copy_from_slice(data);
        Some(Aad { bytes, len: u8::try_from(data.len()).ok()? })
    }

    /// SPI and sequence number of a packet (RFC 4106 section 5).
    #[inline]
    fn esp(esp: &[u8], esn_high: Option<u32>) -> Aad {
        let mut bytes = [0; 12];
        match esn_high {
            None => bytes[..8].copy_from_slice(&esp[..8]),
            Some(high) => {
                bytes[..4].copy_from_slice(&esp[..4]);
                bytes[4..8].copy_from_slice(&high.to_be_bytes());
                bytes[8..].copy_from_slice(&esp[4..8]);
            }
        }
        Aad { bytes, len: if esn_high.is_some() { 12 } else { 8 } }
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("suite", &self.key.suite)
            .field("len", &self.buffer.len())
            .field("cipher", &self.cipher)
            .field("tag_at", &self.tag_at)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
