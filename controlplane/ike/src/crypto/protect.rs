//! Sealing and opening messages (RFC 7296 section 3.14, RFC 5282).

use serde::{Deserialize, Serialize};

use super::{CryptoError, Encr, Integ, Secret};
use crate::wire::iana::PayloadType;
use crate::wire::{
    DecodeError, EncodeError, GENERIC_HEADER_LEN, HEADER_LEN, Header, Message, Payload, decode_chain,
    encode_chain,
};

/// Why a message could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is not a message at all. Nothing about it is authentic.
    #[error("malformed message: {0}")]
    Outer(#[source] DecodeError),
    /// It has no Encrypted payload. Nothing about it is authentic.
    #[error("message is not encrypted")]
    NotEncrypted,
    /// The checksum is wrong, or the payload too short to have one.
    #[error("message is not authentic")]
    NotAuthentic,
    /// It is authentic, but its padding or block length is wrong.
    #[error("padding of an authentic message")]
    Padding,
    /// It is authentic, but the payloads inside are malformed.
    #[error("malformed payload in an authentic message: {0}")]
    Inner(#[source] DecodeError),
    /// Our own key has the wrong size.
    #[error(transparent)]
    Crypto(CryptoError),
}

impl OpenError {
    /// Whether the holder of the keys made this message, so that it may be answered and counts as received.
    pub fn is_authentic(&self) -> bool {
        match self {
            Self::Padding | Self::Inner(_) => true,
            Self::Outer(_) | Self::NotEncrypted | Self::NotAuthentic | Self::Crypto(_) => false,
        }
    }
}

/// What was sealed in a message: authentic and decrypted, not read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plain {
    pub(crate) header: Header,
    pub(crate) first_inner: PayloadType,
    /// The payloads, without padding.
    pub(crate) text: Secret,
}

impl Plain {
    /// The message with its payloads.
    pub(crate) fn read(&self) -> Result<Message, OpenError> {
        let payloads = decode_chain(self.first_inner, self.text.expose()).map_err(OpenError::Inner)?;
        let nested = |p: &&Payload| matches!(p, Payload::Encrypted(_) | Payload::EncryptedFragment(_));
        if let Some(payload) = payloads.iter().find(nested) {
            return Err(OpenError::Inner(DecodeError::MisplacedPayload(payload.payload_type())));
        }
        Ok(Message { header: self.header, payloads })
    }
}

/// What protects the messages of one direction of an IKE SA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkCipher {
    encr: Encr,
    integ: Option<Integ>,
    encr_key: Secret,
    integ_key: Secret,
}

impl SkCipher {
    /// Takes SK_e and SK_a of a direction.
    ///
    /// # Errors
    /// When a key has not the length its algorithm needs, or there is an integrity algorithm beside an AEAD
    /// or none beside a cipher.
    pub fn new(
        encr: Encr,
        integ: Option<Integ>,
        encr_key: Secret,
        integ_key: Secret,
    ) -> Result<Self, CryptoError> {
        if encr.is_aead() == integ.is_some() {
            return Err(CryptoError::Suite(encr.id()));
        }
        CryptoError::size("SK_e", encr.key_len(), encr_key.expose())?;
        CryptoError::size("SK_a", integ.map_or(0, Integ::key_len), integ_key.expose())?;
        Ok(Self { encr, integ, encr_key, integ_key })
    }

    /// Bytes [`SkCipher::seal`] takes as IV.
    ///
    /// CBC: unpredictable bytes. GCM: a value never used before with this key, such as a counter.
    pub fn iv_len(&self) -> usize {
        self.encr.iv_len()
    }

    pub(super) fn icv_len(&self) -> usize {
        self.encr.tag_len() + self.integ.map_or(0, Integ::icv_len)
    }

    /// A whole datagram (without non-ESP marker): the header and one Encrypted payload with `payloads`.
    pub fn seal(&self, header: &Header, payloads: &[Payload], iv: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let mut text = Vec::with_capacity(512);
        let first_inner = encode_chain(payloads, &mut text)?;
        self.seal_text(header, (PayloadType::ENCRYPTED, first_inner), &[], text, iv)
    }

