//! One packet's cryptography.

use std::{fmt, marker::PhantomData, ops::Range, slice};

use crate::{
    key::{Key, Traits},
    suite::Mode,
};

/// The longest buffer of a job, bytes: what the engines and an IP packet both allow.
pub const MAX_LEN: usize = 65_000;

/// SPI and sequence number (RFC 4303 section 2).
const HEADER_LEN: u16 = 8;
/// The same.
const ESP_HEADER: usize = HEADER_LEN as usize;

/// A packet to seal or to open, in place. See the [crate documentation](crate) for its layout.
///
/// A job whose layout does not fit its buffer or its suite is made all the same, and ends as
/// [`Status::BadLength`].
///
/// It is what the C shim reads (`struct emb_job`), so that nothing is copied into another description. Words are
/// images of what stands in memory, made in registers and stored once.
#[repr(C)]
pub struct Job<'a> {
    /// Valid up to the end of the tag, unless the status is `BadLength`.
    buffer: *mut u8,
    pub(crate) key: &'a Key,
    /// AEAD: 12 bytes, salt and IV. Counter mode: these and the first counter. CBC: one block. NULL: unused.
    nonce: [u64; 2],
    aad_head: u64,
    aad_tail: u32,
    spans: Spans,
    aad_len: u8,
    status: Status,
    _buffer: PhantomData<&'a mut [u8]>,
}

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
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

/// Additional authenticated data of an AEAD. With a MAC and ESN: the high half of the sequence number,
/// authenticated as if it followed the data (RFC 4303 section 2.8).
#[derive(Clone, Copy)]
pub(crate) struct Aad {
    head: u64,
    tail: u32,
    len: u8,
}

