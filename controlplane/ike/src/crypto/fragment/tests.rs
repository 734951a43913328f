use super::*;
use crate::crypto::{AesBits, Encr, Integ, Prf};
use crate::wire::iana::{ExchangeType, NotifyType};
use crate::wire::{DecodeError, Flags, IkeSpi, MessageId, NotifyPayload, Version};
use proptest::prelude::*;

fn bytes(len: usize, seed: u8) -> Vec<u8> {
    let some = Prf::HmacSha256.plus(&Secret::from(&[seed; 32][..]), &[b"test"], len.min(1000));
    some.expose().iter().copied().cycle().take(len).collect()
}

fn ciphers() -> [SkCipher; 2] {
    let gcm = Encr::AesGcm16(AesBits::Bits128);
    let cbc = Encr::AesCbc(AesBits::Bits256);
    let sha = Integ::from_id(crate::wire::iana::IntegId::HMAC_SHA2_256_128).expect("we have it");
    [
        SkCipher::new(gcm, None, Secret::new(bytes(gcm.key_len(), 1)), Secret::default()).unwrap(),
        SkCipher::new(cbc, Some(sha), Secret::new(bytes(32, 1)), Secret::new(bytes(sha.key_len(), 2)))
            .unwrap(),
    ]
}

fn header(id: u32) -> Header {
    Header {
        initiator_spi: IkeSpi(1),
        responder_spi: IkeSpi(2),
        version: Version::V2,
        exchange: ExchangeType::IKE_AUTH,
        flags: Flags { initiator: true, ..Flags::default() },
        message_id: MessageId(id),
    }
}

fn payloads(len: usize) -> Vec<Payload> {
    let notify = |data| Payload::Notify(NotifyPayload::new(NotifyType::COOKIE, data));
    vec![notify(bytes(len.min(60_000), 7)), notify(vec![1, 2, 3])]
}

fn seal(
    cipher: &SkCipher,
    budget: usize,
    id: u32,
    payloads: &[Payload],
) -> Result<Vec<Vec<u8>>, CryptoError> {
    let mut ivs = 0..=u8::MAX;
    cipher.seal_within(budget, &header(id), payloads, || vec![ivs.next().unwrap(); cipher.iv_len()])
}

/// What comes of these datagrams in this order.
fn gather<'a>(
    cipher: &SkCipher,
    assembly: &mut Assembly,
    datagrams: impl IntoIterator<Item = &'a Vec<u8>>,
) -> Vec<Message> {
    let mut complete = Vec::new();
    for datagram in datagrams {
        let fragment = cipher.open_fragment(datagram).expect("authentic");
        complete.extend(assembly.add(fragment).map(|plain| plain.read().expect("well-formed")));
    }
    complete
}

proptest! {
    #[test]
    fn messages_come_back_whole_in_any_order_and_however_often(
        len in 0usize..9_000, budget in 150usize..1500, which in 0usize..2, seed: u64,
    ) {
        let cipher = &ciphers()[which];
        let payloads = payloads(len);
        let Ok(parts) = seal(cipher, budget, 5, &payloads) else {
            prop_assert!(len / (budget - 120) > 100, "refused though it fits");
            return Ok(());
        };
        prop_assert!(parts.iter().all(|part| part.len() <= budget));
        if parts.len() == 1 {
            prop_assert_eq!(cipher.open(&parts[0]).expect("whole").payloads, payloads);
            return Ok(());
        }
        // Each twice, shuffled.
        let mut order: Vec<usize> = (0..parts.len()).chain(0..parts.len()).collect();
        order.sort_by_key(|at| (*at as u64 + 1).wrapping_mul(seed | 1).rotate_left(29));
        let complete = gather(cipher, &mut Assembly::default(), order.iter().map(|at| &parts[*at]));
        prop_assert!(!complete.is_empty());
        prop_assert_eq!(&complete[0], &Message { header: header(5), payloads });
    }
}