    /// A datagram whose last payload is of the first of the types, and holds `front` in clear and `text` sealed, which
    /// begins with a payload of the second.
    pub(super) fn seal_text(
        &self,
        header: &Header,
        (kind, first_inner): (PayloadType, PayloadType),
        front: &[u8],
        mut text: Vec<u8>,
        iv: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        CryptoError::size("IV", self.iv_len(), iv)?;
        self.pad(&mut text);
        let payload_len = GENERIC_HEADER_LEN + front.len() + iv.len() + text.len() + self.icv_len();
        let total = HEADER_LEN + payload_len;
        let fits = |len: usize| {
            u16::try_from(len).map_err(|_| EncodeError::TooLong {
                what: "message",
                size: total,
                limit: usize::from(u16::MAX),
            })
        };
        let mut message = Vec::with_capacity(total);
        header.encode(kind, u32::from(fits(total)?), &mut message);
        message.extend_from_slice(&[first_inner.0, 0]);
        message.extend_from_slice(&fits(payload_len)?.to_be_bytes());
        message.extend_from_slice(front);

        self.encr.encrypt(self.encr_key.expose(), iv, &message, &mut text)?;
        message.extend_from_slice(iv);
        message.append(&mut text);
        if let Some(integ) = self.integ {
            let icv = integ.compute(self.integ_key.expose(), &message);
            message.extend_from_slice(&icv);
        }
        Ok(message)
    }

    pub(super) fn block_len(&self) -> usize {
        self.encr.block_len()
    }

    /// Appends zero padding to whole blocks, and its length.
    fn pad(&self, text: &mut Vec<u8>) {
        let block = self.encr.block_len();
        let padded = (text.len() + 1).next_multiple_of(block);
        let pad_len = padded - text.len() - 1;
        text.resize(padded, 0);
        if let Some(last) = text.last_mut() {
            *last = u8::try_from(pad_len).unwrap_or(u8::MAX);
        }
    }

    /// The message with the payloads that were sealed in it.
    ///
    /// Payloads in front of the Encrypted one are authenticated but of no meaning in IKEv2: they are
    /// dropped.
    pub fn open(&self, datagram: &[u8]) -> Result<Message, OpenError> {
        self.open_text(datagram)?.read()
    }

    /// As [`SkCipher::open`], before the payloads are read.
    pub(crate) fn open_text(&self, datagram: &[u8]) -> Result<Plain, OpenError> {
        let outer = Message::decode(datagram).map_err(OpenError::Outer)?;
        let sealed = outer.encrypted().ok_or(OpenError::NotEncrypted)?;
        // The Encrypted payload is the last: its body ends the datagram.
        let (aad, body) = datagram.split_at(datagram.len() - sealed.body.len());
        let text = self.decrypt(datagram, aad, body)?;
        Ok(Plain { header: outer.header, first_inner: sealed.first_inner, text })
    }

    /// Authenticates `datagram` and decrypts `body`, its end; gives the text without padding.
    pub(super) fn decrypt(&self, datagram: &[u8], aad: &[u8], body: &[u8]) -> Result<Secret, OpenError> {
        let (iv, rest) = body.split_at_checked(self.iv_len()).ok_or(OpenError::NotAuthentic)?;
        let sealed = match self.integ {
            None => rest,
            Some(integ) => {
                let at = rest.len().checked_sub(integ.icv_len()).ok_or(OpenError::NotAuthentic)?;
                let (sealed, icv) = rest.split_at(at);
                let covered = &datagram[..datagram.len() - icv.len()];
                if !integ.verify(self.integ_key.expose(), covered, icv) {
                    return Err(OpenError::NotAuthentic);
                }
                sealed
            }
        };
        let mut text = sealed.to_vec();
        let opened = self.encr.decrypt(self.encr_key.expose(), iv, aad, &mut text);
        let text = Secret::new(text);
        let not_opened = if self.encr.is_aead() { OpenError::NotAuthentic } else { OpenError::Padding };
        let plain = opened.map_err(OpenError::Crypto)?.ok_or(not_opened)?;
        let (pad_len, padded) = text.expose()[..plain].split_last().ok_or(OpenError::Padding)?;
        let len = padded.len().checked_sub(usize::from(*pad_len)).ok_or(OpenError::Padding)?;
        Ok(Secret::from(&padded[..len]))
    }
}
