//! What must be refused, and with which notification.

use super::*;

fn refused(kind: PayloadType, body: &str) -> DecodeError {
    let body = hex::decode(body.replace(' ', "")).unwrap();
    decode_one(kind, &body).unwrap_err()
}

/// RFC 7296 section 2.5: the critical bit decides about unknown payloads, and only about those.
#[test]
fn critical_bit() {
    let unknown = PayloadType(200);
    let mut bytes = datagram(unknown, b"new");
    let skipped = Payload::Opaque(OpaquePayload { payload_type: unknown, body: b"new".to_vec() });
    assert_eq!(Message::decode(&bytes).unwrap().payloads, [skipped]);
    bytes[HEADER_LEN + 1] = 0x80;
    let error = Message::decode(&bytes).unwrap_err();
    assert_eq!(error, DecodeError::UnsupportedCriticalPayload(unknown));
    assert_eq!(error.notification(), (NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, vec![200]));

    let mut bytes = datagram(PayloadType::VENDOR_ID, b"known");
    bytes[HEADER_LEN + 1] = 0x80;
    assert!(Message::decode(&bytes).is_ok());
}

#[test]
fn header_lengths() {
    let good = datagram(PayloadType::VENDOR_ID, b"x");
    for len in 0..good.len() {
        assert!(Message::decode(&good[..len]).is_err(), "{len} bytes");
    }
    let longer = [&good[..], &[0]].concat();
    assert!(matches!(Message::decode(&longer), Err(DecodeError::Length { what: "IKE header", .. })));
    let mut no_spi = good.clone();
    no_spi[..8].fill(0);
    assert!(matches!(Message::decode(&no_spi), Err(DecodeError::Value { what: "initiator SPI", .. })));
}

#[test]
fn payload_lengths() {
    for length in [0u16, 3, 6, 0xffff] {
        let mut bytes = datagram(PayloadType::VENDOR_ID, b"x");
        bytes[HEADER_LEN + 2..HEADER_LEN + 4].copy_from_slice(&length.to_be_bytes());
        let error = Message::decode(&bytes).unwrap_err();
        assert!(matches!(error, DecodeError::Length { .. }), "{length}: {error}");
        assert_eq!(error.notification().0, NotifyType::INVALID_SYNTAX);
    }
}

#[test]
fn too_many_payloads() {
    let vendor = Payload::VendorId(VendorIdPayload(Vec::new()));
    let message =
        |count| Message { header: header(ExchangeType::IKE_SA_INIT), payloads: vec![vendor.clone(); count] };
    assert!(Message::decode(&message(MAX_PAYLOADS).encode().unwrap()).is_ok());
    assert!(matches!(message(MAX_PAYLOADS + 1).encode(), Err(EncodeError::TooLong { .. })));

    // One more by hand: every payload names another of its kind.
    let mut chain = [43, 0, 0, 4].repeat(MAX_PAYLOADS + 1);
    let at = chain.len() - 4;
    chain[at] = 0;
    let mut bytes = Vec::new();
    let total = u32::try_from(HEADER_LEN + chain.len()).unwrap();
    header(ExchangeType::IKE_SA_INIT).encode(PayloadType::VENDOR_ID, total, &mut bytes);
    bytes.extend_from_slice(&chain);
    assert!(matches!(Message::decode(&bytes), Err(DecodeError::TooMany { what: "payloads", .. })));
}

#[test]
fn repeated_payloads() {
    let nonce = Payload::Nonce(Nonce::new(vec![1; 16]).unwrap());
    let twice = Message { header: header(ExchangeType::IKE_SA_INIT), payloads: vec![nonce; 2] };
    let error = Message::decode(&twice.encode().unwrap()).unwrap_err();
    assert_eq!(error, DecodeError::DuplicatePayload(PayloadType::NONCE));
}

/// The Encrypted payload is the last; bytes behind it belong to nobody.
#[test]
fn bytes_behind_the_encrypted_payload() {
    let sealed = Payload::Encrypted(EncryptedPayload { first_inner: PayloadType::NONE, body: vec![0; 8] });
    let vendor = Payload::VendorId(VendorIdPayload(vec![0; 4]));
    let message = Message { header: header(ExchangeType::IKE_AUTH), payloads: vec![sealed, vendor] };
    let error = Message::decode(&message.encode().unwrap()).unwrap_err();
    assert_eq!(error, DecodeError::Trailing { what: "payload", extra: 8 });
}

#[test]
fn nonces() {
    for len in [0, 15, 257] {
        assert!(matches!(
            decode_one(PayloadType::NONCE, &vec![0; len]),
            Err(DecodeError::Value { what: "nonce length", .. })
        ));
    }
    assert!(decode_one(PayloadType::NONCE, &[0; 16]).is_ok());
    assert!(decode_one(PayloadType::NONCE, &[0; 256]).is_ok());
}

