//! Sans-io IKEv2 (RFC 7296): messages, timers and commands in; packets, SA commands and events out.
//!
//! * [`wire`]: messages as owned structs.
//! * [`pki`]: certificates, chains, revocation.
//! * [`crypto`]: key exchange, prf, the protection of messages, key material.
//! * `sa`: one IKE SA as snapshot/restore data, with its window, timers and children.
//! * `v2`: the exchanges, one task each.
//! * [`record`]: negotiations as they happened, to be replayed offline.
//! * [`manager`]: all IKE SAs of the gateway; the way in.

#![forbid(unsafe_code)]

pub mod config;
pub mod crypto;
pub mod diagnosis;
mod identity;
pub mod manager;
pub mod pki;
pub mod record;
mod sa;
pub mod time;
mod v2;
pub mod wire;

pub use config::{
    ChildConfig, Config, Connection, ConnectionKey, EspProposal, FRAGMENT_SIZE, IKE_PORT, IkeProposal,
    Limits, LocalAuth, NAT_T_PORT, Psk, RemoteAuth, Renewal, Retransmit, Start,
};
pub use crypto::RsaPadding;
pub use diagnosis::{Code, Confidence, Diagnosis, Side};
pub use identity::{Identity, IdentityError};
pub use manager::command::{
    ChildKeys, Command, Datagram, Encap, EspSuite, Flow, IkeSaId, InstallChild, Outer, Owner, RequestId,
    SaCommand, SaReply, Spi,
};
pub use manager::event::{
    ChildSaStatus, ChildState, Counters, Event, Gone, IkeSaStatus, IkeState, JournalRecord, Load,
};
pub use manager::{IkeManager, RestoreError};
pub use time::Time;
