//! Round trips and refusals of the cryptography; known answers are in `vectors`.

mod vectors;

use super::*;
use crate::wire::iana::{ExchangeType, PayloadType};
use crate::wire::{
    DecodeError, Flags, HEADER_LEN, Header, IkeSpi, Message, MessageId, Nonce, NotifyPayload, Payload,
    Version,
};

/// Bytes that differ from call to call of a test, but not from run to run.
pub(super) fn bytes(len: usize, seed: u8) -> Vec<u8> {
    let key = [seed; 32];
    Prf::HmacSha256.plus(&Secret::from(&key[..]), &[b"test"], len).expose().to_vec()
}

fn header() -> Header {
    Header {
        initiator_spi: IkeSpi(0x0102_0304_0506_0708),
        responder_spi: IkeSpi(0x1112_1314_1516_1718),
        version: Version::V2,
        exchange: ExchangeType::INFORMATIONAL,
        flags: Flags { initiator: true, ..Flags::default() },
        message_id: MessageId(7),
    }
}

/// Every pairing of encryption and integrity that is allowed.
fn ciphers() -> Vec<SkCipher> {
    let encrs = [Encr::Des, Encr::TripleDes]
        .into_iter()
        .chain(AesBits::ALL.map(Encr::AesCbc))
        .chain(AesBits::ALL.map(Encr::AesGcm16));
    let mut all = Vec::new();
    for encr in encrs {
        let integs: Vec<Option<Integ>> =
            if encr.is_aead() { vec![None] } else { Integ::ALL.iter().copied().map(Some).collect() };
        for integ in integs {
            let key = Secret::new(bytes(encr.key_len(), 1));
            let integ_key = Secret::new(bytes(integ.map_or(0, Integ::key_len), 2));
            all.push(SkCipher::new(encr, integ, key, integ_key).unwrap());
        }
    }
    all
}

#[test]
fn every_group_agrees_with_itself() {
    for &group in Group::ALL {
        let ours = KeyExchange::new(group, &bytes(group.random_len(), 1)).unwrap();
        let theirs = KeyExchange::new(group, &bytes(group.random_len(), 2)).unwrap();
        assert_eq!(ours.public().len(), group.public_len(), "{group:?}");
        let shared = ours.agree(theirs.public()).unwrap();
        assert_eq!(shared, theirs.agree(ours.public()).unwrap(), "{group:?}");
        assert_eq!(Group::from_id(group.id()), Some(group));
        assert!(matches!(KeyExchange::new(group, &[0; 16]), Err(CryptoError::Size { .. })));
    }
}

/// An IKE SA in flight is a snapshot: the restored half must finish the exchange.
#[test]
fn a_restored_exchange_finishes() {
    for group in [Group::Modp1024, Group::Ecp521, Group::Curve25519] {
        let ours = KeyExchange::new(group, &bytes(group.random_len(), 3)).unwrap();
        let restored: KeyExchange = serde_json::from_str(&serde_json::to_string(&ours).unwrap()).unwrap();
        let theirs = KeyExchange::new(group, &bytes(group.random_len(), 4)).unwrap();
        assert_eq!(restored.agree(theirs.public()), ours.agree(theirs.public()));
    }
}

/// RFC 6989 sections 2.1 and 2.3, RFC 7748 section 6.1.
#[test]
fn bad_public_values_are_refused() {
    for &group in Group::ALL {
        let ours = KeyExchange::new(group, &bytes(group.random_len(), 5)).unwrap();
        let len = group.public_len();
        // Curve25519 is little-endian; its u = 1 has order four.
        let small = |value: u8| match group {
            Group::Curve25519 => [vec![value], vec![0; len - 1]].concat(),
            _ => [vec![0; len - 1], vec![value]].concat(),
        };
        let refused = Err(CryptoError::PublicValue(group.id()));
        assert_eq!(ours.agree(&[]), refused);
        assert_eq!(ours.agree(&ours.public()[1..]), refused);
        assert_eq!(ours.agree(&[ours.public(), &[0]].concat()), refused);
        assert_eq!(ours.agree(&small(0)), refused);
        assert_eq!(ours.agree(&small(1)), refused, "{group:?}");
        if group != Group::Curve25519 {
            assert_eq!(ours.agree(&vec![0xff; len]), refused, "{group:?}");
        }
    }
    // A point of P-256 with one bit changed is not on the curve.
    let ours = KeyExchange::new(Group::Ecp256, &bytes(40, 6)).unwrap();
    let mut off = ours.public().to_vec();
    off[63] ^= 1;
    assert!(ours.agree(&off).is_err());
}

#[test]
fn scalars_stay_in_range_at_the_edges() {
    for group in [Group::Ecp256, Group::Ecp384, Group::Ecp521] {
        for fill in [0, 0xff] {
            let ours = KeyExchange::new(group, &vec![fill; group.random_len()]).unwrap();
            let theirs = KeyExchange::new(group, &bytes(group.random_len(), 7)).unwrap();
            assert_eq!(ours.agree(theirs.public()).unwrap(), theirs.agree(ours.public()).unwrap());
        }
    }
}

