//! The messages of a whole IKE SA's life, and each of their payloads.

use ike::crypto::{Encr, Group, Integ, Prf};
use ike::wire::iana::{
    AuthMethod, CertEncoding, EsnId, ExchangeType, IdType, NotifyType, PayloadType, ProtocolId,
};
use ike::wire::{
    AuthPayload, CertPayload, CertReqPayload, DeletePayload, EncryptedPayload, Flags, FragmentPayload,
    Header, IdPayload, IkeSpi, KePayload, Message, MessageId, Nonce, NotifyPayload, OpaquePayload, Payload,
    Proposal, SaPayload, TrafficSelector, Transform, TsPayload, VendorIdPayload, Version,
};

use super::{Seed, named};

pub(super) fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (name, message) in messages() {
        for (at, payload) in message.payloads.iter().enumerate() {
            let mut bytes = vec![payload.payload_type().0];
            payload.encode(&mut bytes).expect("a payload that fits");
            seeds.push(named("ike_payload", &format!("{name}-{at}-{}", payload.payload_type().0), bytes));
        }
        seeds.push(named("ike_sealed_payloads", name, as_list(&message.payloads)));
        for (cipher, suite) in super::super::ike_targets::ciphers().into_iter().zip(["cbc", "gcm"]) {
            let iv = vec![9; cipher.iv_len()];
            let sealed = cipher.seal(&message.header, &message.payloads, &iv).expect("a message that fits");
            seeds.push(named("ike_open", &format!("{name}-{suite}"), sealed));
        }
        seeds.push(named("ike_message", name, message.encode().expect("a message that fits")));
    }
    seeds
}

/// The payloads as `ike_sealed_payloads` reads them; those with more than 255 bytes are left out.
fn as_list(payloads: &[Payload]) -> Vec<u8> {
    let mut list = Vec::new();
    for payload in payloads {
        let mut body = Vec::new();
        payload.encode(&mut body).expect("a payload that fits");
        if let Ok(len) = u8::try_from(body.len()) {
            list.extend_from_slice(&[payload.payload_type().0, len]);
            list.extend_from_slice(&body);
        }
    }
    list
}

fn messages() -> Vec<(&'static str, Message)> {
    let message = |exchange, payloads| Message { header: header(exchange), payloads };
    vec![
        ("sa-init", message(ExchangeType::IKE_SA_INIT, sa_init())),
        ("auth", message(ExchangeType::IKE_AUTH, auth())),
        ("rekey-child", message(ExchangeType::CREATE_CHILD_SA, rekey_child())),
        ("informational", message(ExchangeType::INFORMATIONAL, informational())),
        ("liveness", message(ExchangeType::INFORMATIONAL, Vec::new())),
        ("sealed", message(ExchangeType::IKE_AUTH, vec![sealed()])),
        ("fragment", message(ExchangeType::IKE_AUTH, vec![fragment()])),
        ("opaque", message(ExchangeType::IKE_AUTH, opaque())),
    ]
}

fn header(exchange: ExchangeType) -> Header {
    Header {
        initiator_spi: IkeSpi(0x0123_4567_89ab_cdef),
        responder_spi: IkeSpi(0xfedc_ba98_7654_3210),
        version: Version::V2,
        exchange,
        flags: Flags { initiator: true, ..Flags::default() },
        message_id: MessageId(1),
    }
}

fn nonce() -> Payload {
    Payload::Nonce(Nonce::new(vec![0xa5; 32]).expect("32 bytes"))
}

fn ike_proposal(number: u8, group: Group) -> Proposal {
    let encr = Encr::from_transform(ike::wire::iana::EncrId::AES_CBC, Some(256)).expect("known");
    let transforms = vec![
        encr.transform(),
        Integ::HmacSha256_128.transform(),
        Integ::HmacSha1_96.transform(),
        Prf::HmacSha256.transform(),
        group.transform(),
    ];
    Proposal { number, protocol: ProtocolId::IKE, spi: Vec::new(), transforms }
}

