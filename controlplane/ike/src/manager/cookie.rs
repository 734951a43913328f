//! Stateless cookies (RFC 7296 section 2.6): under load a peer shows that it receives what is sent to its address before
//! anything is kept or computed for it.

use std::net::IpAddr;

use super::command::Datagram;
use super::context::Ctx;
use crate::crypto::{Prf, Secret};
use crate::time::Time;
use crate::wire::iana::NotifyType;
use crate::wire::{Message, NotifyPayload};
use std::time::Duration;

/// How long cookies are made with one secret; they are accepted for as long again.
const ROTATION: Duration = Duration::from_secs(60);
const SECRET_LEN: usize = 32;
/// Bytes of a cookie, of an HMAC: at most 64.
const COOKIE_LEN: usize = 24;

/// The secrets of this gateway.
#[derive(Debug, Default)]
pub(super) struct Cookies {
    current: Option<Generation>,
    previous: Option<Generation>,
}

#[derive(Debug)]
struct Generation {
    secret: Secret,
    since: Time,
}

impl Cookies {
    /// What to challenge the sender of this first message with.
    pub(super) fn challenge(
        &mut self,
        datagram: &Datagram,
        request: &Message,
        cx: &mut Ctx<'_>,
    ) -> NotifyPayload {
        self.rotate(cx);
        let cookie = self.current.as_ref().map(|generation| generation.cookie(datagram, request));
        NotifyPayload::new(NotifyType::COOKIE, cookie.unwrap_or_default())
    }

    /// True if the first message brings a cookie that its sender was given lately.
    pub(super) fn is_met(&mut self, datagram: &Datagram, request: &Message, cx: &mut Ctx<'_>) -> bool {
        let Some(brought) = request.notify(NotifyType::COOKIE) else { return false };
        self.rotate(cx);
        let generations = self.current.iter().chain(&self.previous);
        let brought = Secret::from(&brought.data[..]);
        generations.into_iter().any(|generation| Secret::new(generation.cookie(datagram, request)) == brought)
    }

    fn rotate(&mut self, cx: &mut Ctx<'_>) {
        let age = self.current.as_ref().map(|current| cx.now.since(current.since));
        if age.is_some_and(|age| age < ROTATION) {
            return;
        }
        let fresh = Generation { secret: Secret::new(cx.random(SECRET_LEN)), since: cx.now };
        // What is older than two rotations is not accepted any more, also after a long calm.
        self.previous = self.current.replace(fresh).filter(|_| age.is_some_and(|age| age < 2 * ROTATION));
    }
}

impl Generation {
    /// HMAC(secret, Ni | IPi | VRF | SPIi).
    fn cookie(&self, datagram: &Datagram, request: &Message) -> Vec<u8> {
        let nonce = request.nonce().map_or(&[][..], |nonce| nonce.as_bytes());
        let address = match datagram.remote.ip() {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        let (vrf, spi) = (datagram.vrf.to_be_bytes(), request.header.initiator_spi.0.to_be_bytes());
        let tag = Prf::HmacSha256.compute(self.secret.expose(), &[nonce, &address, &vrf, &spi]);
        tag.expose()[..COOKIE_LEN].to_vec()
    }
}

/// First messages that cost a key exchange and came to nothing: as much a load as half-open IKE SAs.
#[derive(Debug, Default)]
pub(super) struct Vain {
    since: Time,
    count: usize,
}

impl Vain {
    /// Another one; those of more than `span` ago are forgotten.
    pub(super) fn count(&mut self, now: Time, span: Duration) {
        *self = Self { count: self.lately(now, span).saturating_add(1), since: self.since };
        if self.count == 1 {
            self.since = now;
        }
    }

    /// How many there were within `span`, or a little more.
    pub(super) fn lately(&self, now: Time, span: Duration) -> usize {
        if now.since(self.since) < span { self.count } else { 0 }
    }
}
