//! The exchanges of IKEv2 that a capture saw, and the IVs of AEADs in it.
//!
//! The header of an IKE message is never encrypted (RFC 7296 section 3.1), so that an observer sees which request was
//! answered when.

use anyhow::Result;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::Duration;

use super::capture::each_frame_at;

/// IKE_SA_INIT (RFC 7296 section 3.1).
const IKE_SA_INIT: u8 = 34;
const RESPONSE: u8 = 0x20;
const ORIGINAL_INITIATOR: u8 = 0x08;
/// Payload types whose body begins with an IV: Encrypted, and Encrypted Fragment after 4 more bytes (RFC 7383).
const ENCRYPTED: u8 = 46;
const ENCRYPTED_FRAGMENT: u8 = 53;
const IKE_HEADER: usize = 28;
/// What both AES-GCM in IKE (RFC 5282) and in ESP (RFC 4106) send of the nonce.
type Iv = [u8; 8];

/// One IKE message on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    /// Since 1970.
    at: Duration,
    /// SPIs of initiator and responder.
    spis: [u64; 2],
    exchange: u8,
    flags: u8,
    id: u32,
    iv: Option<Iv>,
    bytes: Vec<u8>,
}

/// What names an exchange: the initiator's SPI, the responder's unless it is the first, who began, and the message ID.
type Name = (u64, u64, bool, u32);

/// All IKE messages of a capture, in their order.
#[derive(Debug, Default)]
pub struct Exchanges {
    messages: Vec<Message>,
    /// By addresses, SPI and IV: what the packet hashes to.
    esp_ivs: HashMap<(Vec<u8>, u32, Iv), u64>,
    reused_in_esp: u64,
}

impl Exchanges {
    /// Reads a capture file, which may still be written to.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(file: &Path) -> Result<Self> {
        let mut all = Self::default();
        each_frame_at(file, |at, frame| all.see(at, frame))?;
        Ok(all)
    }

    /// Requests of IKE_SA_INIT that began after `from`: negotiations from nothing.
    #[must_use]
    pub fn negotiations_after(&self, from: Duration) -> usize {
        let first = |m: &&Message| m.exchange == IKE_SA_INIT && !m.is_response() && m.at > from;
        let mut names: Vec<Name> = self.messages.iter().filter(first).map(Message::exchange_name).collect();
        names.sort_unstable();
        names.dedup();
        names.len()
    }

    /// Exchanges of a type that were answered.
    #[must_use]
    pub fn answered(&self, exchange: u8) -> usize {
        let responses = self.messages.iter().filter(|m| m.exchange == exchange && m.is_response());
        responses.map(Message::exchange_name).collect::<HashSet<_>>().len()
    }

    /// True if a request was on its way at that time and its response was not.
    #[must_use]
    pub fn in_flight(&self, at: Duration) -> bool {
        let seen = || self.messages.iter().filter(|message| message.at <= at);
        seen()
            .filter(|message| !message.is_response())
            .any(|request| !seen().any(|m| m.is_response() && m.exchange_name() == request.exchange_name()))
    }

    /// Messages and ESP packets whose IV another one under the same key had before. The same message again, byte for
    /// byte, is none (RFC 7296 section 2.1).
    #[must_use]
    pub fn reused_ivs(&self) -> u64 {
        let mut seen: HashMap<([u64; 2], bool, Iv), &[u8]> = HashMap::new();
        let mut reused = self.reused_in_esp;
        for message in &self.messages {
            let Some(iv) = message.iv else { continue };
            let key = (message.spis, message.flags & ORIGINAL_INITIATOR != 0, iv);
            match seen.entry(key) {
                Entry::Occupied(before) => reused += u64::from(**before.get() != message.bytes[..]),
                Entry::Vacant(place) => {
                    place.insert(&message.bytes);
                }
            }
        }
        reused
    }

    /// IKE messages with an IV, and ESP packets.
    #[must_use]
    pub fn ivs(&self) -> usize {
        self.messages.iter().filter(|message| message.iv.is_some()).count() + self.esp_ivs.len()
    }

    fn see(&mut self, at: Duration, frame: &[u8]) {
        let Some((protocol, addresses, payload)) = ipv4(frame) else { return };
        match protocol {
            50 => self.see_esp(addresses, payload),
            17 => {
                let port = |at: usize| payload.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
                let ports = [port(0), port(2)];
                let body = payload.get(8..).unwrap_or_default();
                if ports.contains(&Some(500)) {
                    self.messages.extend(Message::read(at, body));
                } else if ports.contains(&Some(4500)) {
                    match body.strip_prefix(&[0; 4]) {
                        Some(ike) => self.messages.extend(Message::read(at, ike)),
                        None => self.see_esp(addresses, body),
                    }
                }
            }
            _ => {}
        }
    }

    fn see_esp(&mut self, addresses: &[u8], packet: &[u8]) {
        let (Some(spi), Some(iv)) = (packet.first_chunk(), packet.get(8..16).and_then(|iv| iv.first_chunk()))
        else {
            return;
        };
        let key = (addresses.to_vec(), u32::from_be_bytes(*spi), *iv);
        let mut hasher = DefaultHasher::new();
        packet.hash(&mut hasher);
        let hash = hasher.finish();
        match self.esp_ivs.entry(key) {
            Entry::Occupied(before) => self.reused_in_esp += u64::from(*before.get() != hash),
            Entry::Vacant(place) => {
                place.insert(hash);
            }
        }
    }
}

