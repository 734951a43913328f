//! The proposals of a tunnel: `ike = { .. }` and `ipsec = { .. }`.

use std::time::Duration;

use super::Parsed;
use super::reader::Reader;
use super::value::Value;
use crate::algorithm::{Authentication, DhGroup, Encryption, Strength};
use crate::diagnostic::{At, Code, Problem, Sink};
use crate::model::{Ike, IkeVersion, Ipsec};

/// Where omitted values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Profile {
    /// The defaults of the requirements.
    Classic,
    /// Today's best.
    Modern,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Profile {
    const fn ike(self) -> Ike {
        let version = IkeVersion::V2;
        match self {
            Self::Classic => Ike {
                version,
                encryption: Encryption::Aes128Cbc,
                authentication: Authentication::Sha1,
                dh_group: DhGroup::Modp1024,
                lifetime: DAY,
                reauth: Duration::ZERO,
                childless: false,
            },
            Self::Modern => Ike {
                version,
                encryption: Encryption::Aes256Gcm16,
                authentication: Authentication::Sha384,
                dh_group: DhGroup::Curve25519,
                lifetime: DAY,
                reauth: Duration::ZERO,
                childless: false,
            },
        }
    }

    const fn ipsec(self) -> Ipsec {
        match self {
            Self::Classic => Ipsec {
                encryption: Encryption::Aes128Cbc,
                authentication: Authentication::Sha1,
                pfs: Some(DhGroup::Modp1024),
                lifetime: DAY,
                esn: false,
                replay_window: 1024,
                tfc: 0,
            },
            Self::Modern => Ipsec {
                encryption: Encryption::Aes256Gcm16,
                authentication: Authentication::Sha384,
                pfs: Some(DhGroup::Curve25519),
                lifetime: Duration::from_secs(3600 * 4),
                esn: true,
                replay_window: 1024,
                tfc: 0,
            },
        }
    }
}

/// Reads `ike`; `owner` is the tunnel, for omitted values.
pub(super) fn ike(table: Option<Reader<'_>>, owner: &At, profile: Profile, sink: &mut Sink<'_>) -> Ike {
    let mut ike = profile.ike();
    let at = owner.child("ike", owner.span.clone());
    let Some(mut reader) = table else {
        lint_ike(&ike, &Parsed { value: (), at, fields: [].into() }, sink);
        return ike;
    };
    let versions =
        [("ikev2", IkeVersion::V2), ("2", IkeVersion::V2), ("ikev1", IkeVersion::V1), ("1", IkeVersion::V1)];
    if let Some(value) = reader.take(&["version", "ike-version"], sink)
        && let Some(version) = value.word(&versions, sink)
    {
        ike.version = version;
        if version == IkeVersion::V1 {
            let problem = value.problem(Code::NotYet, "IKEv1 is not supported yet");
            sink.error(problem.allowed("\"ikev2\"").fix("write \"ikev2\" here and at the peer"));
        }
    }
    if let Some(value) = reader.take(&["mode", "negotiation-mode"], sink)
        && value.word(&[("main", false), ("aggressive", true)], sink) == Some(true)
        && ike.version == IkeVersion::V2
    {
        sink.warn(value.problem(Code::NoEffect, "IKEv2 has no aggressive mode").fix("remove it"));
    }
    let version = ike.version;
    ike.encryption = ike_encryption(&mut reader, ike.encryption, version, sink);
    ike.authentication = algorithm(&mut reader, "authentication", ike.authentication, version, sink);
    if let Some(value) = reader.take(&["dh-group", "dh", "pfs"], sink) {
        ike.dh_group = word_of::<DhGroup>(&value, version, sink).unwrap_or(ike.dh_group);
    }
    if let Some(value) = reader.take(&["lifetime"], sink) {
        ike.lifetime = value.lifetime(sink).unwrap_or(ike.lifetime);
    }
    if let Some(value) = reader.take(&["reauth"], sink) {
        ike.reauth = reauth(&value, sink).unwrap_or(ike.reauth);
    }
    if let Some(childless) = reader.take(&["childless"], sink).and_then(|v| v.flag(sink)) {
        ike.childless = childless;
    }
    let parsed = reader.parsed((), &["additional-key-exchange"], sink);
    lint_ike(&ike, &parsed, sink);
    ike
}