/// Where things are in a buffer: the encrypted part ends at or before the tag.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Spans {
    cipher_at: u16,
    cipher_len: u16,
    tag_at: u16,
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
        let traits = &key.traits;
        let Some(mut spans) = Spans::of_esp(traits, esp.len()) else {
            return Job::broken(key, esp);
        };
        if let Mode::Cbc = traits.mode {
            // Encrypting the unique number as the first block of the chain makes it the IV of the rest.
            let unique = unique(esp, esn_high);
            match esp[ESP_HEADER..].first_chunk_mut::<16>() {
                Some(iv) if traits.iv_len == 16 => *iv = u128::from(unique).to_le_bytes(),
                _ => esp[ESP_HEADER..][..8].copy_from_slice(&unique.to_le_bytes()),
            }
            spans = spans.with_iv(traits.iv_len);
        }
        let nonce = match traits.mode {
            Mode::Cbc | Mode::Null => [0; 2],
            Mode::Aead | Mode::Gmac | Mode::Ctr => counter_nonce(traits, esp),
        };
        Job::esp(key, esp, nonce, esn_high, spans)
    }

    /// A job to open the ESP packet `esp`, which reaches from the ESP header to the end of the ICV;
    /// `esn_high` is the high half of the sequence number with ESN.
    #[inline]
    #[must_use]
    pub fn decap(key: &'a Key, esp: &'a mut [u8], esn_high: Option<u32>) -> Job<'a> {
        let traits = &key.traits;
        let Some(spans) = Spans::of_esp(traits, esp.len()) else {
            return Job::broken(key, esp);
        };
        let nonce = match traits.mode {
            Mode::Null => [0; 2],
            // Whatever lies behind a short IV is ignored, and there are blocks behind it.
            Mode::Cbc => [word(esp, ESP_HEADER), word(esp, ESP_HEADER + 8)],
            Mode::Aead | Mode::Gmac | Mode::Ctr => counter_nonce(traits, esp),
        };
        Job::esp(key, esp, nonce, esn_high, spans)
    }

    /// A job on any layout; `aad` is at most 12 bytes and for an AEAD only. For vectors and tests:
    /// ESP packets have [`encap`](Self::encap) and [`decap`](Self::decap).
    #[must_use]
    pub fn with_layout(key: &'a Key, buffer: &'a mut [u8], aad: &[u8], layout: Layout) -> Job<'a> {
        let Some(spans) = Spans::of_layout(&key.traits, buffer.len(), &layout) else {
            return Job::broken(key, buffer);
        };
        let aad = match key.traits.mode {
            Mode::Aead | Mode::Gmac => Aad::new(aad),
            Mode::Null | Mode::Cbc | Mode::Ctr => Some(Aad::appended(layout.esn_high)),
        };
        let Some(aad) = aad else { return Job::broken(key, buffer) };
        Job::new(key, buffer, [word(&layout.nonce, 0), word(&layout.nonce, 8)], aad, spans)
    }

    /// What became of the job.
    #[inline]
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    #[inline]
    fn esp(key: &'a Key, esp: &'a mut [u8], nonce: [u64; 2], esn_high: Option<u32>, spans: Spans) -> Job<'a> {
        let aad = match key.traits.mode {
            Mode::Aead | Mode::Gmac => Aad::esp(esp, esn_high),
            Mode::Null | Mode::Cbc | Mode::Ctr => Aad::appended(esn_high),
        };
        Job::new(key, esp, nonce, aad, spans)
    }

    /// `spans` fit the key's suite and the buffer.
    #[inline]
    fn new(key: &'a Key, buffer: &'a mut [u8], nonce: [u64; 2], aad: Aad, spans: Spans) -> Job<'a> {
        Job {
            buffer: buffer.as_mut_ptr(),
            key,
            nonce,
            aad_head: aad.head,
            aad_tail: aad.tail,
            spans,
            aad_len: aad.len,
            status: Status::Pending,
            _buffer: PhantomData,
        }
    }

    #[cold]
    fn broken(key: &'a Key, buffer: &'a mut [u8]) -> Job<'a> {
        let spans = Spans { cipher_at: 0, cipher_len: 0, tag_at: 0 };
        let job = Job::new(key, buffer, [0; 2], Aad::appended(None), spans);
        Job { status: Status::BadLength, ..job }
    }

    /// Whether an engine has work to do.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.status == Status::Pending
    }

    /// The first 12 or 16 bytes that the cipher starts from.
    pub(crate) fn nonce(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.nonce[0].to_le_bytes());
        bytes[8..].copy_from_slice(&self.nonce[1].to_le_bytes());
        bytes
    }

    /// What is authenticated beside the buffer.
    pub(crate) fn aad(&self) -> Aad {
        Aad { head: self.aad_head, tail: self.aad_tail, len: self.aad_len }
    }

    /// What is encrypted, as a range of [`parts`](Self::parts).
    pub(crate) fn encrypted(&self) -> Range<usize> {
        let start = usize::from(self.spans.cipher_at);
        start..start + usize::from(self.spans.cipher_len)
    }

    /// The buffer up to the tag, and the tag; both empty if the layout is broken.
    pub(crate) fn parts(&mut self) -> (&mut [u8], &mut [u8]) {
        let (tag_at, icv_len) = match self.status {
            Status::BadLength => (0, 0),
            _ => (usize::from(self.spans.tag_at), usize::from(self.key.traits.icv_len)),
        };
        // SAFETY: so many bytes of the buffer were checked to be there, and they are borrowed for `'a`.
        unsafe { slice::from_raw_parts_mut(self.buffer, tag_at + icv_len) }.split_at_mut(tag_at)
    }

    /// Ends the job; wipes what may be unauthenticated plaintext.
    #[inline]
    pub(crate) fn finish(&mut self, status: Status) {
        self.status = status;
        if status == Status::AuthFailed {
            let encrypted = self.encrypted();
            self.parts().0[encrypted].fill(0);
        }
    }
}

/// The eight bytes from `at` on.
#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The four bytes from `at` on, read no wider than they were written.
#[inline]
fn half_word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Salt and explicit IV, and the first counter, which AEADs ignore (RFC 3686 section 4).
#[inline]
fn counter_nonce(traits: &Traits, esp: &[u8]) -> [u64; 2] {
    const FIRST: u64 = 1u32.swap_bytes() as u64;
    let iv = word(esp, ESP_HEADER);
    [u64::from(traits.salt) | iv << 32, iv >> 32 | FIRST << 32]
}

