//! NAT detection (RFC 7296 section 2.23).

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

use crate::crypto::{IkeSpis, nat_detection_hash};
use crate::wire::iana::NotifyType;
use crate::wire::{Message, NotifyPayload, Payload};

/// Who is behind a NAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Nat {
    /// We are.
    pub(crate) local: bool,
    /// The peer is, or pretends to, so that ESP goes in UDP.
    pub(crate) remote: bool,
}

impl Nat {
    /// Whether anyone is.
    pub(crate) fn any(self) -> bool {
        self.local || self.remote
    }
}

/// Our addresses as hashes. With `force` the source hash is of no address, so that the peer sees a NAT.
pub(crate) fn payloads(spis: IkeSpis, local: SocketAddr, remote: SocketAddr, force: bool) -> [Payload; 2] {
    let mut source = nat_detection_hash(spis.initiator, spis.responder, local);
    if force {
        source = source.map(|byte| !byte);
    }
    let destination = nat_detection_hash(spis.initiator, spis.responder, remote);
    [
        Payload::Notify(NotifyPayload::new(NotifyType::NAT_DETECTION_SOURCE_IP, source)),
        Payload::Notify(NotifyPayload::new(NotifyType::NAT_DETECTION_DESTINATION_IP, destination)),
    ]
}

/// Compares the peer's hashes with the addresses the message came with; `None` if it sent none.
pub(crate) fn detect(message: &Message, spis: IkeSpis, local: SocketAddr, remote: SocketAddr) -> Option<Nat> {
    let seen = |kind, addr| {
        let expected = nat_detection_hash(spis.initiator, spis.responder, addr);
        let mut hashes = message.notifies().filter(|n| n.notify_type == kind).peekable();
        hashes.peek().is_some().then(|| hashes.any(|n| n.data == expected))
    };
    let remote_as_sent = seen(NotifyType::NAT_DETECTION_SOURCE_IP, remote)?;
    let local_as_sent = seen(NotifyType::NAT_DETECTION_DESTINATION_IP, local)?;
    Some(Nat { local: !local_as_sent, remote: !remote_as_sent })
}
