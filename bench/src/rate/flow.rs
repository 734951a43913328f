//! What is offered to a gateway: frames in memory, each with a number that comes out at the other side.

use anyhow::{Context, Result, ensure};
use arrayvec::ArrayVec;
use esplanade_dataplane::worker::{Arrival, BURST};

use crate::gateway::{LAN, OUR_MAC, WAN};
use crate::machine::{Bench, Machine, drops, packet};
use crate::report::Direction;
use crate::traffic::Size;

/// Bytes of sealed frames kept in memory for one pass.
const SEALED_BYTES: usize = 64 << 20;
/// Ethernet, IPv4 and UDP headers: the number of a plain frame follows.
const PLAIN_NUMBER: usize = 14 + 20 + 8;
/// Ethernet and IPv4 header and the SPI: the sequence number of a sealed frame follows (RFC 4303 section 2).
const SEQUENCE_NUMBER: usize = 14 + 20 + 4;
/// Where the UDP checksum of a plain frame lies.
const UDP_CHECKSUM: usize = 14 + 20 + 6;
/// The shortest IP packet that has room for a number.
pub(crate) const LEAST_BYTES: usize = 20 + 8 + 4;

/// Frames, one after the other.
#[derive(Debug, Default, Clone)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Frames {
    fn push(&mut self, frame: &[u8]) {
        self.bytes.extend_from_slice(frame);
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The `n`th frame; they repeat.
    #[inline]
    pub(crate) fn of(&self, n: usize) -> &[u8] {
        let n = n % self.ends.len();
        let start = if n == 0 { 0 } else { self.ends[n - 1] };
        &self.bytes[start..self.ends[n]]
    }
}

/// One direction of traffic through the gateway.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    pub(crate) direction: Direction,
    pub(crate) frames: Frames,
}

impl Flow {
    /// Plain frames for the inside port, made by `frame` of a length each; they may repeat for ever.
    pub(crate) fn encap(size: Size, frame: impl Fn(usize) -> Result<Vec<u8>>) -> Result<Self> {
        let mut frames = Frames::default();
        for n in 0..size.cycle() {
            frames.push(&frame(size.of(n))?);
        }
        Ok(Self { direction: Direction::Encap, frames })
    }

    /// Frames for the outside port as `peer` seals what `frame` makes: sequence numbers from 1, each once, at most
    /// `most` of them.
    pub(crate) fn decap(
        machine: &Machine,
        peer: &mut Bench,
        size: Size,
        most: usize,
        frame: impl Fn(usize) -> Result<Vec<u8>>,
    ) -> Result<Self> {
        let plain = Self::encap(size, frame)?.frames;
        let mut frames = Frames::default();
        while frames.len() < most && frames.bytes.len() < SEALED_BYTES {
            let mut arrivals = ArrayVec::<_, BURST>::new();
            for n in frames.len()..frames.len() + BURST / 2 {
                let frame = packet(machine.pool, &numbered(plain.of(n), n)?)?;
                arrivals.push(Arrival::Frame { port: LAN, frame });
            }
            peer.burst(&mut arrivals);
            ensure!(peer.sent.0.len() == BURST / 2, "not all was sealed: {:?}", drops(&peer.reader));
            for mut sealed in peer.sent.0.drain(..) {
                sealed.data_mut()[..6].copy_from_slice(&OUR_MAC[WAN.index()].0);
                frames.push(sealed.data());
            }
        }
        Ok(Self { direction: Direction::Decap, frames })
    }

    /// How many may be sent before the SA must be installed anew; none if there is no end to them.
    pub(crate) fn once(&self) -> Option<usize> {
        match self.direction {
            Direction::Encap => None,
            Direction::Decap => Some(self.frames.len()),
        }
    }

    /// The number of a frame that left the gateway, from 0.
    #[inline]
    pub(crate) fn number(&self, frame: &[u8]) -> Option<usize> {
        let (at, first) = match self.direction {
            Direction::Encap => (SEQUENCE_NUMBER, 1),
            Direction::Decap => (PLAIN_NUMBER, 0),
        };
        let bytes = frame.get(at..at + 4)?.try_into().ok()?;
        u32::from_be_bytes(bytes).checked_sub(first).map(|number| number as usize)
    }
}

/// The frame with its number, and without a checksum of it (RFC 768).
fn numbered(frame: &[u8], n: usize) -> Result<Vec<u8>> {
    let mut frame = frame.to_vec();
    frame[UDP_CHECKSUM..UDP_CHECKSUM + 2].fill(0);
    let place = frame.get_mut(PLAIN_NUMBER..PLAIN_NUMBER + 4).context("no room for a number")?;
    place.copy_from_slice(&u32::try_from(n)?.to_be_bytes());
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic;

    #[test]
    fn frames_repeat_and_numbers_come_back() {
        let flow = Flow::encap(Size::Imix, |bytes| traffic::frame(0, bytes)).expect("frames");
        assert_eq!(flow.frames.len(), 12);
        assert_eq!(flow.frames.of(0), flow.frames.of(12));
        assert_eq!(flow.frames.of(11).len(), 14 + 1400);
        let back = Flow { direction: Direction::Decap, frames: Frames::default() };
        let frame = numbered(flow.frames.of(0), 70_000).expect("room");
        assert_eq!(back.number(&frame), Some(70_000));
        assert_eq!(back.number(&frame[..40]), None);
    }
}