#[test]
fn the_fragments_of_two_messages_do_not_mix() {
    let cipher = &ciphers()[0];
    let [first, second] = [5, 6].map(|id| seal(cipher, 300, id, &payloads(500)).unwrap());
    let mut assembly = Assembly::default();
    assert!(gather(cipher, &mut assembly, &first[..first.len() - 1]).is_empty());
    assert!(gather(cipher, &mut assembly, &second[1..]).is_empty());
    assert!(gather(cipher, &mut assembly, &first[first.len() - 1..]).is_empty());
    assert_eq!(gather(cipher, &mut assembly, &first[..first.len() - 1]).len(), 1);
}

#[test]
fn shorter_fragments_take_the_place_of_longer_ones() {
    let cipher = &ciphers()[0];
    let [long, short] = [600, 300].map(|budget| seal(cipher, budget, 5, &payloads(1000)).unwrap());
    assert!(long.len() < short.len());
    let mut assembly = Assembly::default();
    assert!(gather(cipher, &mut assembly, &long[..1]).is_empty());
    assert!(gather(cipher, &mut assembly, &short[1..]).is_empty());
    // Late ones of the first attempt change nothing.
    assert!(gather(cipher, &mut assembly, &long).is_empty());
    assert_eq!(gather(cipher, &mut assembly, &short[..1]).len(), 1);
}

#[test]
fn numbers_and_types_are_authentic() {
    let cipher = &ciphers()[1];
    let parts = seal(cipher, 400, 5, &payloads(1000)).unwrap();
    for at in [HEADER_LEN, HEADER_LEN + GENERIC_HEADER_LEN + 1, HEADER_LEN + GENERIC_HEADER_LEN + 3] {
        let mut forged = parts[1].clone();
        forged[at] ^= 1;
        let opened = cipher.open_fragment(&forged);
        assert!(matches!(opened, Err(OpenError::NotAuthentic | OpenError::Outer(_))), "{at}: {opened:?}");
    }
    assert!(matches!(cipher.open(&parts[0]), Err(OpenError::NotEncrypted)));
    let mut zero = parts[0].clone();
    zero[HEADER_LEN + GENERIC_HEADER_LEN + 1] = 0;
    assert!(matches!(cipher.open_fragment(&zero), Err(OpenError::Outer(DecodeError::Value { .. }))));
}

#[test]
fn what_takes_too_many_fragments_is_refused() {
    let cipher = &ciphers()[0];
    assert!(seal(cipher, 150, 5, &payloads(60_000)).is_err());
    assert!(seal(cipher, 10, 5, &payloads(1)).is_err());
    assert!(seal(cipher, 1228, 5, &payloads(60_000)).is_ok());
}

#[test]
fn a_peer_cannot_make_us_keep_more_than_one_message() {
    let cipher = &ciphers()[0];
    let mut assembly = Assembly::default();
    let text = vec![0; 60_000];
    for number in 1..=200u16 {
        let numbers = [number.to_be_bytes(), 255u16.to_be_bytes()].concat();
        let kind = (PayloadType::ENCRYPTED_FRAGMENT, PayloadType::NONE);
        let datagram = cipher.seal_text(&header(5), kind, &numbers, text.clone(), &[0; 8]).unwrap();
        assert!(gather(cipher, &mut assembly, [&datagram]).is_empty());
    }
    let held: usize = assembly.parts.iter().flatten().map(Secret::len).sum();
    assert!(held <= MAX_TEXT, "{held}");
    let numbers = [1u16.to_be_bytes(), 4000u16.to_be_bytes()].concat();
    let kind = (PayloadType::ENCRYPTED_FRAGMENT, PayloadType::NONE);
    let datagram = cipher.seal_text(&header(6), kind, &numbers, vec![0; 10], &[0; 8]).unwrap();
    assert!(gather(cipher, &mut assembly, [&datagram]).is_empty());
    assert!(assembly.parts.len() <= usize::from(MAX_FRAGMENTS));
}
