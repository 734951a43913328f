//! Round trips of generated messages, and decoding of mutated and random bytes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..max)
}

fn attribute() -> impl Strategy<Value = Attribute> {
    let value =
        prop_oneof![any::<u16>().prop_map(AttributeValue::Short), bytes(6).prop_map(AttributeValue::Long)];
    // Key Length has its own field.
    (15..0x8000u16, value).prop_map(|(kind, value)| Attribute { attribute_type: AttributeType(kind), value })
}

fn transform() -> impl Strategy<Value = Transform> {
    (any::<u8>(), any::<u16>(), any::<Option<u16>>(), vec(attribute(), 0..3)).prop_map(
        |(kind, id, key_bits, unknown)| Transform {
            transform_type: TransformType(kind),
            id,
            key_bits,
            unknown,
        },
    )
}

fn proposal() -> impl Strategy<Value = Proposal> {
    (any::<u8>(), any::<u8>(), bytes(9), vec(transform(), 0..6)).prop_map(
        |(number, protocol, spi, transforms)| Proposal {
            number,
            protocol: ProtocolId(protocol),
            spi,
            transforms,
        },
    )
}

fn port_range() -> impl Strategy<Value = PortRange> {
    prop_oneof![
        Just(PortRange::ANY),
        Just(PortRange::OPAQUE),
        any::<(u16, u16)>().prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap()),
    ]
}

fn selector() -> impl Strategy<Value = TrafficSelector> {
    let v4 = any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b)));
    let v6 = any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b)));
    (any::<u8>(), port_range(), prop_oneof![v4, v6]).prop_map(|(protocol, ports, (a, b))| {
        TrafficSelector::new(protocol, ports, a.min(b), a.max(b)).unwrap()
    })
}

fn selectors() -> impl Strategy<Value = TsPayload> {
    let unknown = (9u8.., any::<u8>(), bytes(20)).prop_map(|(ts_type, protocol, body)| UnknownSelector {
        ts_type: TsType(ts_type),
        protocol,
        body,
    });
    (vec(selector(), 1..5), vec(unknown, 0..2))
        .prop_map(|(selectors, unknown)| TsPayload { selectors, unknown })
}

fn identity() -> impl Strategy<Value = IdPayload> {
    (any::<u8>(), any::<[u8; 3]>(), bytes(40)).prop_map(|(id_type, reserved, data)| IdPayload {
        id_type: IdType(id_type),
        reserved,
        data,
    })
}

fn notify() -> impl Strategy<Value = NotifyPayload> {
    (any::<u8>(), bytes(9), any::<u16>(), bytes(30)).prop_map(|(protocol, spi, notify_type, data)| {
        NotifyPayload { protocol: ProtocolId(protocol), spi, notify_type: NotifyType(notify_type), data }
    })
}

/// A payload that is not an encrypted one.
fn plain_payload() -> impl Strategy<Value = Payload> {
    let (cert, auth) = (any::<u8>(), any::<u8>());
    prop_oneof![
        vec(proposal(), 1..4).prop_map(|proposals| Payload::Sa(SaPayload { proposals })),
        (any::<u16>(), bytes(64)).prop_map(|(g, data)| Payload::Ke(KePayload { group: KeId(g), data })),
        identity().prop_map(Payload::IdInitiator),
        identity().prop_map(Payload::IdResponder),
        (cert, bytes(40))
            .prop_map(|(e, data)| { Payload::Cert(CertPayload { encoding: CertEncoding(e), data }) }),
        (cert, bytes(40)).prop_map(|(e, authorities)| {
            Payload::CertReq(CertReqPayload { encoding: CertEncoding(e), authorities })
        }),
        (auth, bytes(64)).prop_map(|(m, data)| Payload::Auth(AuthPayload { method: AuthMethod(m), data })),
        vec(any::<u8>(), 16..=256).prop_map(|data| Payload::Nonce(Nonce::new(data).unwrap())),
        notify().prop_map(Payload::Notify),
        Just(Payload::Delete(DeletePayload::Ike)),
        vec(any::<u32>(), 0..5).prop_map(|spis| Payload::Delete(DeletePayload::Esp(spis))),
        bytes(32).prop_map(|data| Payload::VendorId(VendorIdPayload(data))),
        selectors().prop_map(Payload::TsInitiator),
        selectors().prop_map(Payload::TsResponder),
        (prop_oneof![47..=48u8, 54..=255u8], bytes(40)).prop_map(|(kind, body)| {
            Payload::Opaque(OpaquePayload { payload_type: PayloadType(kind), body })
        }),
    ]
}