#[test]
fn sealed_messages_open() {
    for cipher in ciphers() {
        for len in 0..40 {
            let data = bytes(len, 8);
            let payloads =
                vec![Payload::Notify(NotifyPayload::new(crate::wire::iana::NotifyType::COOKIE, data))];
            let iv = bytes(cipher.iv_len(), 9);
            let message = cipher.seal(&header(), &payloads, &iv).unwrap();
            assert_eq!(cipher.open(&message), Ok(Message { header: header(), payloads }));
        }
        // An empty INFORMATIONAL, the liveness check, has nothing inside.
        let empty = cipher.seal(&header(), &[], &bytes(cipher.iv_len(), 9)).unwrap();
        assert_eq!(cipher.open(&empty).unwrap().payloads, []);
    }
}

#[test]
fn any_changed_byte_is_noticed() {
    for cipher in ciphers() {
        let payloads = [Payload::Nonce(Nonce::new(bytes(32, 1)).unwrap())];
        let message = cipher.seal(&header(), &payloads, &bytes(cipher.iv_len(), 9)).unwrap();
        for at in 0..message.len() {
            let mut changed = message.clone();
            changed[at] ^= 0x10;
            let error = cipher.open(&changed).unwrap_err();
            assert!(!error.is_authentic(), "byte {at}: {error}");
        }
        for len in 0..message.len() {
            assert!(!cipher.open(&message[..len]).unwrap_err().is_authentic());
        }
    }
}

#[test]
fn an_authentic_message_with_bad_contents_says_so() {
    let cipher = &ciphers()[0];
    let iv = bytes(cipher.iv_len(), 9);
    let opaque = |payload_type, body| Payload::Opaque(crate::wire::OpaquePayload { payload_type, body });
    let short_nonce = cipher.seal(&header(), &[opaque(PayloadType::NONCE, vec![1; 3])], &iv).unwrap();
    let error = cipher.open(&short_nonce).unwrap_err();
    assert!(matches!(error, OpenError::Inner(DecodeError::Value { .. })) && error.is_authentic());

    let nested = cipher.seal(&header(), &[opaque(PayloadType::ENCRYPTED, vec![1; 30])], &iv).unwrap();
    let misplaced = OpenError::Inner(DecodeError::MisplacedPayload(PayloadType::ENCRYPTED));
    assert_eq!(cipher.open(&nested), Err(misplaced));
}

#[test]
fn payloads_in_front_of_the_encrypted_one_are_dropped() {
    let cipher = ciphers().pop().unwrap();
    let plain =
        Message { header: header(), payloads: vec![Payload::Nonce(Nonce::new(vec![0; 16]).unwrap())] };
    assert_eq!(cipher.open(&plain.encode().unwrap()), Err(OpenError::NotEncrypted));
    assert!(matches!(cipher.open(&[0; HEADER_LEN]), Err(OpenError::Outer(_))));
}

#[test]
fn suites_without_integrity_are_refused() {
    let key = |len| Secret::new(bytes(len, 1));
    let cbc = Encr::AesCbc(AesBits::Bits128);
    let gcm = Encr::AesGcm16(AesBits::Bits128);
    let refused = |encr: Encr| Err(CryptoError::Suite(encr.id()));
    assert_eq!(SkCipher::new(cbc, None, key(16), key(0)), refused(cbc));
    assert_eq!(SkCipher::new(gcm, Some(Integ::HmacSha1_96), key(20), key(20)), refused(gcm));
    assert!(matches!(SkCipher::new(gcm, None, key(16), key(0)), Err(CryptoError::Size { .. })));
}

#[test]
fn transforms_name_their_algorithms() {
    use crate::wire::iana::{EncrId, IntegId, PrfId};
    for cipher in
        [Encr::Des, Encr::TripleDes, Encr::AesCbc(AesBits::Bits192), Encr::AesGcm16(AesBits::Bits256)]
    {
        assert_eq!(Encr::from_transform(cipher.id(), cipher.key_bits()), Some(cipher));
    }
    // RFC 7296 section 3.3.5: required for AES, forbidden for 3DES.
    assert_eq!(Encr::from_transform(EncrId::AES_CBC, None), None);
    assert_eq!(Encr::from_transform(EncrId::AES_CBC, Some(160)), None);
    assert_eq!(Encr::from_transform(EncrId::TRIPLE_DES, Some(192)), None);
    assert_eq!(Integ::from_id(IntegId::AES_XCBC_96), None);
    assert_eq!(Prf::from_id(PrfId::AES128_XCBC), None);
}

#[test]
fn secrets_do_not_print() {
    assert_eq!(format!("{:?}", Secret::new(vec![0xaa; 20])), "Secret(20 bytes)");
    let exchange = KeyExchange::new(Group::Curve25519, &[0xab; 32]).unwrap();
    assert!(format!("{exchange:?}").contains("private: Secret(32 bytes)"));
}
