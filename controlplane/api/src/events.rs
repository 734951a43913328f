//! What happens, as it is told to whoever follows.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Problem;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// `START-NUMBER`: a start of the daemon, and the number of the event since then, from 1.
    pub id: String,
    /// Seconds since 1970.
    pub time: u64,
    /// Whose it is; absent where it concerns the whole gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Which of its tunnels, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<u8>,
    #[serde(flatten)]
    pub what: Occurrence,
}

/// What happened. The part of a kind's name before its last word or two is its family, such as `child-sa`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Occurrence {
    /// Both ends have proved who they are.
    IkeSaEstablished {
        /// As `unique_id` of the SA.
        ike_sa: u64,
        /// We started the exchange.
        initiator: bool,
    },
    /// Its children moved to another IKE SA.
    IkeSaRekeyed {
        ike_sa: u64,
        replaces: u64,
    },
    IkeSaDeleted {
        ike_sa: u64,
        reason: Reason,
    },
    ChildSaEstablished {
        /// Our inbound SPI, 8 hexadecimal digits.
        spi: String,
    },
    /// Traffic moved to another pair of ESP SAs.
    ChildSaRekeyed {
        spi: String,
        replaces: String,
    },
    ChildSaDeleted {
        spi: String,
        reason: Reason,
    },
    /// A tunnel that carried nothing carries traffic.
    TunnelUp,
    /// A tunnel carries nothing any more.
    TunnelDown {
        reason: Reason,
    },
    /// A negotiation failed. Those that fail very often are not all told; `/v1/diagnoses` counts them.
    TunnelFailed {
        /// Code of the diagnosis, e.g. `PskMismatch`.
        code: String,
        /// `certain`, `likely` or `possible`.
        confidence: String,
    },
    /// A revision was committed and is in force.
    ConfigCommitted {
        revision: u64,
        author: String,
        /// The revision before returns unless this one is confirmed within so many seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confirm_secs: Option<u64>,
        /// How many connections are new, changed or gone.
        changed: usize,
    },
    /// A revision that waited for its confirmation stays.
    ConfigConfirmed {
        revision: u64,
        author: String,
    },
    /// An older revision was put into force again, as a new revision.
    ConfigRolledBack {
        revision: u64,
        author: String,
        changed: usize,
    },
    /// No confirmation came: the revision before returned by itself, as a new revision.
    ConfigReturned {
        revision: u64,
        changed: usize,
    },
    /// The document was read again and is in force.
    ConfigReloaded {
        changed: usize,
    },
    /// Events between the last one that was read and the next one are no longer known.
    Missed {
        /// How many; absent where the daemon was started anew since.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count: Option<u64>,
    },
}

/// Why an SA is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// We were told to delete it.
    Command,
    /// The peer deleted it.
    Peer,
    /// Its lifetime ended.
    Expired,
    /// The peer no longer answers.
    PeerDead,
    /// Another one took its place.
    Replaced,
    /// The peer lost its state.
    PeerRestarted,
    /// The negotiation failed.
    Failed,
}

impl Reason {
    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Peer => "peer",
            Self::Expired => "expired",
            Self::PeerDead => "peer-dead",
            Self::Replaced => "replaced",
            Self::PeerRestarted => "peer-restarted",
            Self::Failed => "failed",
        }
    }
}

impl Occurrence {
    /// Every kind that can be asked for.
    pub const KINDS: [&str; 14] = [
        "ike-sa-established",
        "ike-sa-rekeyed",
        "ike-sa-deleted",
        "child-sa-established",
        "child-sa-rekeyed",
        "child-sa-deleted",
        "tunnel-up",
        "tunnel-down",
        "tunnel-failed",
        "config-committed",
        "config-confirmed",
        "config-rolled-back",
        "config-returned",
        "config-reloaded",
    ];

    /// Its kind, as in JSON.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::IkeSaEstablished { .. } => "ike-sa-established",
            Self::IkeSaRekeyed { .. } => "ike-sa-rekeyed",
            Self::IkeSaDeleted { .. } => "ike-sa-deleted",
            Self::ChildSaEstablished { .. } => "child-sa-established",
            Self::ChildSaRekeyed { .. } => "child-sa-rekeyed",
            Self::ChildSaDeleted { .. } => "child-sa-deleted",
            Self::TunnelUp => "tunnel-up",
            Self::TunnelDown { .. } => "tunnel-down",
            Self::TunnelFailed { .. } => "tunnel-failed",
            Self::ConfigCommitted { .. } => "config-committed",
            Self::ConfigConfirmed { .. } => "config-confirmed",
            Self::ConfigRolledBack { .. } => "config-rolled-back",
            Self::ConfigReturned { .. } => "config-returned",
            Self::ConfigReloaded { .. } => "config-reloaded",
            Self::Missed { .. } => "missed",
        }
    }
}

