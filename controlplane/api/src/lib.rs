//! The HTTP API: its types, shared by the daemon and its clients, and (feature `server`) its routes.
//!
//! It is served on a Unix socket. Answers are JSON; errors are `application/problem+json` (RFC 9457).
//!
//! | Method and path | Body | Answer |
//! |---|---|---|
//! | GET `/v1/version` | | [`Version`] |
//! | GET `/v1/status` | | [`Status`] |
//! | GET `/v1/sas?tag=..&resource-group=..` | | list of [`IkeSa`], the part and those of a [`ListQuery`] |
//! | GET `/v1/connections?tag=..&resource-group=..` | | list of [`Connection`], the same |
//! | POST `/v1/connections/{name}/initiate`, `/rekey`, `/terminate`, `/reset` | [`ActionRequest`] | [`ActionReply`] |
//! | POST `/v1/connections/{name}/record` | [`RecordRequest`] | [`Recorded`] |
//! | GET `/v1/connections/{name}/peer-config/{vendor}` | | [`PeerConfig`], with the pre-shared key |
//! | GET `/v1/counters` | | [`Counters`] |
//! | GET `/v1/errors` | | list of [`DropCounter`] |
//! | GET `/v1/ports` | | list of [`Port`] |
//! | GET `/v1/neighbours` | | list of [`Neighbour`] |
//! | GET `/v1/diagnoses` | | list of [`Diagnosis`] |
//! | GET `/v1/events?connection=..&kind=..` | | server-sent [`Event`]s, those of an [`EventFilter`] |
//! | POST `/v1/config/check` | [`ConfigText`] | [`ConfigReport`] |
//! | POST `/v1/config/diff` | [`ConfigText`] | [`ConfigDiff`] |
//! | POST `/v1/config/reload` | | [`ConfigReport`] |
//! | GET `/v1/config?secrets=true` | | [`Document`] |
//! | POST `/v1/config/commit` | [`CommitRequest`] | [`CommitReport`] |
//! | POST `/v1/config/confirm` | [`ConfirmRequest`] | [`PendingConfirmation`] |
//! | POST `/v1/config/rollback` | [`RollbackRequest`] | [`CommitReport`] |
//! | GET `/v1/config/history` | | [`History`] |
//! | GET `/v1/config/revisions/{revision}?secrets=true` | | [`Document`] |
//! | GET `/v1/config/{kind}` | | list of objects: `vpn-gateways`, `customer-gateways` or `connections` |
//! | GET `/v1/config/{kind}/{name}` | | the object |
//! | PUT, PATCH, DELETE `/v1/config/{kind}/{name}` | the object, a merge patch, none | [`CommitReport`] |
//! | POST `/v1/shutdown` | [`ShutdownRequest`] | 202 |
//! | GET, POST `/v1/tokens` | [`TokenRequest`] | list of [`Token`], [`TokenCreated`] |
//! | DELETE `/v1/tokens/{id}` | | 204 |
//! | GET `/v1/audit?limit=..` | | list of [`AuditRecord`], the part of a [`Page`] |
//! | GET `/v1/openapi.json` | | all of this in OpenAPI 3.1: `docs/openapi.json` |
#![forbid(unsafe_code)]

mod access;
mod config;
mod events;
mod figures;
mod object;
mod page;
mod problem;
mod sas;
#[cfg(feature = "server")]
pub mod server;
mod system;
mod transaction;

