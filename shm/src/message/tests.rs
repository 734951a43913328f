mod generators;

use proptest::collection::vec;
use proptest::prelude::*;

use self::generators::{command, completion, event};
use crate::message::codec::Field;
use crate::message::*;

fn round_trip<M: Message + PartialEq + std::fmt::Debug>(message: &M) {
    let mut slot = vec![0; M::SLOT_LEN];
    let len = message.encode(&mut slot);
    assert_eq!(M::decode(&slot[..len]).as_ref(), Ok(message));
    assert_eq!(M::decode(&slot).as_ref(), Ok(message), "what follows the message in its slot is ignored");
    for cut in 0..len {
        assert!(M::decode(&slot[..cut]).is_err(), "cut to {cut} of {len} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_command_round_trips(command in command()) {
        round_trip(&command);
    }

    #[test]
    fn every_completion_round_trips(completion in completion()) {
        round_trip(&completion);
    }

    #[test]
    fn every_event_round_trips(event in event()) {
        round_trip(&event);
    }

    #[test]
    fn any_bytes_decode_to_an_error_or_to_themselves(bytes in vec(any::<u8>(), 0..400)) {
        crate::fuzz::messages(&bytes);
        crate::fuzz::packets_and_handshake(&bytes);
    }

    /// Random bodies behind a right header reach the validation of every field.
    #[test]
    fn random_bodies_never_panic(kind in 0..24u16, len in 0..300u32, body in vec(any::<u8>(), 320)) {
        let mut slot = Vec::new();
        slot.extend(kind.to_le_bytes());
        slot.extend([0; 2]);
        slot.extend(len.to_le_bytes());
        slot.extend(&body);
        crate::fuzz::messages(&slot);
    }

    /// One flipped byte of a whole message.
    #[test]
    fn mutated_commands_never_panic(command in command(), at in 0..320usize, to in any::<u8>()) {
        let mut slot = vec![0; Command::SLOT_LEN];
        let len = command.encode(&mut slot);
        slot[at % len] = to;
        crate::fuzz::messages(&slot);
    }
}

#[test]
fn keys_are_not_printed() {
    let key = [0x5a; 36];
    let keys = SaKeys { encryption: Secret::new(&key).unwrap(), integrity: Secret::new(&[]).unwrap() };
    let printed = format!("{keys:?} {:?}", keys.store());
    assert!(printed.contains("36 bytes"), "{printed}");
    assert!(!printed.contains("90") && !printed.contains("5a"), "{printed}");
}

#[test]
fn values_outside_their_range_are_named() {
    assert_eq!(Spi::new(255), None);
    assert_eq!(VlanId::new(4095), None);
    assert_eq!(PortRange::new(2, 1), None);
    assert_eq!(Prefix::new([10, 0, 0, 1].into(), 24), None);
    assert_eq!(Prefix::new([10, 0, 0, 0].into(), 33), None);
    assert!(Prefix::new([0; 4].into(), 0).is_some());
    assert!(Secret::new(&[0; MAX_KEY_LEN + 1]).is_none());

    let mut slot = [0; Event::SLOT_LEN];
    let len = Event::from(FirstUse { spi: Spi::new(256).unwrap() }).encode(&mut slot);
    slot[HEADER_LEN] = 0;
    slot[HEADER_LEN + 1] = 0;
    assert_eq!(Event::decode(&slot[..len]), Err(DecodeError::Value { field: "SPI", value: 0 }));
    slot[0] = 99;
    assert_eq!(Event::decode(&slot[..len]), Err(DecodeError::UnknownKind { kind: 99 }));
}

#[test]
fn labels_are_cut_at_a_character() {
    let label = Label::new(&"é".repeat(20));
    assert_eq!(label.as_str(), "é".repeat(15));
}
