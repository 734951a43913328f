//! IKE messages, from outside and from a peer that knows the keys.

use std::hint::black_box;

use ike::crypto::{AesBits, Encr, Integ, OpenError, Secret, SkCipher};
use ike::wire::iana::PayloadType;
use ike::wire::{Flags, Header, IkeSpi, Message, MessageId, OpaquePayload, Payload, Version, iana};

/// A datagram: what is accepted must be written and read again as the same.
pub fn ike_message(data: &[u8]) {
    let Ok(message) = Message::decode(data) else {
        let _ = black_box(Header::decode(data));
        return;
    };
    let bytes = message.encode().expect("what was read can be written");
    assert_eq!(Message::decode(&bytes), Ok(message));
}

/// The body of one payload; its type is the first byte.
pub fn ike_payload(data: &[u8]) {
    let [kind, body @ ..] = data else { return };
    let Ok(payload) = Payload::decode(PayloadType(*kind), PayloadType::NONE, body) else { return };
    let mut bytes = Vec::new();
    payload.encode(&mut bytes).expect("what was read can be written");
    let again = Payload::decode(PayloadType(*kind), PayloadType::NONE, &bytes);
    assert_eq!(again, Ok(payload), "a payload reads as it was written");
}

/// A datagram for an IKE SA whose keys the sender does not know, or (from the seeds) knows.
pub fn ike_open(data: &[u8]) {
    for cipher in ciphers() {
        let _ = black_box(cipher.open(data));
    }
}

/// Payloads from a peer that has the keys: a list of (type, length, body), sealed properly.
pub fn ike_sealed_payloads(data: &[u8]) {
    let mut payloads = Vec::new();
    let mut rest = data;
    while let [kind, len, tail @ ..] = rest {
        let (body, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        let payload_type = PayloadType(*kind);
        payloads.push(Payload::Opaque(OpaquePayload { payload_type, body: body.to_vec() }));
        rest = tail;
    }
    let header = Header {
        initiator_spi: IkeSpi(1),
        responder_spi: IkeSpi(2),
        version: Version::V2,
        exchange: iana::ExchangeType::IKE_AUTH,
        flags: Flags { initiator: true, ..Flags::default() },
        message_id: MessageId(1),
    };
    for cipher in ciphers() {
        let Ok(sealed) = cipher.seal(&header, &payloads, &vec![7; cipher.iv_len()]) else { return };
        match cipher.open(&sealed) {
            Ok(message) => assert_eq!(message.header, header),
            Err(OpenError::Inner(_)) => (),
            Err(error) => panic!("our own message does not open: {error}"),
        }
    }
}

/// A cipher with a checksum of its own and an AEAD; the keys are the ones the seeds are made with.
pub fn ciphers() -> [SkCipher; 2] {
    let cbc = Encr::AesCbc(AesBits::Bits128);
    let gcm = Encr::AesGcm16(AesBits::Bits128);
    let key = |len| Secret::new(vec![0x42; len]);
    [
        SkCipher::new(cbc, Some(Integ::HmacSha1_96), key(cbc.key_len()), key(20)).expect("key sizes"),
        SkCipher::new(gcm, None, key(gcm.key_len()), key(0)).expect("key sizes"),
    ]
}