pub use access::{AuditRecord, CaCertificate, Role, Token, TokenCreated, TokenRequest};
pub use config::{
    ConfigChange, ConfigDiff, ConfigProblem, ConfigReport, ConfigText, FieldChange, Impact, PeerConfig,
    PeerFile, Severity,
};
pub use events::{Event, EventFilter, Occurrence, Reason};
pub use figures::{
    Counters, DropCounter, InterfaceCounters, InterfaceDrops, Neighbour, NeighbourState, Offload, Port,
    SaCounters, SteeringPath,
};
#[cfg(feature = "server")]
pub use object::ConfigObject;
pub use object::{EditTerms, ObjectKind};
pub use page::{ListQuery, Page};
pub use problem::Problem;
pub use sas::{
    ChildMode, ChildSa, ChildState, Diagnosis, IkeSa, IkeState, Party, Path, PathLimit, PathState, Proposal,
    Reach, Traffic,
};
pub use system::{
    Action, ActionReply, ActionRequest, Certificate, CertificateHolder, Connection, ConnectionFilter,
    DataplaneState, DataplaneStatus, NegotiationStatus, RecordRequest, Recorded, ShutdownRequest, Status,
    Target, Tunnel, TunnelState, TunnelTraffic, Version,
};
pub use transaction::{
    CONFIRM_SECS, CommitReport, CommitRequest, ConfirmRequest, Document, History, PendingConfirmation,
    RevisionEntry, RollbackRequest, Secrets,
};

/// Where the daemon listens when the document does not say.
pub const DEFAULT_SOCKET: &str = "/run/esplanade/control.sock";

/// Paths of the API, so that client and server cannot disagree.
pub mod path {
    pub const VERSION: &str = "/v1/version";
    pub const STATUS: &str = "/v1/status";
    pub const SAS: &str = "/v1/sas";
    pub const CONNECTIONS: &str = "/v1/connections";
    pub const COUNTERS: &str = "/v1/counters";
    pub const ERRORS: &str = "/v1/errors";
    pub const PORTS: &str = "/v1/ports";
    pub const NEIGHBOURS: &str = "/v1/neighbours";
    pub const CERTIFICATES: &str = "/v1/certificates";
    pub const DIAGNOSES: &str = "/v1/diagnoses";
    pub const EVENTS: &str = "/v1/events";
    pub const CONFIG: &str = "/v1/config";
    pub const CONFIG_COMMIT: &str = "/v1/config/commit";
    pub const CONFIG_CONFIRM: &str = "/v1/config/confirm";
    pub const CONFIG_ROLLBACK: &str = "/v1/config/rollback";
    pub const CONFIG_HISTORY: &str = "/v1/config/history";
    pub const CONFIG_CHECK: &str = "/v1/config/check";
    pub const CONFIG_DIFF: &str = "/v1/config/diff";
    pub const CONFIG_RELOAD: &str = "/v1/config/reload";
    pub const OPENAPI: &str = "/v1/openapi.json";
    pub const TOKENS: &str = "/v1/tokens";
    pub const AUDIT: &str = "/v1/audit";
    pub const CA: &str = "/v1/ca";
    pub const SHUTDOWN: &str = "/v1/shutdown";

    /// Path of the configuration of a connection's peer.
    #[must_use]
    pub fn peer_config(connection: &str, vendor: &str) -> String {
        format!("{CONNECTIONS}/{connection}/peer-config/{vendor}")
    }

    /// Path of the recording of a negotiation.
    #[must_use]
    pub fn record(connection: &str) -> String {
        format!("{CONNECTIONS}/{connection}/record")
    }

    /// Path of a token.
    #[must_use]
    pub fn token(id: &str) -> String {
        format!("{TOKENS}/{id}")
    }

    /// Path of the document of a revision.
    #[must_use]
    pub fn revision(number: u64) -> String {
        format!("{CONFIG}/revisions/{number}")
    }

    /// Path of the configured objects of a kind.
    #[must_use]
    pub fn objects(kind: crate::ObjectKind) -> String {
        format!("{CONFIG}/{}", kind.name())
    }

    /// Path of a configured object.
    #[must_use]
    pub fn object(kind: crate::ObjectKind, name: &str) -> String {
        format!("{}/{name}", objects(kind))
    }

    /// Path of an action on a connection.
    #[must_use]
    pub fn action(connection: &str, action: crate::Action) -> String {
        format!("{CONNECTIONS}/{connection}/{}", action.name())
    }
}