/// The 64-bit sequence number of a packet, which never repeats under a key.
#[inline]
fn unique(esp: &[u8], esn_high: Option<u32>) -> u64 {
    u64::from(esn_high.unwrap_or(0).to_be()) | u64::from(half_word(esp, 4)) << 32
}

impl Spans {
    /// Of an ESP packet of `len` bytes, unless it does not fit the suite.
    #[inline]
    fn of_esp(traits: &Traits, len: usize) -> Option<Spans> {
        let (iv_len, icv_len) = (u16::from(traits.iv_len), u16::from(traits.icv_len));
        let len = u16::try_from(len).ok().filter(|len| usize::from(*len) <= MAX_LEN)?;
        let cipher_at = HEADER_LEN + iv_len;
        let cipher_len = len.checked_sub(cipher_at + icv_len)?;
        let spans = Spans { cipher_at, cipher_len, tag_at: len - icv_len };
        traits.takes(cipher_len).then_some(spans)
    }

    /// Of any layout in a buffer of `len` bytes.
    fn of_layout(traits: &Traits, len: usize, layout: &Layout) -> Option<Spans> {
        let Layout { cipher, tag_at, .. } = layout;
        let room = tag_at.checked_add(traits.icv_len.into()).is_some_and(|end| end <= len.min(MAX_LEN));
        let ordered = cipher.start <= cipher.end && cipher.end <= *tag_at && room;
        // AES-GMAC authenticates the explicit IV; a MAC takes no empty message.
        let authenticated = match traits.mode {
            Mode::Gmac => cipher.start >= usize::from(traits.iv_len),
            Mode::Aead => true,
            Mode::Null | Mode::Cbc | Mode::Ctr => *tag_at > 0,
        };
        let short = |at: usize| u16::try_from(at).ok();
        let (cipher_at, cipher_end) = (short(cipher.start)?, short(cipher.end)?);
        let cipher_len = cipher_end.checked_sub(cipher_at)?;
        let spans = Spans { cipher_at, cipher_len, tag_at: short(*tag_at)? };
        (ordered && authenticated && traits.takes(cipher_len)).then_some(spans)
    }

    /// With the IV encrypted too.
    #[inline]
    fn with_iv(self, iv_len: u8) -> Spans {
        let iv_len = u16::from(iv_len);
        Spans { cipher_at: self.cipher_at - iv_len, cipher_len: self.cipher_len + iv_len, ..self }
    }
}

impl Aad {
    fn new(data: &[u8]) -> Option<Aad> {
        let mut bytes = [0; 12];
        bytes.get_mut(..data.len())?.copy_from_slice(data);
        Some(Aad { head: word(&bytes, 0), tail: half_word(&bytes, 8), len: u8::try_from(data.len()).ok()? })
    }

    /// SPI and sequence number of a packet (RFC 4106 section 5).
    #[inline]
    fn esp(esp: &[u8], esn_high: Option<u32>) -> Aad {
        let (spi, seq) = (half_word(esp, 0), half_word(esp, 4));
        match esn_high {
            None => Aad { head: u64::from(spi) | u64::from(seq) << 32, tail: 0, len: 8 },
            Some(high) => Aad { head: u64::from(spi) | u64::from(high.to_be()) << 32, tail: seq, len: 12 },
        }
    }

    /// With a MAC.
    #[inline]
    fn appended(esn_high: Option<u32>) -> Aad {
        match esn_high {
            None => Aad { head: 0, tail: 0, len: 0 },
            Some(high) => Aad { head: u64::from(high.to_be()), tail: 0, len: 4 },
        }
    }

    /// The bytes, of which so many count.
    pub(crate) fn bytes(self) -> ([u8; 12], usize) {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.head.to_le_bytes());
        bytes[8..].copy_from_slice(&self.tail.to_le_bytes());
        (bytes, self.len.into())
    }
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("suite", &self.key.suite())
            .field("spans", &self.spans)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