fn esp_proposal() -> Proposal {
    let encr = Encr::from_transform(ike::wire::iana::EncrId::AES_GCM_16, Some(128)).expect("known");
    let transforms = vec![encr.transform(), Transform::esn(EsnId::NO_ESN), Transform::esn(EsnId::ESN)];
    Proposal { number: 1, protocol: ProtocolId::ESP, spi: vec![0xc0, 1, 2, 3], transforms }
}

fn sa_init() -> Vec<Payload> {
    let group = Group::Curve25519;
    let proposals = vec![ike_proposal(1, group), ike_proposal(2, Group::Modp1024)];
    vec![
        Payload::Sa(SaPayload { proposals }),
        Payload::Ke(KePayload { group: group.id(), data: vec![9; group.public_len()] }),
        nonce(),
        Payload::Notify(NotifyPayload::new(NotifyType::NAT_DETECTION_SOURCE_IP, vec![1; 20])),
        Payload::Notify(NotifyPayload::new(NotifyType::NAT_DETECTION_DESTINATION_IP, vec![2; 20])),
        Payload::VendorId(VendorIdPayload(b"seed".to_vec())),
    ]
}

fn selectors(network: &str, prefix_len: u8) -> TsPayload {
    let addr = network.parse().expect("an address");
    TsPayload::new(vec![TrafficSelector::from_network(addr, prefix_len).expect("a network")])
}

fn auth() -> Vec<Payload> {
    vec![
        Payload::IdInitiator(IdPayload::new(IdType::FQDN, *b"gw.example")),
        Payload::IdResponder(IdPayload::new(IdType::IPV4_ADDR, [192, 0, 2, 2])),
        Payload::Cert(CertPayload { encoding: CertEncoding::X509_SIGNATURE, data: vec![0x30, 0] }),
        Payload::CertReq(CertReqPayload { encoding: CertEncoding::X509_SIGNATURE, authorities: vec![7; 20] }),
        Payload::Auth(AuthPayload { method: AuthMethod::SHARED_KEY, data: vec![3; 32] }),
        Payload::Sa(SaPayload { proposals: vec![esp_proposal()] }),
        Payload::TsInitiator(selectors("10.1.0.0", 16)),
        Payload::TsResponder(selectors("2001:db8::", 32)),
        Payload::Notify(NotifyPayload::new(NotifyType::INITIAL_CONTACT, [])),
    ]
}

fn rekey_child() -> Vec<Payload> {
    vec![
        Payload::Notify(NotifyPayload::for_esp(NotifyType::REKEY_SA, 0xc001_0203)),
        Payload::Sa(SaPayload { proposals: vec![esp_proposal()] }),
        nonce(),
        Payload::Ke(KePayload { group: Group::Ecp256.id(), data: vec![4; 64] }),
        Payload::TsInitiator(selectors("0.0.0.0", 0)),
        Payload::TsResponder(selectors("10.2.3.0", 24)),
    ]
}

fn informational() -> Vec<Payload> {
    vec![
        Payload::Delete(DeletePayload::Ike),
        Payload::Delete(DeletePayload::Esp(vec![0xc001_0203, 0xc004_0506])),
        Payload::Notify(NotifyPayload::new(NotifyType::INVALID_SYNTAX, [])),
    ]
}

fn sealed() -> Payload {
    Payload::Encrypted(EncryptedPayload { first_inner: PayloadType::ID_INITIATOR, body: vec![8; 60] })
}

fn fragment() -> Payload {
    let body = vec![8; 60];
    let first_inner = PayloadType::ID_INITIATOR;
    Payload::EncryptedFragment(FragmentPayload { first_inner, number: 1, total: 3, body })
}

fn opaque() -> Vec<Payload> {
    [PayloadType::CONFIGURATION, PayloadType::EAP, PayloadType(130)]
        .map(|payload_type| Payload::Opaque(OpaquePayload { payload_type, body: vec![1, 0, 0, 0] }))
        .to_vec()
}