#[test]
fn proposals() {
    let cases = [
        ("", "empty"),
        ("0000 0008 01 01 00 01", "one transform promised, none there"),
        ("0100 0008 01 01 00 00", "Last Substruc 1"),
        ("0200 0008 01 01 00 00", "another proposal promised"),
        ("0000 0007 01 01 00 00", "length below the fixed part"),
        ("0000 0010 01 01 00 01 0300 0008 0100 0003", "another transform promised"),
        ("0000 0018 01 01 00 02 0000 0008 0100 0003 0000 0008 0300 0002", "last transform too early"),
        ("0000 0010 01 01 00 01 0000 0009 0100 0003", "transform longer than its proposal"),
        ("0000 0010 01 01 00 01 0000 0007 0100 0003", "transform shorter than its fixed part"),
        ("0000 0014 01 01 00 01 0000 000c 0100 000c 000e 0004", "attribute longer than its transform"),
        ("0000 0012 01 01 00 01 0000 000a 0100 000c 800e", "half an attribute"),
        ("0000 000c 01 03 08 00 00000000", "SPI longer than the proposal"),
        ("0000 0009 01 01 00 00 ff", "a byte behind the last transform"),
    ];
    for (body, why) in cases {
        let error = refused(PayloadType::SA, body);
        assert_eq!(error.notification().0, NotifyType::INVALID_SYNTAX, "{why}: {error}");
    }
    let endless = "0200 0008 01 01 00 00".repeat(MAX_PROPOSALS + 1);
    assert!(matches!(refused(PayloadType::SA, &endless), DecodeError::TooMany { what: "proposals", .. }));
    assert!(matches!(
        refused(PayloadType::SA, "0000 0008 01 01 00 ff"),
        DecodeError::TooMany { what: "transforms", .. }
    ));
}

#[test]
fn selectors() {
    let cases = [
        ("00000000", "none"),
        ("01000000", "one promised"),
        ("01000000 0700 000f 0000ffff 0a010000 0a01ff", "length 15"),
        ("01000000 0700 0011 0000ffff 0a010000 0a01ffff ff", "length 17"),
        ("01000000 0700 0010 0000ffff 0a01ffff 0a010000", "addresses reversed"),
        ("01000000 0700 0010 00020001 0a010000 0a01ffff", "ports reversed"),
        ("01000000 0700 0010 0000ffff 0a010000 0a01ffff 00", "a byte behind"),
        ("01000000 0a00 0003", "unknown type, length below its header"),
    ];
    for (body, why) in cases {
        let error = refused(PayloadType::TS_RESPONDER, body);
        assert_eq!(error.notification().0, NotifyType::INVALID_SYNTAX, "{why}: {error}");
    }
}

#[test]
fn deletes() {
    let cases = [
        "",
        "01080001 0000000000000000",
        "01000001",
        "03040002 11223344",
        "03040001 1122334455",
        "03080001 1122334455667788",
        "09040001 11223344",
    ];
    for body in cases {
        refused(PayloadType::DELETE, body);
    }
    assert_eq!(
        decode_one(PayloadType::DELETE, &[3, 4, 0, 0]),
        Ok(Payload::Delete(DeletePayload::Esp(vec![])))
    );
}

#[test]
fn short_bodies() {
    let minimums = [
        (PayloadType::KE, 4),
        (PayloadType::ID_INITIATOR, 4),
        (PayloadType::CERT, 1),
        (PayloadType::CERTREQ, 1),
        (PayloadType::AUTH, 4),
        (PayloadType::NOTIFY, 4),
        (PayloadType::ENCRYPTED_FRAGMENT, 4),
    ];
    for (kind, need) in minimums {
        for len in 0..need {
            assert!(decode_one(kind, &vec![0; len]).is_err(), "{kind} of {len} bytes");
        }
    }
    assert!(matches!(refused(PayloadType::NOTIFY, "03040009 1122"), DecodeError::Truncated { .. }));
    // RFC 7383 section 2.5: fragments count from one, up to the total.
    assert!(matches!(refused(PayloadType::ENCRYPTED_FRAGMENT, "00000001"), DecodeError::Value { .. }));
    assert!(matches!(refused(PayloadType::ENCRYPTED_FRAGMENT, "00030002"), DecodeError::Value { .. }));
}

#[test]
fn what_does_not_fit_is_not_written() {
    let vendor = |len| Message {
        header: header(ExchangeType::INFORMATIONAL),
        payloads: vec![Payload::VendorId(VendorIdPayload(vec![0; len]))],
    };
    assert!(vendor(65_535 - HEADER_LEN - GENERIC_HEADER_LEN).encode().is_ok());
    assert!(vendor(65_536 - HEADER_LEN - GENERIC_HEADER_LEN).encode().is_err());
    let transforms = vec![Transform::prf(PrfId::HMAC_SHA1); MAX_TRANSFORMS + 1];
    let proposal = Proposal { number: 1, protocol: ProtocolId::IKE, spi: Vec::new(), transforms };
    assert!(SaPayload { proposals: vec![proposal] }.encode(&mut Vec::new()).is_err());
    let selector = TrafficSelector::from_network("10.0.0.0".parse().unwrap(), 8).unwrap();
    assert!(TsPayload::new(vec![selector; 256]).encode(&mut Vec::new()).is_err());
}
