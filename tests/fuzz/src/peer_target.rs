//! A peer that has the keys of the IKE SA, and then says whatever the fuzzer wants, well protected.
//!
//! The input's first byte says whether it proves who it is before that. Then come messages: exchange and flags, how far their
//! message ID is from the next one, their length, and in that many bytes a list of (payload type, length, body).

use std::net::SocketAddr;
use std::time::Duration;

use ike::crypto::{
    AesBits, Encr, Group, IkeKeys, IkeSpis, IkeSuite, KeyExchange, Nonces, Prf, Secret, SkCipher, psk_auth,
    signed_octets,
};
use ike::wire::iana::{AuthMethod, EncrId, ExchangeType, IdType, NotifyType, PayloadType, ProtocolId};
use ike::wire::{
    AuthPayload, DeletePayload, Flags, Header, IdPayload, IkeSpi, KePayload, Message, MessageId, Nonce,
    NotifyPayload, OpaquePayload, Payload, Proposal, SaPayload, Transform, TsPayload, Version,
};
use ike::{Datagram, IKE_PORT, Load, Start, Time};

use super::session_ends::{End, PSK, START, address, network};

/// Messages of a run.
const MAX_MESSAGES: usize = 64;
/// The suite that the gateway is configured with.
const SUITE: IkeSuite = IkeSuite {
    encr: Encr::AesGcm16(AesBits::Bits128),
    integ: None,
    prf: Prf::HmacSha256,
    group: Group::Curve25519,
};
/// The ESP SPI of the peer.
const ESP_SPI: [u8; 4] = [0xc0, 1, 2, 3];

/// The peer began the IKE SA.
const FROM_INITIATOR: Flags = Flags { initiator: true, version: false, response: false };
/// Messages of this size at most are not cut.
const WHOLE: usize = 4096;

/// The peer, side 1, and the gateway, side 2.
struct Peer {
    gateway: End,
    now: Time,
    first: Vec<u8>,
    keys: IkeKeys,
    cipher: SkCipher,
    spis: IkeSpis,
    responder_nonce: Nonce,
    next_id: u32,
    ivs: u64,
}