/// `false`, or a time in seconds.
fn reauth(value: &Value<'_>, sink: &mut Sink<'_>) -> Option<Duration> {
    if value.as_flag() == Some(false) {
        return Some(Duration::ZERO);
    }
    value.number((300, 604_800), "seconds", Code::OutOfRange, sink).map(Duration::from_secs)
}

/// Reads `ipsec`; `owner` is the tunnel, for omitted values.
pub(super) fn ipsec(
    table: Option<Reader<'_>>,
    owner: &At,
    profile: Profile,
    version: IkeVersion,
    sink: &mut Sink<'_>,
) -> Ipsec {
    let mut ipsec = profile.ipsec();
    let at = owner.child("ipsec", owner.span.clone());
    let Some(mut reader) = table else {
        lint_ipsec(&ipsec, &Parsed { value: (), at, fields: [].into() }, sink);
        return ipsec;
    };
    ipsec.encryption = algorithm(&mut reader, "encryption", ipsec.encryption, version, sink);
    ipsec.authentication = algorithm(&mut reader, "authentication", ipsec.authentication, version, sink);
    if let Some(value) = reader.take(&["pfs", "dh-group", "dh"], sink) {
        let off = value.as_text().is_some_and(|text| matches!(text, "disabled" | "disable" | "none" | "off"));
        ipsec.pfs = if off { None } else { word_of::<DhGroup>(&value, version, sink).or(ipsec.pfs) };
    }
    if let Some(value) = reader.take(&["lifetime"], sink) {
        ipsec.lifetime = value.lifetime(sink).unwrap_or(ipsec.lifetime);
    }
    if let Some(value) = reader.take(&["esn"], sink) {
        ipsec.esn = value.flag(sink).unwrap_or(ipsec.esn);
    }
    if let Some(value) = reader.take(&["replay-window"], sink) {
        let window = value.number((32, 32_768), "packets", Code::OutOfRange, sink);
        ipsec.replay_window = window.unwrap_or(ipsec.replay_window);
    }
    if let Some(value) = reader.take(&["tfc"], sink) {
        ipsec.tfc = tfc(&value, sink).unwrap_or(ipsec.tfc);
    }
    let parsed = reader.parsed((), &["protocol", "mode"], sink);
    lint_ipsec(&ipsec, &parsed, sink);
    ipsec
}

/// `"mtu"`, `"none"`, or a length in bytes.
fn tfc(value: &Value<'_>, sink: &mut Sink<'_>) -> Option<u16> {
    if value.as_text().is_some() {
        return value.word(&[("mtu", u16::MAX), ("none", 0)], sink);
    }
    value.number((64, 9216), "bytes", Code::OutOfRange, sink)
}

/// What the three kinds of algorithms share.
trait Algorithm: Copy {
    /// What an error lists.
    fn all() -> Vec<&'static str>;
    fn from_name(name: &str) -> Option<Self>;
}

macro_rules! algorithm {
    ($($kind:ident),+) => {$(
        impl Algorithm for $kind {
            fn all() -> Vec<&'static str> {
                Self::ALL.into_iter().map(Self::name).collect()
            }

            fn from_name(name: &str) -> Option<Self> {
                Self::from_name(name)
            }
        }
    )+};
}
algorithm!(Encryption, Authentication, DhGroup);

