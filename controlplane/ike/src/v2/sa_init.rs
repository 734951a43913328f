//! IKE_SA_INIT (RFC 7296 section 1.2): algorithms, key exchange, nonces, NAT detection.
//!
//! ```text
//! HDR, [N(COOKIE)], SAi1, KEi, Ni, N(NAT-D)*, [N(HASHES)]  -->
//!                                       <--  HDR, SAr1, KEr, Nr, N(NAT-D)*, [CERTREQ], [N(HASHES)]
//!                                        or  HDR, N(COOKIE)             (section 2.6)
//!                                        or  HDR, N(INVALID_KE_PAYLOAD) (section 1.3)
//! ```

use serde::{Deserialize, Serialize};

use super::auth_initiator::AuthInitiator;
use super::auth_responder::HalfOpen;
use super::fault::Fault;
use super::proof::Ingredients;
use super::{nat, offer, proof};
use crate::config::Connection;
use crate::crypto::{CryptoError, Group, IkeKeys, IkeSpis, KeyExchange, Nonces};
use crate::manager::command::{Datagram, Flow};
use crate::manager::context::Ctx;
use crate::sa::core::{Core, Path, Protection};
use crate::sa::window::Sealed;
use crate::wire::iana::{ExchangeType, KeId, NotifyType};
use crate::wire::{IkeSpi, Message, MessageId, Nonce, NotifyPayload, Payload};

/// Times a responder may ask for another beginning.
const MAX_ROUNDS: u8 = 4;

/// The exchange as its initiator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SaInit {
    nonce: Nonce,
    exchange: KeyExchange,
    cookie: Option<Vec<u8>>,
    rounds: u8,
    /// The packet that wants the tunnel.
    pub(crate) flow: Option<Flow>,
    /// We know of no other IKE SA with this peer.
    pub(crate) initial_contact: bool,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum InitOutcome {
    /// Keys are there: IKE_AUTH follows.
    Done(Box<AuthInitiator>),
    /// Send it again, changed, under the same message ID.
    NeedMore(Box<SaInit>),
    /// The response is no use, and perhaps not the peer's: keep waiting.
    Ignore(Box<SaInit>),
    /// It failed.
    Fail(Fault),
}

impl SaInit {
    /// A first request with the group of the connection's first proposal.
    pub(crate) fn new(
        connection: &Connection,
        flow: Option<Flow>,
        initial_contact: bool,
        cx: &mut Ctx<'_>,
    ) -> Result<Self, Fault> {
        let first = connection.ike_proposals.iter().find_map(|p| p.suite());
        let group = first.ok_or(Fault::Internal("no usable IKE proposal"))?.group;
        let exchange = cx.key_exchange(group)?;
        Ok(Self { nonce: cx.nonce(), exchange, cookie: None, rounds: 0, flow, initial_contact })
    }

    /// The payloads of the request; a cookie comes first (section 2.6).
    pub(crate) fn build(&self, core: &Core, connection: &Connection) -> Vec<Payload> {
        let cookie = self.cookie.iter().map(|c| NotifyPayload::new(NotifyType::COOKIE, c.as_slice()));
        let mut payloads: Vec<Payload> = cookie.map(Payload::Notify).collect();
        payloads.extend([
            Payload::Sa(offer::ike_offer(&connection.ike_proposals, &[])),
            Payload::Ke(self.exchange.payload()),
            Payload::Nonce(self.nonce.clone()),
        ]);
        if connection.nat_traversal {
            let Path { local, remote, .. } = core.path;
            payloads.extend(nat::payloads(core.spis, local, remote, connection.force_encap));
        }
        payloads.extend(connection.fragment_size.map(|_| fragments_welcome()));
        payloads.extend(proof::hash_algorithms([connection].into_iter()));
        payloads
    }

    /// A response arrived. Nothing in it is authentic yet.
    pub(crate) fn process(
        mut self: Box<Self>,
        datagram: &Datagram,
        response: &Message,
        core: &mut Core,
        connection: &Connection,
        cx: &mut Ctx<'_>,
    ) -> InitOutcome {
        if response.sa().is_some() {
            return self.finish(datagram, response, core, connection);
        }
        if let Some(cookie) = response.notify(NotifyType::COOKIE) {
            // The same again answers a repetition of what we sent before.
            if self.cookie.as_ref() == Some(&cookie.data) {
                return InitOutcome::Ignore(self);
            }
            self.cookie = Some(cookie.data.clone());
            return self.again();
        }
        match response.error_notify() {
            Some(notify) if notify.notify_type == NotifyType::INVALID_KE_PAYLOAD => {
                self.other_group(notify, connection, cx)
            }
            Some(notify) => InitOutcome::Fail(Fault::Refused(notify.clone())),
            None => InitOutcome::Ignore(self),
        }
    }