/// See the module.
pub fn ike_peer(data: &[u8]) {
    let [options, rest @ ..] = data else { return };
    let mut peer = Peer::begin();
    let proven = options & 1 != 0;
    if proven {
        peer.prove();
        assert_eq!(peer.gateway.installed.len(), 1, "a valid IKE_AUTH gives a child");
    }
    let mut rest = rest;
    for _ in 0..MAX_MESSAGES {
        let [kind, apart, len, tail @ ..] = rest else { break };
        let (list, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = tail;
        peer.say_any(*kind, *apart, list);
        assert!(proven || peer.gateway.installed.is_empty(), "a child without a valid AUTH");
    }
}

/// A peer that is known, and wants one CHILD_SA after the other: what the gateway has then.
pub fn endless_children(count: u32) -> Load {
    let mut peer = Peer::begin();
    peer.prove();
    for spi in 0x1000..0x1000 + count {
        let nonce = Payload::Nonce(Nonce::new(vec![6; 32]).expect("32 bytes"));
        let proposal = Proposal { spi: spi.to_be_bytes().to_vec(), ..esp_proposal() };
        let [ours, theirs] = [1, 2].map(|side| TsPayload::new(vec![network(side)]));
        let selectors = [Payload::TsInitiator(ours), Payload::TsResponder(theirs)];
        let sa = Payload::Sa(SaPayload { proposals: vec![proposal] });
        let payloads = [&[sa, nonce][..], &selectors].concat();
        peer.say(ExchangeType::CREATE_CHILD_SA, FROM_INITIATOR, 0, &payloads, WHOLE);
    }
    peer.gateway.manager.load()
}

/// A peer that proves itself again and again, and answers nothing: what the gateway has then.
pub fn endless_ike_sas(count: u64) -> Load {
    let mut peer = Peer::begin();
    for spi in 1..count {
        peer.prove();
        peer = Peer::begin_with(peer.gateway, IkeSpi(spi));
    }
    peer.gateway.manager.load()
}

impl Peer {
    /// Negotiates IKE_SA_INIT with a new gateway.
    fn begin() -> Self {
        let mut gateway = End::new(2, PSK, Start::Respond, Some(ike::FRAGMENT_SIZE));
        gateway.drain(START);
        Self::begin_with(gateway, IkeSpi(0x0102_0304_0506_0708))
    }

    /// Negotiates IKE_SA_INIT.
    fn begin_with(mut gateway: End, spi: IkeSpi) -> Self {
        let secret = KeyExchange::new(SUITE.group, &[3; 32]).expect("32 bytes");
        let nonce = Nonce::new(vec![5; 32]).expect("32 bytes");
        let payloads = vec![
            Payload::Sa(SaPayload { proposals: vec![ike_proposal()] }),
            Payload::Ke(KePayload { group: SUITE.group.id(), data: secret.public().to_vec() }),
            Payload::Nonce(nonce.clone()),
            Payload::Notify(NotifyPayload::new(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED, [])),
        ];
        let spis = IkeSpis { initiator: spi, responder: IkeSpi(0) };
        let header = header(spis, ExchangeType::IKE_SA_INIT, FROM_INITIATOR, 0);
        let first = Message { header, payloads }.encode().expect("a message that fits");
        gateway.manager.handle_message(datagram(first.clone()), START);
        let answer = gateway.drain(START).pop().expect("an answer");
        let answer = Message::decode(&answer.payload).expect("a message");
        let theirs = answer.ke().expect("a key exchange");
        let responder_nonce = answer.nonce().expect("a nonce").clone();
        let shared = secret.agree(&theirs.data).expect("a public value");
        let spis = IkeSpis { initiator: spi, responder: answer.header.responder_spi };
        let nonces = Nonces { initiator: nonce, responder: responder_nonce.clone() };
        let keys = IkeKeys::derive(&SUITE, &shared, &nonces, spis);
        let cipher = keys.cipher(&SUITE, true).expect("keys that fit");
        Self { gateway, now: START, first, keys, cipher, spis, responder_nonce, next_id: 1, ivs: 0 }
    }

    /// Says who it is, as it should.
    fn prove(&mut self) {
        let auth = self.auth();
        self.say(ExchangeType::IKE_AUTH, FROM_INITIATOR, 0, &auth, WHOLE);
    }

    /// The payloads of a valid IKE_AUTH request.
    fn auth(&self) -> Vec<Payload> {
        let id = IdPayload::new(IdType::IPV4_ADDR, [192, 0, 2, 1]);
        let octets = signed_octets(SUITE.prf, &self.keys.sk_pi, &self.first, &self.responder_nonce, &id);
        let data = psk_auth(SUITE.prf, &Secret::from(PSK), &octets);
        vec![
            Payload::IdInitiator(id),
            Payload::Auth(AuthPayload { method: AuthMethod::SHARED_KEY, data }),
            Payload::Sa(SaPayload { proposals: vec![esp_proposal()] }),
            Payload::TsInitiator(TsPayload::new(vec![network(1)])),
            Payload::TsResponder(TsPayload::new(vec![network(2)])),
        ]
    }

    /// A message as the input describes it.
    fn say_any(&mut self, kind: u8, apart: u8, list: &[u8]) {
        let exchange = match kind & 3 {
            0 => ExchangeType::IKE_AUTH,
            1 => ExchangeType::CREATE_CHILD_SA,
            2 => ExchangeType::INFORMATIONAL,
            _ => ExchangeType(apart),
        };
        let flags = Flags { initiator: kind & 4 == 0, version: false, response: kind & 8 != 0 };
        let budget = if kind & 16 == 0 { WHOLE } else { 96 };
        if kind & 32 != 0 {
            self.now = self.now + Duration::from_secs(u64::from(kind >> 6) * 40 + 1);
            self.gateway.manager.handle_timeout(self.now);
        }
        self.say(exchange, flags, apart, &payloads(list), budget);
    }

    /// Sends payloads, in messages of at most `budget` bytes, and drops what comes back.
    fn say(&mut self, exchange: ExchangeType, flags: Flags, apart: u8, payloads: &[Payload], budget: usize) {
        let id = self.next_id.wrapping_add_signed(i32::from(apart.cast_signed()));
        let header = header(self.spis, exchange, flags, id);
        let ivs = &mut self.ivs;
        let next_iv = || {
            *ivs += 1;
            ivs.to_be_bytes().to_vec()
        };
        let Ok(sealed) = self.cipher.seal_within(budget, &header, payloads, next_iv) else { return };
        for bytes in sealed {
            self.gateway.manager.handle_message(datagram(bytes), self.now);
        }
        self.gateway.drain(self.now);
        if apart == 0 && !flags.response {
            self.next_id += 1;
        }
    }
}

fn datagram(payload: Vec<u8>) -> Datagram {
    let [local, remote] = [2, 1].map(|side| SocketAddr::new(address(side), IKE_PORT));
    Datagram { vrf: 0, local, remote, payload }
}

fn header(spis: IkeSpis, exchange: ExchangeType, flags: Flags, id: u32) -> Header {
    Header {
        initiator_spi: spis.initiator,
        responder_spi: spis.responder,
        version: Version::V2,
        exchange,
        flags,
        message_id: MessageId(id),
    }
}

fn ike_proposal() -> Proposal {
    let transforms = vec![SUITE.encr.transform(), SUITE.prf.transform(), SUITE.group.transform()];
    Proposal { number: 1, protocol: ProtocolId::IKE, spi: Vec::new(), transforms }
}

fn esp_proposal() -> Proposal {
    let encr = Encr::from_transform(EncrId::AES_GCM_16, Some(128)).expect("known");
    let transforms = vec![encr.transform(), Transform::esn(ike::wire::iana::EsnId::NO_ESN)];
    Proposal { number: 1, protocol: ProtocolId::ESP, spi: ESP_SPI.to_vec(), transforms }
}

/// A list of (type, length, body).
fn payloads(mut list: &[u8]) -> Vec<Payload> {
    let mut payloads = Vec::new();
    while let [kind, len, tail @ ..] = list {
        let (body, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        let payload_type = PayloadType(*kind);
        payloads.push(Payload::Opaque(OpaquePayload { payload_type, body: body.to_vec() }));
        list = tail;
    }
    payloads
}

/// What a peer says once it is known: a liveness check, rekeys of the child and of the IKE SA, deletes, and all of it in
/// fragments; and IKE_AUTH without a proof.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let nonce = || Payload::Nonce(Nonce::new(vec![6; 32]).expect("32 bytes"));
    let selectors = || {
        let [ours, theirs] = [1, 2].map(|side| TsPayload::new(vec![network(side)]));
        [Payload::TsInitiator(ours), Payload::TsResponder(theirs)]
    };
    let rekey = NotifyPayload::for_esp(NotifyType::REKEY_SA, u32::from_be_bytes(ESP_SPI));
    let sa = |proposal| Payload::Sa(SaPayload { proposals: vec![proposal] });
    let child = [vec![Payload::Notify(rekey), sa(esp_proposal()), nonce()], selectors().to_vec()].concat();
    let public = KeyExchange::new(SUITE.group, &[4; 32]).expect("32 bytes").public().to_vec();
    let ke = Payload::Ke(KePayload { group: SUITE.group.id(), data: public });
    let next = Proposal { spi: vec![9; 8], ..ike_proposal() };
    let ike = vec![sa(next), nonce(), ke];
    let delete = vec![Payload::Delete(DeletePayload::Esp(vec![u32::from_be_bytes(ESP_SPI)]))];
    let end = vec![Payload::Delete(DeletePayload::Ike)];
    let id = Payload::IdInitiator(IdPayload::new(IdType::IPV4_ADDR, [192, 0, 2, 1]));
    let auth = Payload::Auth(AuthPayload { method: AuthMethod::SHARED_KEY, data: vec![1; 32] });
    let unproven = [vec![id, auth, sa(esp_proposal())], selectors().to_vec()].concat();
    let run = |proven: u8, messages: &[(u8, &[Payload])]| {
        let said = messages.iter().map(|(kind, payloads)| message(*kind, payloads));
        [vec![proven], said.collect::<Vec<_>>().concat()].concat()
    };
    vec![
        ("liveness", run(1, &[(2, &[]), (2, &[]), (34, &[])])),
        ("rekey-child", run(1, &[(1, &child), (2, &delete)])),
        ("rekey-ike", run(1, &[(1, &ike), (2, &end)])),
        ("fragments", run(1, &[(17, &child), (18, &delete), (18, &end)])),
        ("answers", run(1, &[(226, &[]), (10, &[]), (9, &child)])),
        ("unproven", run(0, &[(0, &unproven), (1, &child), (2, &end)])),
    ]
}

/// One message as [`Peer::say_any`] reads it.
fn message(kind: u8, said: &[Payload]) -> Vec<u8> {
    let mut list = Vec::new();
    for payload in said {
        let mut body = Vec::new();
        payload.encode(&mut body).expect("a payload that fits");
        list.extend_from_slice(&[
            payload.payload_type().0,
            u8::try_from(body.len()).expect("a short payload"),
        ]);
        list.extend_from_slice(&body);
    }
    [&[kind, 0, u8::try_from(list.len()).expect("a short message")][..], &list].concat()
}
