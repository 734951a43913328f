//! What every IKE SA has in every phase: names, path, window, timers, and later its protection.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

use super::timer::{Timer, Timers};
use super::window::{Sealed, Window};
use crate::config::{Connection, ConnectionKey, Fingerprint, NAT_T_PORT};
use crate::crypto::{Assembly, CryptoError, IkeKeys, IkeSpis, IkeSuite, OpenError, Plain, Secret, SkCipher};
use crate::manager::command::{Datagram, Encap, IkeSaId, Outer};
use crate::manager::context::Ctx;
use crate::record::tape::Tape;
use crate::time::Time;
use crate::v2::nat::Nat;
use crate::wire::iana::ExchangeType;
use crate::wire::{Flags, Header, IkeSpi, Message, MessageId, Payload, Version};

/// IVs of an AEAD that a snapshot holds as used.
const IV_RANGE: u64 = 1 << 16;

/// Where the messages of an IKE SA go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Path {
    pub(crate) vrf: u16,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) nat: Nat,
}

impl Path {
    /// The path of a datagram, before anything is known about NAT.
    pub(crate) fn of(datagram: &Datagram) -> Self {
        let Datagram { vrf, local, remote, .. } = *datagram;
        Self { vrf, local, remote, nat: Nat::default() }
    }

    /// The path of the answer to a datagram: back where it came from (RFC 7296 section 2.11).
    pub(crate) fn back(&self, datagram: &Datagram) -> Self {
        Self { nat: self.nat, ..Self::of(datagram) }
    }

    pub(crate) fn datagram(&self, payload: Vec<u8>) -> Datagram {
        Datagram { vrf: self.vrf, local: self.local, remote: self.remote, payload }
    }

    /// Sends a message, whole or in fragments.
    pub(crate) fn transmit(&self, sealed: &Sealed, cx: &mut Ctx<'_>) {
        for payload in &sealed.datagrams {
            cx.transmit(self.datagram(payload.clone()));
        }
    }

    /// Both ports become 4500 (RFC 7296 section 2.23).
    pub(crate) fn float(&mut self) {
        if self.local.port() != NAT_T_PORT {
            self.local.set_port(NAT_T_PORT);
            self.remote.set_port(NAT_T_PORT);
        }
    }

    /// The outer header of ESP on this path.
    pub(crate) fn outer(&self, keepalive_secs: u16) -> Outer {
        let encap = if self.nat.any() {
            Encap::Udp { local_port: self.local.port(), remote_port: self.remote.port() }
        } else {
            Encap::Native
        };
        let keepalive_secs = if self.nat.local { keepalive_secs } else { 0 };
        Outer { vrf: self.vrf, local: self.local.ip(), remote: self.remote.ip(), encap, keepalive_secs }
    }
}

/// The part of an IKE SA that all phases share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Core {
    pub(crate) id: IkeSaId,
    /// `None` while a responder does not know whom it talks to.
    pub(crate) key: Option<ConnectionKey>,
    /// Of what it and its children were negotiated from, or are about to be.
    pub(crate) fingerprint: Fingerprint,
    /// Whether we are the original initiator.
    pub(crate) initiator: bool,
    pub(crate) spis: IkeSpis,
    pub(crate) path: Path,
    pub(crate) window: Window,
    pub(crate) timers: Timers,
    /// When an authentic new message, or authentic ESP, last arrived.
    pub(crate) last_heard: Time,
    /// When the peer was last asked because somebody said that it lost an SA.
    #[serde(skip)]
    pub(crate) doubted: Option<Time>,
}

impl Core {
    pub(crate) fn new(id: IkeSaId, initiator: bool, spis: IkeSpis, path: Path, now: Time) -> Self {
        let (window, timers) = (Window::default(), Timers::default());
        Self {
            id,
            key: None,
            fingerprint: Fingerprint::default(),
            initiator,
            spis,
            path,
            window,
            timers,
            last_heard: now,
            doubted: None,
        }
    }

    /// From now on it belongs to a connection.
    pub(crate) fn belongs_to(&mut self, connection: &Connection) {
        self.key = Some(connection.key);
        self.fingerprint = connection.fingerprint();
    }

    /// The SPI that messages to us carry as ours.
    pub(crate) fn our_spi(&self) -> IkeSpi {
        if self.initiator { self.spis.initiator } else { self.spis.responder }
    }

    /// The header of a message of ours.
    pub(crate) fn header(&self, exchange: ExchangeType, message_id: MessageId, response: bool) -> Header {
        Header {
            initiator_spi: self.spis.initiator,
            responder_spi: self.spis.responder,
            version: Version::V2,
            exchange,
            flags: Flags { initiator: self.initiator, version: false, response },
            message_id,
        }
    }