    fn again(mut self: Box<Self>) -> InitOutcome {
        self.rounds += 1;
        if self.rounds > MAX_ROUNDS {
            return InitOutcome::Fail(Fault::Syntax("the peer asks for ever new beginnings"));
        }
        InitOutcome::NeedMore(self)
    }

    fn other_group(
        mut self: Box<Self>,
        notify: &NotifyPayload,
        connection: &Connection,
        cx: &mut Ctx<'_>,
    ) -> InitOutcome {
        let wanted = acceptable_group(notify, connection.ike_proposals.iter().map(|p| p.group));
        let Some(group) = wanted.filter(|group| *group != self.exchange.group()) else {
            return InitOutcome::Fail(Fault::Refused(notify.clone()));
        };
        match cx.key_exchange(group) {
            Ok(exchange) => self.exchange = exchange,
            Err(error) => return InitOutcome::Fail(error.into()),
        }
        self.again()
    }

    fn finish(
        self: Box<Self>,
        datagram: &Datagram,
        response: &Message,
        core: &mut Core,
        connection: &Connection,
    ) -> InitOutcome {
        let (Some(sa), Some(ke), Some(nonce)) = (response.sa(), response.ke(), response.nonce()) else {
            return InitOutcome::Ignore(self);
        };
        if response.header.responder_spi.is_zero() || !offer::is_single_choice(sa) {
            return InitOutcome::Ignore(self);
        }
        let spis = IkeSpis { responder: response.header.responder_spi, ..core.spis };
        let group = self.exchange.group().id();
        let nonces = Nonces { initiator: self.nonce.clone(), responder: nonce.clone() };
        let agreed = agree(connection, sa, ke.group, group, &self.exchange, &ke.data, &nonces, spis, true);
        let (protection, keys) = match agreed {
            Ok(agreed) => agreed,
            Err(fault) => return InitOutcome::Fail(fault),
        };
        let Some(request) = core.window.in_flight().and_then(|r| r.sealed.datagrams.first().cloned()) else {
            return InitOutcome::Ignore(self);
        };
        let fragment_size = connection.fragment_size.filter(|_| takes_fragments(response));
        let protection = protection.with_fragments(fragment_size);
        core.spis = spis;
        core.path = core.path.back(datagram);
        if connection.nat_traversal {
            core.path.nat = nat::detect(response, spis, datagram.local, datagram.remote).unwrap_or_default();
            core.path.nat.remote |= connection.force_encap;
        }
        if core.path.nat.any() {
            core.path.float();
        }
        let init = (request, datagram.payload.clone());
        let ingredients = Ingredients::new(keys, nonces, init, response);
        // A second IKE SA takes the place of another one, and needs a child for that.
        let childless = connection.childless
            && self.initial_contact
            && response.notify(NotifyType::CHILDLESS_IKEV2_SUPPORTED).is_some();
        let begun = AuthInitiator::new(protection, ingredients, self.flow, self.initial_contact);
        InitOutcome::Done(Box::new(if childless { begun.childless() } else { begun }))
    }
}

/// We take messages in fragments (RFC 7383 section 2.3).
fn fragments_welcome() -> Payload {
    Payload::Notify(NotifyPayload::new(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED, []))
}

fn takes_fragments(message: &Message) -> bool {
    message.notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED).is_some()
}

/// The group an INVALID_KE_PAYLOAD names, if it is one we offered.
pub(crate) fn acceptable_group(
    notify: &NotifyPayload,
    mut offered: impl Iterator<Item = KeId>,
) -> Option<Group> {
    let id = KeId(u16::from_be_bytes(<[u8; 2]>::try_from(&notify.data[..]).ok()?));
    offered.find(|group| *group == id).and_then(Group::from_id)
}

/// Checks the responder's choice and derives the keys.
#[expect(clippy::too_many_arguments, reason = "everything the key schedule depends on")]
fn agree(
    connection: &Connection,
    sa: &crate::wire::SaPayload,
    ke_group: KeId,
    sent_group: KeId,
    exchange: &KeyExchange,
    peer_public: &[u8],
    nonces: &Nonces,
    spis: IkeSpis,
    initiator: bool,
) -> Result<(Protection, IkeKeys), Fault> {
    let chosen = offer::select_ike(&connection.ike_proposals, sa, sent_group).map_err(Fault::Mismatch)?;
    if chosen.proposal.group != sent_group || ke_group != sent_group {
        return Err(Fault::WrongGroup(chosen.proposal.group));
    }
    let suite = chosen.proposal.suite().ok_or(Fault::Internal("an algorithm we do not have was chosen"))?;
    let shared = exchange.agree(peer_public)?;
    let keys = IkeKeys::derive(&suite, &shared, nonces, spis);
    Ok((Protection::new(suite, &keys, initiator)?, keys))
}

