//! Entry points for the fuzz targets: each takes any bytes, and none may panic.

use std::hint::black_box;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::inspect::{Question, Record};
use crate::message::{Change, Command, Completion, Event, Inject, Message, Punt};
use crate::session::fuzz_handshake;

/// Decodes `bytes` as a message of every ring, and of an inspection, and checks that what decodes encodes to itself.
pub fn messages(bytes: &[u8]) {
    round_trip::<Command>(bytes);
    round_trip::<Change>(bytes);
    round_trip::<Completion>(bytes);
    round_trip::<Event>(bytes);
    json_round_trip::<Question>(bytes);
    json_round_trip::<Record>(bytes);
}

/// Reads `bytes` as the header of a packet slot and as the datagrams of the handshake.
pub fn packets_and_handshake(bytes: &[u8]) {
    if let Some(header) = bytes.first_chunk() {
        // An optimised build would leave out what has no effect.
        let _ = black_box(crate::message::packet::take_packet_header::<Punt>(header));
        let _ = black_box(crate::message::packet::take_packet_header::<Inject>(header));
    }
    fuzz_handshake(bytes);
}

fn json_round_trip<M: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(message) = serde_json::from_slice::<M>(bytes) else { return };
    let again = serde_json::to_vec(&message).ok().and_then(|text| serde_json::from_slice(&text).ok());
    assert_eq!(again.as_ref(), Some(&message), "what is read is written so that it is read again");
}

fn round_trip<M: Message>(bytes: &[u8]) {
    let Ok(message) = M::decode(bytes) else { return };
    let mut slot = vec![0; M::SLOT_LEN];
    let len = message.encode(&mut slot);
    assert_eq!(slot.get(..len), bytes.get(..len), "a message has one encoding");
}