    /// Sends a request and waits for its response.
    pub(crate) fn send_request(&mut self, sealed: Sealed, cx: &mut Ctx<'_>) {
        let pause = cx.config.retransmit.first;
        self.path.transmit(&sealed, cx);
        self.window.sent(sealed, pause, cx.now);
        self.start_retransmit(pause, cx);
    }

    /// Sends the request in flight again. One that stays without a response is cut smaller first: the path may not
    /// carry datagrams of its size, and nobody may say so (RFC 7383 section 2.5.2).
    pub(crate) fn send_again(&mut self, protection: Option<&mut Protection>, cx: &mut Ctx<'_>) {
        let Some((request, in_vain)) = self.window.request_again() else { return };
        if let (Some(protection), true) = (protection, in_vain) {
            protection.cut_smaller(request, self.path.remote, cx);
        }
        cx.out.counters.retransmitted += 1;
        self.path.transmit(request, cx);
    }

    /// Sends the last response again, because its request came again; it too is cut smaller if that does not end.
    pub(crate) fn answer_again(&mut self, back: Path, protection: &mut Protection, cx: &mut Ctx<'_>) {
        let Some((response, in_vain)) = self.window.response_again() else { return };
        if in_vain {
            protection.cut_smaller(response, back.remote, cx);
        }
        back.transmit(response, cx);
    }

    /// The next repetition comes after `pause` and a little more.
    pub(crate) fn start_retransmit(&mut self, pause: std::time::Duration, cx: &mut Ctx<'_>) {
        let extra = cx.jitter(pause, cx.config.retransmit.jitter_percent.min(100));
        self.timers.set(Timer::Retransmit, cx.now + cx.tape.pause(pause + extra));
    }

    /// The request in flight needs no more repetitions.
    pub(crate) fn settle(&mut self) {
        self.window.settled();
        self.timers.stop(Timer::Retransmit);
    }
}

/// IVs of an AEAD: a counter with a range reserved ahead. A snapshot is restored behind the range it had
/// reserved, so that no IV is used twice even if the last messages before the end were not journaled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct IvCounter {
    next: u64,
    reserved: u64,
}

impl IvCounter {
    fn take(&mut self) -> u64 {
        // Long before the end of the range, so that a snapshot that is not kept does not matter.
        if self.next + IV_RANGE / 2 >= self.reserved {
            self.reserved = self.next + IV_RANGE;
        }
        let iv = self.next;
        self.next += 1;
        iv
    }

    fn skip_reserved(&mut self) {
        self.next = self.reserved;
        self.reserved += IV_RANGE;
    }
}

/// Keys and algorithms of an IKE SA once they are negotiated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Protection {
    pub(crate) suite: IkeSuite,
    pub(crate) sk_d: Secret,
    outgoing: SkCipher,
    incoming: SkCipher,
    iv: IvCounter,
    /// The longest IP packet that our messages make, where the peer takes fragments (RFC 7383).
    fragment_size: Option<u16>,
    /// Of the peer's requests and responses. What is lost with it, the peer sends again.
    #[serde(skip)]
    assemblies: [Assembly; 2],
}

/// What an authentic datagram is.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A message, or the last missing fragment of one.
    Message(Message),
    /// A fragment of a message that is not complete, or is not new.
    Fragment {
        /// From 1.
        number: u16,
    },
}

/// Bytes in front of an IKE message in an IP packet at most: IPv6, UDP, the non-ESP marker.
const HEADERS: u16 = 40 + 8 + 4;

/// The least MTU of an IPv6 link (RFC 8200 section 5).
const IPV6_MTU: u16 = 1280;
/// Sizes of IP packets to which messages are cut one after the other when nothing answers, bytes: what every IPv6 path
/// carries, and what every host takes by IPv4 (RFC 7383 section 2.5.1).
const SMALLER: [u16; 2] = [IPV6_MTU, 576];

impl Protection {
    /// `initiator`: whether we are the original initiator.
    pub(crate) fn new(suite: IkeSuite, keys: &IkeKeys, initiator: bool) -> Result<Self, CryptoError> {
        Ok(Self {
            suite,
            sk_d: keys.sk_d.clone(),
            outgoing: keys.cipher(&suite, initiator)?,
            incoming: keys.cipher(&suite, !initiator)?,
            iv: IvCounter { next: 0, reserved: IV_RANGE },
            fragment_size: None,
            assemblies: Default::default(),
        })
    }