/// The exchange as its responder: a half-open IKE SA, with its response on the way.
///
/// The place of the stateless cookie (section 2.6) is before this is called: nothing has been kept or
/// computed until here.
pub(crate) fn answer(
    datagram: &Datagram,
    request: &Message,
    cx: &mut Ctx<'_>,
) -> Result<(Core, HalfOpen), Fault> {
    let (Some(sa), Some(ke), Some(nonce)) = (request.sa(), request.ke(), request.nonce()) else {
        return Err(Fault::Syntax("IKE_SA_INIT needs SA, KE and Nonce"));
    };
    let (connection, chosen) = choose(datagram, sa, ke.group, cx)?;
    if chosen.proposal.group != ke.group {
        return Err(Fault::WrongGroup(chosen.proposal.group));
    }
    let suite = chosen.proposal.suite().ok_or(Fault::Internal("an algorithm we do not have was chosen"))?;
    if ke.data.len() != suite.group.public_len() {
        return Err(CryptoError::PublicValue(ke.group).into());
    }
    let exchange = cx.key_exchange(suite.group)?;
    let shared = exchange.agree(&ke.data)?;
    let spis = IkeSpis { initiator: request.header.initiator_spi, responder: cx.first_spi() };
    let nonces = Nonces { initiator: nonce.clone(), responder: cx.nonce() };
    let keys = IkeKeys::derive(&suite, &shared, &nonces, spis);

    let mut core = Core::new(cx.ike_sa_id(), false, spis, Path::of(datagram), cx.now);
    let mut payloads = vec![
        Payload::Sa(chosen.answer(&[])),
        Payload::Ke(exchange.payload()),
        Payload::Nonce(nonces.responder.clone()),
    ];
    let no_responder = IkeSpis { responder: IkeSpi::ZERO, ..spis };
    let mut detected = nat::detect(request, no_responder, datagram.local, datagram.remote);
    if let Some(detected) = detected.take_if(|_| connection.nat_traversal) {
        core.path.nat = detected;
        core.path.nat.remote |= connection.force_encap;
        payloads.extend(nat::payloads(spis, datagram.local, datagram.remote, connection.force_encap));
    }
    let fragment_size = connection.fragment_size.filter(|_| takes_fragments(request));
    payloads.extend(fragment_size.map(|_| fragments_welcome()));
    // Who the peer is shows in IKE_AUTH: until then the CAs of all connections it may use count.
    let possible = candidates(&core.path, cx);
    payloads.extend(proof::request(possible.iter().copied()).map(Payload::CertReq));
    if request.notify(NotifyType::SIGNATURE_HASH_ALGORITHMS).is_some() {
        payloads.extend(proof::hash_algorithms(possible.into_iter()));
    }
    payloads.push(Payload::Notify(NotifyPayload::new(NotifyType::CHILDLESS_IKEV2_SUPPORTED, [])));
    let header = core.header(ExchangeType::IKE_SA_INIT, MessageId(0), true);
    let response = Message { header, payloads }.encode().map_err(crate::crypto::CryptoError::from)?;
    core.window.begin(MessageId(0));
    core.window.answered(MessageId(0), Sealed::whole(response.clone()));
    cx.transmit(core.path.datagram(response.clone()));
    let protection = Protection::new(suite, &keys, false)?.with_fragments(fragment_size);
    let ingredients = Ingredients::new(keys, nonces, (datagram.payload.clone(), response), request);
    Ok((core, HalfOpen::new(protection, ingredients, detected.filter(|nat| nat.any()))))
}

/// The first connection of these addresses that accepts a proposal.
fn choose<'a>(
    datagram: &Datagram,
    sa: &crate::wire::SaPayload,
    sent_group: KeId,
    cx: &Ctx<'a>,
) -> Result<(&'a Connection, offer::ChosenIke), Fault> {
    let mut refused = None;
    for connection in candidates(&Path::of(datagram), cx) {
        match offer::select_ike(&connection.ike_proposals, sa, sent_group) {
            Ok(chosen) => return Ok((connection, chosen)),
            Err(mismatch) => refused = refused.or(Some(Fault::Mismatch(mismatch))),
        }
    }
    let stranger = Fault::Stranger { local: datagram.local.ip(), theirs: datagram.remote.ip() };
    Err(refused.unwrap_or(stranger))
}

/// The connections a peer at this address may use; those that name its address come first.
pub(crate) fn candidates<'a>(path: &Path, cx: &Ctx<'a>) -> Vec<&'a Connection> {
    cx.connections.between(path.vrf, path.local.ip(), path.remote.ip()).collect()
}
