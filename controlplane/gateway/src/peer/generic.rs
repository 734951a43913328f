//! Every parameter of the peer's side by its common name: as a table for people, as JSON for programs.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

use super::{PeerConfig, PeerFile, PeerTunnel};
use crate::algorithm::DhGroup;
use crate::model::Identity;

/// A tunnel from the peer's side.
struct Parameters<'a>(Vec<(&'static str, Value<'a>)>);

#[derive(Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Switch(bool),
    List(Vec<String>),
}

impl Serialize for Parameters<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name.replace(' ', "-"), value)))
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl<'a> Parameters<'a> {
    fn of(tunnel: &PeerTunnel<'a>) -> Self {
        let plan = tunnel.plan;
        let role = if plan.index == 1 { "primary" } else { "secondary" };
        let mut all = vec![("tunnel", tunnel.name().into()), ("role", role.into())];
        all.extend(ends(tunnel));
        let ike = plan.ike;
        all.extend([
            ("IKE version", Value::Number(2)),
            ("IKE encryption", ike.encryption.name().into()),
            ("IKE authentication and PRF", ike.authentication.name().into()),
            ("IKE group", ike.dh_group.name().into()),
            ("IKE lifetime seconds", Value::Number(ike.lifetime.as_secs())),
            ("protocol", "ESP, tunnel mode".into()),
            ("ESP encryption", plan.ipsec.encryption.name().into()),
        ]);
        if !plan.ipsec.encryption.is_aead() {
            all.push(("ESP authentication", plan.ipsec.authentication.name().into()));
        }
        all.extend([
            ("PFS group", plan.ipsec.pfs.map_or("disabled", DhGroup::name).into()),
            ("ESP lifetime seconds", Value::Number(plan.ipsec.lifetime.as_secs())),
            ("extended sequence numbers", Value::Switch(plan.ipsec.esn)),
            ("NAT traversal", Value::Switch(plan.nat_traversal)),
        ]);
        all.extend(plan.dpd.map(|dpd| ("DPD timeout seconds", Value::Number(dpd.timeout.as_secs()))));
        if let Some((theirs, prefix, ours)) = tunnel.inner {
            all.push(("inner address", format!("{theirs}/{prefix}").into()));
            all.push(("inner peer", ours.to_string().into()));
        }
        Self(all)
    }
}

/// Who speaks to whom, how each proves itself, and for which networks.
fn ends<'a>(tunnel: &PeerTunnel<'a>) -> impl Iterator<Item = (&'static str, Value<'a>)> {
    let plan = tunnel.plan;
    let list = |networks: &[ipnet::IpNet]| Value::List(networks.iter().map(ToString::to_string).collect());
    let proof = |certificate: bool| if certificate { "certificate" } else { "pre-shared key" };
    let id = |id: &Identity| format!("{id} ({})", kind(id)).into();
    let ends = [
        ("local address", plan.remote.to_string().into()),
        ("remote address", plan.local.to_string().into()),
        ("local ID", id(&plan.remote_id)),
        ("remote ID", id(&plan.local_id)),
        ("local authentication", proof(tunnel.peer_has_certificate()).into()),
        ("remote authentication", proof(tunnel.we_have_certificate()).into()),
        ("local networks", list(&plan.remote_networks)),
        ("remote networks", list(&plan.local_networks)),
    ];
    ends.into_iter().chain(tunnel.secret.map(|secret| ("pre-shared key", secret.into())))
}

fn kind(id: &Identity) -> &'static str {
    match id {
        Identity::Address(_) => "address",
        Identity::Fqdn(_) => "FQDN",
        Identity::Email(_) => "e-mail",
        Identity::Dn(_) => "distinguished name",
        Identity::KeyId(_) => "key ID",
    }
}

pub(super) fn json(tunnels: &[PeerTunnel<'_>]) -> PeerConfig {
    let all: Vec<_> = tunnels.iter().map(Parameters::of).collect();
    // Text, numbers and lists always serialize.
    let text = serde_json::to_string_pretty(&all).unwrap_or_default();
    one("peer.json", Zeroizing::new(text + "\n"))
}

pub(super) fn table(tunnels: &[PeerTunnel<'_>]) -> PeerConfig {
    let mut text = Zeroizing::new(String::new());
    for tunnel in tunnels {
        for (name, value) in Parameters::of(tunnel).0 {
            let value = match value {
                Value::Text(value) => value,
                Value::Number(value) => value.to_string().into(),
                Value::Switch(on) => if on { "yes" } else { "no" }.into(),
                Value::List(list) => list.join(", ").into(),
            };
            line!(text, "{name:<28}{value}");
        }
        text.push('\n');
    }
    one("peer.txt", text)
}

fn one(path: &str, text: Zeroizing<String>) -> PeerConfig {
    PeerConfig { files: vec![PeerFile { path: path.to_owned(), text }], notes: Vec::new() }
}