    /// Longer messages go in fragments that make IP packets of at most `size` bytes; `None`: the peer takes none.
    pub(crate) fn with_fragments(self, size: Option<u16>) -> Self {
        Self { fragment_size: size, ..self }
    }

    /// As its successor shall have it, too.
    pub(crate) fn fragment_size(&self) -> Option<u16> {
        self.fragment_size
    }

    pub(crate) fn seal(
        &mut self,
        header: &Header,
        payloads: &[Payload],
        cx: &mut Ctx<'_>,
    ) -> Result<Sealed, CryptoError> {
        cx.tape.made(payloads);
        let Self { suite, outgoing, iv, .. } = self;
        let mut iv = || {
            if suite.encr.is_aead() { iv.take().to_be_bytes().to_vec() } else { cx.random(outgoing.iv_len()) }
        };
        let Some(size) = self.fragment_size else {
            return Ok(Sealed::whole(outgoing.seal(header, payloads, &iv())?));
        };
        let datagrams = outgoing.seal_within(size.saturating_sub(HEADERS).into(), header, payloads, iv)?;
        let smallest = SMALLER.iter().min().map_or(0, |size| usize::from(size.saturating_sub(HEADERS)));
        let is_long = datagrams.iter().any(|datagram| datagram.len() > smallest);
        let message = is_long.then(|| Box::new(Message { header: *header, payloads: payloads.to_vec() }));
        Ok(Sealed { datagrams, message })
    }

    /// Cuts a message into shorter fragments, as all that follow it. One that is short already stays as it is.
    fn cut_smaller(&mut self, sealed: &mut Sealed, remote: SocketAddr, cx: &mut Ctx<'_>) {
        let least = if remote.is_ipv4() { 0 } else { IPV6_MTU };
        let smaller = |size: &u16| (least..self.fragment_size.unwrap_or(0)).contains(size);
        let Some((&size, message)) = SMALLER.iter().find(|size| smaller(size)).zip(sealed.message.take())
        else {
            return;
        };
        self.fragment_size = Some(size);
        // In too many fragments to be sent, it stays as it was.
        if let Ok(shorter) = self.seal(&message.header, &message.payloads, cx) {
            *sealed = shorter;
        }
    }

    /// Opens a datagram. `is_new`: its message was not there before, so that fragments of it are worth keeping.
    pub(crate) fn open(
        &mut self,
        datagram: &[u8],
        header: &Header,
        is_new: bool,
        tape: &mut Tape,
    ) -> Result<Opened, OpenError> {
        if let Some(plain) = tape.replayed(header) {
            return plain.read().map(Opened::Message);
        }
        let plain = match self.incoming.open_text(datagram) {
            Err(OpenError::NotEncrypted) if self.fragment_size.is_some() => {
                match self.assemble(datagram, header, is_new)? {
                    Ok(plain) => plain,
                    Err(number) => return Ok(Opened::Fragment { number }),
                }
            }
            other => other?,
        };
        tape.opened(&plain);
        plain.read().map(Opened::Message)
    }

    /// Opens a fragment; gives the text of its message if it was the last one missing, or else its number.
    fn assemble(
        &mut self,
        datagram: &[u8],
        header: &Header,
        is_new: bool,
    ) -> Result<Result<Plain, u16>, OpenError> {
        let fragment = self.incoming.open_fragment(datagram)?;
        let number = fragment.number;
        let assembly = &mut self.assemblies[usize::from(header.flags.response)];
        Ok(is_new.then(|| assembly.add(fragment)).flatten().ok_or(number))
    }

    /// After a restore: leaves out the IVs that may have been used since the snapshot.
    pub(crate) fn skip_reserved_ivs(&mut self) {
        self.iv.skip_reserved();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restored_counter_starts_behind_everything_its_snapshot_allowed() {
        let mut live = IvCounter { next: 0, reserved: IV_RANGE };
        let mut restored = live.clone();
        let used: Vec<u64> = (0..IV_RANGE / 2).map(|_| live.take()).collect();
        restored.skip_reserved();
        assert!(!used.contains(&restored.take()));
    }

    #[test]
    fn the_range_grows_before_it_is_left() {
        let mut iv = IvCounter { next: 0, reserved: IV_RANGE };
        for _ in 0..3 * IV_RANGE {
            let snapshot = iv.clone();
            let used = iv.take();
            assert!(used + IV_RANGE / 2 <= snapshot.reserved, "{used} is close to the end of {snapshot:?}");
        }
    }
}
