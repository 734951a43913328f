//! What each fuzz target does with its input. None of it may panic, whatever the bytes.
//!
//! The same functions run over the committed corpora in `cargo test -p sim --test corpus`.

mod certificate_target;
mod ike_targets;
mod packet_targets;
mod peer_target;
mod reassembly_target;
mod recording_target;
pub mod seeds;
mod session_ends;
mod session_target;

pub use certificate_target::{ike_certificates, ike_revocations};
pub use ike_targets::{ike_message, ike_open, ike_payload, ike_sealed_payloads};
pub use packet_targets::{packet_decapsulated, packet_frame};
pub use peer_target::{endless_children, endless_ike_sas, ike_peer};
pub use reassembly_target::reassembly;
pub use recording_target::ike_recording;
pub use session_target::ike_session;

use gateway::Code;
use gateway::import::{Options, Source};

/// A message of any of the contract's rings.
pub fn shm_messages(data: &[u8]) {
    shm::fuzz::messages(data);
}

/// A packet slot's header, and the datagrams that open a session.
pub fn shm_handshake(data: &[u8]) {
    shm::fuzz::packets_and_handshake(data);
}

/// An operator's document: every error is a diagnostic with its place, none a panic.
pub fn gateway_document(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        std::hint::black_box(gateway::check(text, "fuzz.toml"));
    }
}

/// Another daemon's configuration: what its reader takes becomes a document in which no value is wrong.
pub fn gateway_import(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let sources = [Source { name: "swanctl.conf", text }];
    let Ok(imported) = gateway::import::swanctl(&sources, Options::default()) else { return };
    let report = gateway::check(&imported.document, "imported.toml");
    let misread = report.errors.iter().find(|error| !is_for_the_operator(error.code));
    assert!(misread.is_none(), "{misread:?}");
}

/// Two connections of one name are the other configuration's fault; a value that no document has is ours.
fn is_for_the_operator(code: Code) -> bool {
    use Code::{Malformed, OutOfRange, Syntax, UnknownAlgorithm, UnknownKey, UnknownValue, WrongType};
    !matches!(
        code,
        Syntax | UnknownKey | WrongType | UnknownValue | UnknownAlgorithm | OutOfRange | Malformed
    )
}

/// A target: its name, which is also its folder in `corpus/`, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("ike_message", ike_message),
    ("ike_payload", ike_payload),
    ("ike_open", ike_open),
    ("ike_sealed_payloads", ike_sealed_payloads),
    ("ike_certificates", ike_certificates),
    ("ike_revocations", ike_revocations),
    ("ike_session", ike_session),
    ("ike_peer", ike_peer),
    ("ike_recording", ike_recording),
    ("shm_messages", shm_messages),
    ("shm_handshake", shm_handshake),
    ("packet_frame", packet_frame),
    ("packet_decapsulated", packet_decapsulated),
    ("reassembly", reassembly),
    ("gateway_document", gateway_document),
    ("gateway_import", gateway_import),
];
