//! strongSwan 5.9 and later: one file of swanctl, and a script for the interfaces of routed connections.

use std::fmt::Write as _;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{PeerConfig, PeerFile, PeerTunnel, interfaces, list};
use crate::algorithm::{DhGroup, Encryption};
use crate::model::Identity;

/// The policy of the primary tunnel is preferred to that of the secondary.
const PRIORITY: u32 = 1_000;

pub(super) fn render(tunnels: &[PeerTunnel<'_>]) -> PeerConfig {
    let name = tunnels.first().map(PeerTunnel::connection).unwrap_or_default();
    let path = format!("/etc/swanctl/conf.d/{name}.conf");
    let mut text =
        Zeroizing::new(format!("# Put this into {path} (mode 0600), then: swanctl --load-all\n\n"));
    text.push_str(&swanctl(tunnels));
    let mut config = PeerConfig { files: vec![PeerFile { path, text }], notes: notes(tunnels) };
    let script = format!("/etc/swanctl/{name}-interfaces.sh");
    config.files.extend(interfaces::script(script, tunnels, |tunnel| tunnel.device()));
    config
}

/// Connections and secrets.
pub(super) fn swanctl(tunnels: &[PeerTunnel<'_>]) -> Zeroizing<String> {
    let mut text = Zeroizing::new("connections {\n".to_owned());
    tunnels.iter().for_each(|tunnel| connection(tunnel, &mut text));
    text.push_str("}\n");
    let secrets = tunnels.iter().filter(|tunnel| tunnel.secret.is_some());
    if secrets.clone().next().is_some() {
        text.push_str("\nsecrets {\n");
        secrets.for_each(|tunnel| secret(tunnel, &mut text));
        text.push_str("}\n");
    }
    text
}

fn connection(tunnel: &PeerTunnel<'_>, text: &mut String) {
    let plan = tunnel.plan;
    line!(text, "  {} {{", tunnel.name());
    line!(text, "    version = 2");
    line!(text, "    local_addrs = {}", plan.remote);
    line!(text, "    remote_addrs = {}", plan.local);
    line!(text, "    proposals = {}", ike_proposal(tunnel));
    let (rekey, over) = lifetimes(plan.ike.lifetime);
    line!(text, "    rekey_time = {rekey}s");
    line!(text, "    over_time = {over}s");
    if let Some(dpd) = plan.dpd {
        line!(text, "    dpd_delay = {}s", (dpd.timeout / 3).as_secs().max(1));
    }
    line!(text, "    mobike = no");
    line!(text, "    unique = replace");
    let auth = |certificate: bool| if certificate { "pubkey" } else { "psk" };
    line!(text, "    local {{");
    line!(text, "      auth = {}", auth(tunnel.peer_has_certificate()));
    line!(text, "      id = {}", identity(&plan.remote_id));
    if tunnel.peer_has_certificate() {
        line!(text, "      certs = {}.pem", tunnel.name());
    }
    line!(text, "    }}\n    remote {{");
    line!(text, "      auth = {}", auth(tunnel.we_have_certificate()));
    line!(text, "      id = {}", identity(&plan.local_id));
    line!(text, "    }}\n    children {{");
    child(tunnel, text);
    line!(text, "    }}\n  }}");
}

fn child(tunnel: &PeerTunnel<'_>, text: &mut String) {
    let plan = tunnel.plan;
    line!(text, "      {} {{", tunnel.name());
    line!(text, "        local_ts = {}", list(&plan.remote_networks, ", "));
    line!(text, "        remote_ts = {}", list(&plan.local_networks, ", "));
    line!(text, "        esp_proposals = {}", esp_proposal(tunnel));
    let (rekey, over) = lifetimes(plan.ipsec.lifetime);
    line!(text, "        rekey_time = {rekey}s");
    line!(text, "        life_time = {}s", rekey + over);
    line!(text, "        replay_window = {}", tunnel.replay_window());
    if tunnel.is_routed() {
        line!(text, "        if_id_in = {}\n        if_id_out = {0}", plan.id);
    } else {
        line!(text, "        priority = {}", PRIORITY * u32::from(plan.index));
    }
    // Who does not begin at once still does when it has something to send.
    line!(text, "        start_action = {}", if plan.initiate { "trap" } else { "start" });
    if plan.dpd.is_some() {
        line!(text, "        dpd_action = restart");
    }
    line!(text, "      }}");
}

fn secret(tunnel: &PeerTunnel<'_>, text: &mut String) {
    let Some(secret) = tunnel.secret else { return };
    line!(text, "  ike-{} {{", tunnel.name());
    line!(text, "    id-local = {}", identity(&tunnel.plan.remote_id));
    line!(text, "    id-remote = {}", identity(&tunnel.plan.local_id));
    line!(text, "    secret = {}", &*quoted(secret));
    line!(text, "  }}");
}

/// As text where nothing in it means anything else to swanctl, or in hexadecimal.
fn quoted(secret: &str) -> Zeroizing<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.,:;+=/@%^&*()!?~".contains(c);
    let encoded = ["0x", "0X", "0s", "0S"].iter().any(|prefix| secret.starts_with(prefix));
    if secret.chars().all(plain) && !encoded {
        return Zeroizing::new(format!("\"{secret}\""));
    }
    let mut hex = Zeroizing::new(String::with_capacity(2 + 2 * secret.len()));
    hex.push_str("0x");
    for byte in secret.bytes() {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// Seconds until the rekey, and from there to the end: a tenth of the lifetime. 0: no rekey by time.
fn lifetimes(lifetime: Duration) -> (u64, u64) {
    let over = lifetime.as_secs() / 10;
    (lifetime.as_secs() - over, over)
}

fn identity(id: &Identity) -> String {
    match id {
        Identity::Address(address) => address.to_string(),
        Identity::Fqdn(name) => string(&format!("@{name}")),
        Identity::Email(name) | Identity::Dn(name) => string(name),
        Identity::KeyId(name) => string(&name.replacen("keyid:0x", "keyid:#", 1)),
    }
}

/// Between quotation marks, where only these two characters mean something else.
fn string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn ike_proposal(tunnel: &PeerTunnel<'_>) -> String {
    let ike = tunnel.plan.ike;
    let hash = if ike.encryption.is_aead() { "prf" } else { "" };
    format!("{}-{hash}{}-{}", encryption(ike.encryption), ike.authentication.name(), group(ike.dh_group))
}

fn esp_proposal(tunnel: &PeerTunnel<'_>) -> String {
    let ipsec = tunnel.plan.ipsec;
    let mut words = vec![encryption(ipsec.encryption).to_owned()];
    if !ipsec.encryption.is_aead() {
        words.push(ipsec.authentication.name().to_owned());
    }
    words.extend(ipsec.pfs.map(|pfs| group(pfs).to_owned()));
    words.push(if ipsec.esn { "esn" } else { "noesn" }.to_owned());
    words.join("-")
}

fn encryption(encryption: Encryption) -> &'static str {
    match encryption {
        Encryption::Aes128Cbc => "aes128",
        other => other.name(),
    }
}

fn group(group: DhGroup) -> &'static str {
    match group {
        DhGroup::Modp768 => "modp768",
        DhGroup::Modp1024 => "modp1024",
        DhGroup::Modp1536 => "modp1536",
        DhGroup::Modp2048 => "modp2048",
        DhGroup::Modp3072 => "modp3072",
        DhGroup::Modp4096 => "modp4096",
        DhGroup::Ecp256 => "ecp256",
        DhGroup::Ecp384 => "ecp384",
        DhGroup::Ecp521 => "ecp521",
        DhGroup::Curve25519 => "curve25519",
    }
}

fn notes(tunnels: &[PeerTunnel<'_>]) -> Vec<String> {
    let mut notes = certificates(tunnels);
    for tunnel in tunnels.iter().filter(|tunnel| tunnel.is_routed()) {
        let name = tunnel.name();
        notes.push(format!(
            "{name}: the script makes its interface, with routes to {}",
            interfaces::networks(tunnel)
        ));
    }
    notes
}

/// Where those belong that only the peer's owner has.
pub(super) fn certificates(tunnels: &[PeerTunnel<'_>]) -> Vec<String> {
    let mut notes = Vec::new();
    for tunnel in tunnels {
        let name = tunnel.name();
        if tunnel.peer_has_certificate() {
            notes.push(format!("{name}: put your certificate into /etc/swanctl/x509/{name}.pem, its key into /etc/swanctl/private"));
        }
        if tunnel.we_have_certificate() {
            notes.push(format!("{name}: put the CA of our certificate into /etc/swanctl/x509ca"));
        }
    }
    notes
}
