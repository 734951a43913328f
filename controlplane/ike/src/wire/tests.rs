//! Messages as bytes: captured layouts, refusals, and properties over generated and mutated messages.

mod properties;
mod refusals;

use std::net::{IpAddr, Ipv4Addr};

use super::iana::*;
use super::*;

fn header(exchange: ExchangeType) -> Header {
    Header {
        initiator_spi: IkeSpi(0x0102_0304_0506_0708),
        responder_spi: IkeSpi::ZERO,
        version: Version::V2,
        exchange,
        flags: Flags { initiator: true, ..Flags::default() },
        message_id: MessageId(0),
    }
}

/// A datagram with one payload of the given type and body.
fn datagram(kind: PayloadType, body: &[u8]) -> Vec<u8> {
    let payload = Payload::Opaque(OpaquePayload { payload_type: kind, body: body.to_vec() });
    Message { header: header(ExchangeType::INFORMATIONAL), payloads: vec![payload] }.encode().unwrap()
}

fn decode_one(kind: PayloadType, body: &[u8]) -> Result<Payload, DecodeError> {
    Ok(Message::decode(&datagram(kind, body))?.payloads.remove(0))
}

/// The whole of a small IKE_SA_INIT request, byte by byte after RFC 7296 section 3.
#[test]
fn ike_sa_init_layout() {
    let transforms = vec![
        Transform::encr(EncrId::AES_CBC, Some(128)),
        Transform::integ(IntegId::HMAC_SHA1_96),
        Transform::prf(PrfId::HMAC_SHA1),
        Transform::ke(KeId::MODP_1024),
    ];
    let proposal = Proposal { number: 1, protocol: ProtocolId::IKE, spi: Vec::new(), transforms };
    let message = Message {
        header: header(ExchangeType::IKE_SA_INIT),
        payloads: vec![
            Payload::Sa(SaPayload { proposals: vec![proposal] }),
            Payload::Ke(KePayload { group: KeId::MODP_1024, data: vec![0xab; 2] }),
            Payload::Nonce(Nonce::new(vec![0xcd; 16]).unwrap()),
            Payload::Notify(NotifyPayload::new(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED, [])),
        ],
    };
    let expected = "\
        0102030405060708 0000000000000000 21 20 22 08 00000000 00000072\
        2200 0030 0000 002c 01 01 00 04\
            0300 000c 0100 000c 800e0080\
            0300 0008 0300 0002\
            0300 0008 0200 0002\
            0000 0008 0400 0002\
        2800 000a 0002 0000 abab\
        2900 0014 cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\
        0000 0008 00 00 402e";
    let bytes = message.encode().unwrap();
    assert_eq!(hex::encode(&bytes), expected.replace(' ', ""));
    assert_eq!(Message::decode(&bytes), Ok(message));
}

#[test]
fn selectors_layout() {
    let selector = TrafficSelector::from_network(IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3)), 16).unwrap();
    let mut bytes = Vec::new();
    TsPayload::new(vec![selector]).encode(&mut bytes).unwrap();
    assert_eq!(hex::encode(&bytes), "01000000070000100000ffff0a0100000a01ffff");
    assert_eq!(selector.to_string(), "10.1.0.0/16");
}

#[test]
fn delete_layout() {
    let mut bytes = Vec::new();
    DeletePayload::Esp(vec![0x1122_3344, 0x5566_7788]).encode(&mut bytes).unwrap();
    assert_eq!(hex::encode(&bytes), "030400021122334455667788");
    let mut bytes = Vec::new();
    DeletePayload::Ike.encode(&mut bytes).unwrap();
    assert_eq!(hex::encode(&bytes), "01000000");
}

/// An IKEv1 message is recognised, so that it can be refused by its own name.
#[test]
fn ikev1_is_named() {
    let mut bytes = Vec::new();
    let v1 = Header {
        version: Version::V1,
        exchange: ExchangeType::V1_IDENTITY_PROTECTION,
        ..header(ExchangeType::IKE_SA_INIT)
    };
    v1.encode(PayloadType(1), 28, &mut bytes);
    let (header, first) = Header::decode(&bytes).unwrap();
    assert_eq!((header.version, first), (Version::V1, PayloadType(1)));
    let error = Message::decode(&bytes).unwrap_err();
    assert_eq!(error, DecodeError::UnsupportedVersion { major: 1, minor: 0 });
    assert_eq!(error.notification().0, NotifyType::INVALID_MAJOR_VERSION);
}

/// RFC 7296 section 2.5: a higher minor version is no reason to refuse.
#[test]
fn minor_version_is_ignored() {
    let mut bytes = datagram(PayloadType::VENDOR_ID, b"x");
    bytes[17] = 0x2f;
    assert_eq!(Message::decode(&bytes).unwrap().header.version.minor, 15);
}