/// Which events are told; by default all. `missed` always is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EventFilter {
    /// Those of this connection only, which leaves out those of the whole gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Kinds or families of them, with commas between: `tunnel-failed`, or `tunnel,config-committed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

impl EventFilter {
    /// 400 where a kind is none.
    ///
    /// # Errors
    /// The problem that names it.
    pub fn check(&self) -> Result<(), Problem> {
        let is_none = |wanted: &&str| !Occurrence::KINDS.iter().any(|kind| is_of(kind, wanted));
        self.kinds().find(is_none).map_or(Ok(()), |unknown| {
            let detail = format!("there are no events of the kind {unknown:?}");
            let problem = Problem::new(400, "UnknownKind", "No such kind of event", detail);
            let families = "ike-sa, child-sa, tunnel and config are families";
            Err(problem.fix(format!("use one of {}; {families}", Occurrence::KINDS.join(", "))))
        })
    }

    /// Whether it lets an event pass.
    #[must_use]
    pub fn takes(&self, event: &Event) -> bool {
        let kind = event.what.kind();
        let concerns = self.connection.is_none() || self.connection == event.connection;
        let is_wanted = self.kind.is_none() || self.kinds().any(|wanted| is_of(kind, wanted));
        (concerns && is_wanted) || matches!(event.what, Occurrence::Missed { .. })
    }

    fn kinds(&self) -> impl Iterator<Item = &str> {
        self.kind.iter().flat_map(|kinds| kinds.split(','))
    }
}

/// Whether a kind is the wanted one or one of the wanted family.
fn is_of(kind: &str, wanted: &str) -> bool {
    kind.strip_prefix(wanted)
        .is_some_and(|rest| rest.is_empty() || (rest.starts_with('-') && !wanted.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(connection: Option<&str>, what: Occurrence) -> Event {
        Event { id: "1-1".into(), time: 0, connection: connection.map(str::to_owned), tunnel: None, what }
    }

    fn filter(connection: Option<&str>, kind: Option<&str>) -> EventFilter {
        EventFilter { connection: connection.map(str::to_owned), kind: kind.map(str::to_owned) }
    }

    #[test]
    fn an_event_is_flat_and_reads_back() {
        let event = event(Some("hq"), Occurrence::TunnelDown { reason: Reason::PeerDead });
        let text = serde_json::to_string(&event).expect("JSON");
        let wanted = r#"{"id":"1-1","time":0,"connection":"hq","kind":"tunnel-down","reason":"peer-dead"}"#;
        assert_eq!(text, wanted);
        assert_eq!(serde_json::from_str::<Event>(&text).expect("an event"), event);
        assert!(text.contains(event.what.kind()) && Occurrence::KINDS.contains(&event.what.kind()));
    }

    #[test]
    fn filters_know_kinds_families_and_connections() {
        let up = event(Some("hq"), Occurrence::TunnelUp);
        let reloaded = event(None, Occurrence::ConfigReloaded { changed: 0 });
        let missed = event(None, Occurrence::Missed { count: Some(3) });
        for kind in ["tunnel", "tunnel-up", "config,tunnel-up"] {
            assert!(filter(None, Some(kind)).takes(&up), "{kind}");
        }
        assert!(!filter(None, Some("tunnel-down,config")).takes(&up));
        assert!(filter(Some("hq"), None).takes(&up) && !filter(Some("osaka"), None).takes(&up));
        assert!(!filter(Some("hq"), None).takes(&reloaded), "it concerns the whole gateway");
        assert!(filter(Some("osaka"), Some("tunnel")).takes(&missed), "always told");
        assert_eq!(filter(None, Some("child-sa,config")).check(), Ok(()));
        for kind in ["", "tun", "tunnel,", "tunnel-", "Tunnel"] {
            let problem = filter(None, Some(kind)).check().expect_err(kind);
            assert_eq!((problem.status, &*problem.code), (400, "UnknownKind"));
        }
    }
}