impl Message {
    fn read(at: Duration, bytes: &[u8]) -> Option<Self> {
        let header = bytes.first_chunk::<IKE_HEADER>()?;
        let [spi_i, spi_r] =
            [0, 8].map(|at| header[at..].first_chunk().map_or(0, |b| u64::from_be_bytes(*b)));
        let (next, exchange, flags) = (header[16], header[18], header[19]);
        let iv_at = match next {
            ENCRYPTED => Some(IKE_HEADER + 4),
            ENCRYPTED_FRAGMENT => Some(IKE_HEADER + 8),
            _ => None,
        };
        let iv = iv_at.and_then(|at| bytes.get(at..)?.first_chunk().copied());
        let id = header[20..].first_chunk().map_or(0, |b| u32::from_be_bytes(*b));
        Some(Self { at, spis: [spi_i, spi_r], exchange, flags, id, iv, bytes: bytes.to_vec() })
    }

    fn is_response(&self) -> bool {
        self.flags & RESPONSE != 0
    }

    fn exchange_name(&self) -> Name {
        let [spi_i, spi_r] = self.spis;
        let by_initiator = (self.flags & ORIGINAL_INITIATOR != 0) != self.is_response();
        (spi_i, if self.exchange == IKE_SA_INIT { 0 } else { spi_r }, by_initiator, self.id)
    }
}

/// Protocol, addresses and payload of a frame that carries IPv4.
fn ipv4(frame: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let packet = frame.strip_prefix(frame.get(..12)?)?.strip_prefix(&[0x08, 0x00])?;
    let header_len = usize::from(packet.first()? & 15) * 4;
    let len = usize::from(u16::from_be_bytes(*packet.get(2..)?.first_chunk()?));
    Some((*packet.get(9)?, packet.get(12..20)?, packet.get(header_len..len)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A message in UDP on port 500.
    fn frame(spi_r: u64, exchange: u8, flags: u8, id: u32, iv: u64, rest: &[u8]) -> Vec<u8> {
        let next = if exchange == IKE_SA_INIT { 33 } else { ENCRYPTED };
        let ike = [
            &7u64.to_be_bytes()[..],
            &spi_r.to_be_bytes(),
            &[next, 0x20, exchange, flags],
            &id.to_be_bytes(),
            &[0; 8],
            &iv.to_be_bytes(),
            rest,
        ]
        .concat();
        udp(&ike)
    }

    fn udp(body: &[u8]) -> Vec<u8> {
        let len = u8::try_from(28 + body.len()).unwrap();
        let ip = [0x45, 0, 0, len, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        [&[2; 12][..], &[0x08, 0x00], &ip, &[0x01, 0xf4, 0x01, 0xf4, 0, 0, 0, 0], body].concat()
    }

    #[test]
    fn an_exchange_is_in_flight_until_it_is_answered() {
        let mut all = Exchanges::default();
        all.see(at(10), &frame(0, IKE_SA_INIT, 0x08, 0, 0, &[]));
        all.see(at(20), &frame(9, IKE_SA_INIT, 0x20, 0, 0, &[]));
        all.see(at(30), &frame(9, 36, 0x00, 0, 1, b"their request"));
        all.see(at(40), &frame(9, 36, 0x08, 0, 1, b"our request"));
        all.see(at(50), &frame(9, 36, 0x28, 0, 2, b"our response"));
        assert_eq!(
            [5, 15, 25, 35, 45, 55].map(|ms| all.in_flight(at(ms))),
            [false, true, false, true, true, true]
        );
        all.see(at(60), &frame(9, 36, 0x20, 0, 2, b"their response"));
        assert!(!all.in_flight(at(60)));
        assert_eq!((all.negotiations_after(at(0)), all.negotiations_after(at(10))), (1, 0));
        assert_eq!((all.reused_ivs(), all.ivs()), (0, 4));
    }

    #[test]
    fn an_iv_may_come_again_in_the_same_message_only() {
        let mut all = Exchanges::default();
        let request = frame(9, 37, 0x08, 4, 77, b"request");
        all.see(at(1), &request);
        all.see(at(2), &request);
        assert_eq!(all.reused_ivs(), 0);
        all.see(at(3), &frame(9, 37, 0x08, 5, 77, b"another"));
        assert_eq!(all.reused_ivs(), 1);
        // In UDP, without the marker of four zeros: ESP.
        let esp = |last| {
            let mut frame = udp(&[0xc0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, last]);
            frame[34..38].copy_from_slice(&[0x11, 0x94, 0x11, 0x94]);
            frame
        };
        all.see(at(4), &esp(1));
        all.see(at(5), &esp(1));
        assert_eq!(all.reused_ivs(), 1);
        all.see(at(6), &esp(2));
        assert_eq!((all.reused_ivs(), all.ivs()), (2, 4));
    }
}