#[test]
fn names_for_diagnoses() {
    assert_eq!(NotifyType::NO_PROPOSAL_CHOSEN.to_string(), "NO_PROPOSAL_CHOSEN");
    assert_eq!(NotifyType(40000).to_string(), "NotifyType(40000)");
    assert_eq!(Transform::encr(EncrId::AES_CBC, Some(256)).to_string(), "ENCR_AES_CBC-256");
    assert_eq!(Transform::new(TransformType(9), 3).to_string(), "TransformType(9)/3");
    assert_eq!(IdPayload::from_addr("192.0.2.1".parse().unwrap()).to_string(), "192.0.2.1");
    assert_eq!(IdPayload::new(IdType::FQDN, *b"gw.example").to_string(), "gw.example");
    assert_eq!(IdPayload::new(IdType::KEY_ID, [0, 1]).to_string(), "ID_KEY_ID:0x0001");
}

#[test]
fn selectors_narrow() {
    let net = |addr: &str, len| TrafficSelector::from_network(addr.parse().unwrap(), len).unwrap();
    let wide = net("10.1.0.0", 16);
    let narrow = net("10.1.4.0", 24);
    assert_eq!(wide.intersection(&narrow), Some(narrow));
    assert!(wide.contains(&narrow) && !narrow.contains(&wide));
    assert_eq!(wide.intersection(&net("10.2.0.0", 16)), None);
    assert_eq!(wide.intersection(&net("2001:db8::", 32)), None);
    assert_eq!(net("0.0.0.0", 0).network(), Some((Ipv4Addr::UNSPECIFIED.into(), 0)));
    assert_eq!(net("2001:db8::", 32).to_string(), "2001:db8::/32");
    assert!(wide.contains_addr("10.1.255.255".parse().unwrap()));
    assert!(!wide.contains_addr("::ffff:10.1.0.1".parse().unwrap()));

    let ports = |first, last| PortRange::new(first, last).unwrap();
    let with = |protocol, ports| TrafficSelector::new(protocol, ports, wide.first(), wide.last()).unwrap();
    let (tcp, web) = (with(6, PortRange::ANY), with(6, ports(80, 443)));
    assert_eq!(wide.intersection(&web), Some(web));
    assert_eq!(tcp.intersection(&with(17, PortRange::ANY)), None);
    assert_eq!(web.intersection(&with(0, ports(100, 1000))), Some(with(6, ports(100, 443))));
    assert_eq!(web.intersection(&with(6, PortRange::OPAQUE)), None);
    assert_eq!(tcp.intersection(&with(6, PortRange::OPAQUE)), Some(with(6, PortRange::OPAQUE)));
    assert!(PortRange::new(2, 1).is_err());
    let range = TrafficSelector::new(0, PortRange::ANY, narrow.first(), wide.last()).unwrap();
    assert_eq!((range.network(), range.to_string()), (None, "10.1.4.0-10.1.255.255".into()));
}

/// A selector of an unknown type is no error; it is only never chosen (RFC 7296 section 3.13.1).
#[test]
fn unknown_selectors_are_kept_apart() {
    let body = hex::decode("020000000a000008aabbccdd070000100000ffff0a0100000a01ffff").unwrap();
    let Payload::TsInitiator(ts) = decode_one(PayloadType::TS_INITIATOR, &body).unwrap() else { panic!() };
    assert_eq!((ts.selectors.len(), ts.unknown.len()), (1, 1));
    assert_eq!(ts.unknown[0].ts_type, TsType::SECLABEL);
}

/// RFC 7296 section 3.3.6: a transform with an attribute we do not know is kept, marked, not chosen.
#[test]
fn unknown_attributes_are_kept() {
    let body = hex::decode("0000001d010100010000001501000014800e00807fff0005aabbccddee").unwrap();
    let Payload::Sa(sa) = decode_one(PayloadType::SA, &body).unwrap() else { panic!() };
    let transform = &sa.proposals[0].transforms[0];
    assert_eq!((transform.id, transform.key_bits, transform.unknown.len()), (20, Some(128), 1));
    let mut again = Vec::new();
    sa.encode(&mut again).unwrap();
    assert_eq!(again, body);
}

/// AUTH covers the reserved bytes of an identity as they came (RFC 7296 section 2.15).
#[test]
fn identity_keeps_its_reserved_bytes() {
    let body = [2, 0xaa, 0xbb, 0xcc, b'x'];
    let id = IdPayload::decode(&body).unwrap();
    assert_eq!(id.body(), body);
    assert!(id.same_identity(&IdPayload::new(IdType::FQDN, *b"x")));
}
