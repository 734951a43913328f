//! A recording that somebody sent: it is read, shown, and played again.

use ike::record::{Recording, replay};
use ike::{Command, Start, Time};
use std::time::Duration;

use super::session_ends::{End, KEY, PSK, START};

/// A recording, whoever wrote it.
pub fn ike_recording(data: &[u8]) {
    let Ok(recording) = serde_json::from_slice::<Recording>(data) else { return };
    for entry in &recording.entries {
        std::hint::black_box(entry.to_string());
    }
    let _ = std::hint::black_box(replay(&recording));
}

/// Both sides of a negotiation that succeeds, and of one whose keys differ.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let [up_a, up_b] = recorded(PSK);
    let [_, failed] = recorded(b"another");
    vec![("initiator", up_a), ("responder", up_b), ("failed", failed)]
}

fn recorded(other_psk: &[u8]) -> [Vec<u8>; 2] {
    let mut ends = [End::new(1, PSK, Start::Respond, None), End::new(2, other_psk, Start::Respond, None)];
    for end in &mut ends {
        end.manager.record(KEY, START);
    }
    ends[0].manager.handle_command(Command::Initiate(KEY), START);
    let mut now: Time = START;
    for _ in 0..4 {
        for at in [0, 1] {
            let sent = ends[at].drain(now);
            now = now + Duration::from_millis(10);
            for datagram in sent {
                let arriving = ike::Datagram { local: datagram.remote, remote: datagram.local, ..datagram };
                ends[1 - at].manager.handle_message(arriving, now);
            }
        }
    }
    ends.map(|mut end| {
        let recording = end.manager.take_recording().expect("recorded");
        serde_json::to_vec(&recording).expect("serializable")
    })
}