/// The cipher of IKE messages: fewer than ESP has.
fn ike_encryption(
    reader: &mut Reader<'_>,
    default: Encryption,
    version: IkeVersion,
    sink: &mut Sink<'_>,
) -> Encryption {
    let Some(value) = reader.take(&["encryption"], sink) else { return default };
    let Some(encryption) = word_of::<Encryption>(&value, version, sink) else { return default };
    if encryption.is_for_ike() {
        return encryption;
    }
    let names: Vec<_> =
        Encryption::ALL.into_iter().filter(|e| e.is_for_ike()).map(Encryption::name).collect();
    let message = format!("{} protects ESP only, not IKE messages", encryption.name());
    let problem = value.problem(Code::UnknownAlgorithm, message).allowed(names.join(", "));
    sink.error(problem.fix("choose another for ike; ipsec may keep it"));
    default
}

fn algorithm<A: Algorithm>(
    reader: &mut Reader<'_>,
    key: &'static str,
    default: A,
    version: IkeVersion,
    sink: &mut Sink<'_>,
) -> A {
    let value = reader.take(&[key], sink);
    value.and_then(|value| word_of(&value, version, sink)).unwrap_or(default)
}

fn word_of<A: Algorithm>(value: &Value<'_>, version: IkeVersion, sink: &mut Sink<'_>) -> Option<A> {
    let text = value.text(sink)?;
    if let Some(algorithm) = A::from_name(text) {
        return Some(algorithm);
    }
    let guomi = matches!(text.to_ascii_lowercase().as_str(), "sm4" | "sm3");
    let problem = match (guomi, version) {
        (true, IkeVersion::V2) => value
            .problem(Code::GuomiNeedsIkev1, format!("{text} is used with IKEv1 only"))
            .fix("choose another"),
        (true, IkeVersion::V1) => value.problem(Code::NotYet, format!("{text} is not supported yet")),
        (false, _) => value.problem(Code::UnknownAlgorithm, format!("there is no {} {text:?}", value.key())),
    };
    sink.error(problem.allowed(A::all().join(", ")));
    None
}

fn lint_ike(ike: &Ike, table: &Parsed<()>, sink: &mut Sink<'_>) {
    lint(table, "encryption", ike.encryption.name(), ike.encryption.strength(), "aes256gcm16", sink);
    lint(table, "authentication", ike.authentication.name(), ike.authentication.strength(), "sha256", sink);
    lint(table, "dh-group", ike.dh_group.name(), ike.dh_group.strength(), "group31", sink);
}

fn lint_ipsec(ipsec: &Ipsec, table: &Parsed<()>, sink: &mut Sink<'_>) {
    lint(table, "encryption", ipsec.encryption.name(), ipsec.encryption.strength(), "aes256gcm16", sink);
    if ipsec.encryption.leaves_clear() {
        let message = format!("{} authenticates and does not encrypt", ipsec.encryption.name());
        let problem = Problem::new(Code::WeakAlgorithm, table.field("encryption"), message);
        sink.warn(
            problem.fix("encryption = \"aes256gcm16\", unless everyone on the way may read the packets"),
        );
    }
    if ipsec.encryption.is_aead() {
        if table.gives("authentication") {
            let message = format!("{} authenticates by itself", ipsec.encryption.name());
            sink.warn(Problem::new(Code::NoEffect, table.field("authentication"), message).fix("remove it"));
        }
    } else {
        let authentication = ipsec.authentication;
        lint(table, "authentication", authentication.name(), authentication.strength(), "sha256", sink);
    }
    if let Some(group) = ipsec.pfs {
        lint(table, "pfs", group.name(), group.strength(), "group31", sink);
    }
}

/// Warns of a weak value, whether written or left out.
fn lint(
    table: &Parsed<()>,
    field: &'static str,
    name: &str,
    strength: Strength,
    better: &str,
    sink: &mut Sink<'_>,
) {
    if strength == Strength::Sound {
        return;
    }
    let at = table.field(field);
    let place = table.at.child(field, at.span.clone());
    let given = table.gives(field);
    let message = if given {
        format!("{name} is weak")
    } else {
        format!("{field} is left out, and its default {name} is weak")
    };
    let fix =
        format!("{field} = \"{better}\", or  profile = \"modern\"  in the connection, where the peer can");
    sink.warn(Problem::new(Code::WeakAlgorithm, &place, message).value(name).fix(fix));
}
