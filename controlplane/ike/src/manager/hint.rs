//! What anybody may claim: that one end has lost an SA (RFC 7296 sections 1.5 and 2.21.4).
//!
//! Nothing of it is authentic. All it does is to have the peer asked at once, and not often; what the peer answers, or
//! that it does not, counts as ever.

use super::IkeManager;
use super::command::{Datagram, IkeSaId};
use crate::config::{ConnectionKey, Start};
use crate::sa::core::Path;
use crate::time::Time;
use crate::v2::sa_init;
use crate::wire::iana::{ExchangeType, NotifyType};
use crate::wire::{Header, Message, NotifyPayload, Payload};
use std::time::Duration;

/// Answers, and claims looked at, per second; as many may come at once.
const RATE: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);
/// An answer, which shall not be longer than what it answers: header and Notify payload.
const ANSWER_LEN: usize = 28 + 8;

/// How much attention strangers have used up.
#[derive(Debug, Default)]
pub(super) struct Attention {
    /// Until it is all there again.
    spent_until: Time,
}

impl Attention {
    fn take(&mut self, now: Time) -> bool {
        let until = self.spent_until.max(now) + SECOND / RATE;
        let granted = until.since(now) <= SECOND;
        if granted {
            self.spent_until = until;
        }
        granted
    }
}

impl IkeManager {
    /// A message of no IKE SA of ours: perhaps the peer says so of an SA of its own, else it learns it.
    pub(super) fn outside(&mut self, datagram: &Datagram, header: &Header, now: Time) {
        self.out.counters.unknown_spi += 1;
        if header.flags.response {
            return;
        }
        // A peer that we may talk to, not the victim of a forger.
        let is_possible = !sa_init::candidates(&Path::of(datagram), &self.context(now)).is_empty();
        if !is_possible || datagram.payload.len() < ANSWER_LEN || !self.attention.take(now) {
            return;
        }
        match lost_child(datagram, header) {
            Some(peer_spi) => self.child_unknown(peer_spi, datagram, now),
            None => self.refuse(datagram, header, NotifyPayload::new(NotifyType::INVALID_IKE_SPI, [])),
        }
    }

    /// Somebody at the address of a peer does not know the SPI that we send to.
    fn child_unknown(&mut self, peer_spi: u32, datagram: &Datagram, now: Time) {
        let sender = (datagram.vrf, datagram.remote.ip());
        let concerned = self.sas.values().find(|sa| {
            (sa.core.path.vrf, sa.core.path.remote.ip()) == sender
                && sa.established().is_some_and(|sa| sa.child_by_peer_spi(peer_spi).is_some())
        });
        if let Some(id) = concerned.map(|sa| sa.core.id) {
            self.touch(id, now, |sa, cx| sa.doubt(cx));
        }
    }

    /// ESP from the address of a peer has an SPI that we do not have: the peer is asked, or, where there is no IKE SA to
    /// ask on, negotiated with.
    pub(super) fn esp_unknown(&mut self, key: ConnectionKey, now: Time) {
        let ids: Vec<IkeSaId> = self.index.of_connection(key).collect();
        let starts = self.connections.get(key).is_some_and(|connection| match connection.start {
            Start::Immediate => self.pacing.is_wanted(key),
            Start::OnTraffic => true,
            Start::Respond => false,
        });
        if ids.is_empty() && starts && self.pacing.may_try(key, now) {
            self.bring_up(key, None, now);
        }
        for id in ids {
            self.touch(id, now, |sa, cx| sa.doubt(cx));
        }
    }
}

/// The SPI in a one-way INVALID_SPI (section 1.5): the peer received ESP that it has no SA for.
fn lost_child(datagram: &Datagram, header: &Header) -> Option<u32> {
    if header.exchange != ExchangeType::INFORMATIONAL {
        return None;
    }
    let message = Message::decode(&datagram.payload).ok()?;
    let notify = message.notify(NotifyType::INVALID_SPI)?;
    Some(u32::from_be_bytes(<[u8; 4]>::try_from(&notify.data[..]).ok()?))
}

/// Whether an unprotected response says that the peer does not have the IKE SA.
pub(crate) fn denies_ike_sa(datagram: &Datagram) -> bool {
    Message::decode(&datagram.payload).is_ok_and(|message| {
        matches!(&message.payloads[..], [Payload::Notify(n)] if n.notify_type == NotifyType::INVALID_IKE_SPI)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attention_comes_back_at_its_rate() {
        let mut attention = Attention::default();
        let at = Time::from_millis;
        assert_eq!((0..100).filter(|_| attention.take(at(5_000))).count(), 10);
        assert!(!attention.take(at(5_099)));
        assert!(attention.take(at(5_100)) && !attention.take(at(5_100)));
        assert_eq!((0..100).filter(|_| attention.take(at(60_000))).count(), 10);
    }
}