fn last_payload() -> impl Strategy<Value = Option<Payload>> {
    let sealed = (any::<u8>(), bytes(80)).prop_map(|(first, body)| {
        Payload::Encrypted(EncryptedPayload { first_inner: PayloadType(first), body })
    });
    let fragment = (any::<u8>(), 1..9u16, 0..9u16, bytes(80)).prop_map(|(first, number, more, body)| {
        let first_inner = PayloadType(first);
        Payload::EncryptedFragment(FragmentPayload { first_inner, number, total: number + more, body })
    });
    prop_oneof![Just(None), sealed.prop_map(Some), fragment.prop_map(Some)]
}

fn any_header() -> impl Strategy<Value = Header> {
    (1u64.., any::<(u64, u8, u8, u8, u32)>()).prop_map(
        |(initiator, (responder, minor, exchange, flags, id))| Header {
            initiator_spi: IkeSpi(initiator),
            responder_spi: IkeSpi(responder),
            version: Version { major: 2, minor: minor & 0x0f },
            exchange: ExchangeType(exchange),
            flags: Flags { initiator: flags & 1 != 0, version: flags & 2 != 0, response: flags & 4 != 0 },
            message_id: MessageId(id),
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    (any_header(), vec(plain_payload(), 0..8), last_payload()).prop_map(|(header, mut payloads, last)| {
        // A payload that may stand only once does.
        let mut seen = Vec::new();
        payloads.retain(|payload| {
            let kind = payload.payload_type();
            let repeats = matches!(payload, Payload::Notify(_) | Payload::Delete(_) | Payload::VendorId(_));
            let keep = repeats || !seen.contains(&kind);
            seen.push(kind);
            keep
        });
        payloads.extend(last);
        Message { header, payloads }
    })
}

/// Whatever was accepted is written in one way only, and read again as the same.
fn decode_is_stable(bytes: &[u8]) {
    let Ok(message) = Message::decode(bytes) else { return };
    let again = message.encode().unwrap();
    assert_eq!(Message::decode(&again).as_ref(), Ok(&message));
    assert_eq!(Message::decode(&again).unwrap().encode().unwrap(), again);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_round_trip(message in message()) {
        let bytes = message.encode().unwrap();
        prop_assert_eq!(Message::decode(&bytes), Ok(message));
    }

    #[test]
    fn messages_survive_a_snapshot(message in message()) {
        let json = serde_json::to_string(&message).unwrap();
        prop_assert_eq!(serde_json::from_str::<Message>(&json).unwrap(), message);
    }

    #[test]
    fn mutated_messages_never_panic(
        message in message(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = message.encode().unwrap();
        for (at, value) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *value;
        }
        decode_is_stable(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        decode_is_stable(&bytes);
        // With the length field made right, decoding gets to the payloads.
        if let Some(field) = bytes.get_mut(24..28) {
            field.fill(0);
        }
        if let (Ok(len), Some(field)) = (u16::try_from(bytes.len()), bytes.get_mut(26..28)) {
            field.copy_from_slice(&len.to_be_bytes());
        }
        decode_is_stable(&bytes);
    }

    #[test]
    fn random_bodies_never_panic(kind in 33..=53u8, body in bytes(200)) {
        decode_is_stable(&datagram(PayloadType(kind), &body));
    }

    #[test]
    fn intersection_is_what_both_contain(a in selector(), b in selector(), addr in any::<[u8; 4]>()) {
        let both = a.intersection(&b);
        prop_assert_eq!(both, b.intersection(&a));
        prop_assert_eq!(a.intersection(&a), Some(a));
        if let Some(both) = both {
            prop_assert!(a.contains(&both) && b.contains(&both));
            let addr = IpAddr::from(addr);
            prop_assert_eq!(both.contains_addr(addr), a.contains_addr(addr) && b.contains_addr(addr));
        }
    }
}
