//! Cisco IOS XE 16.12 and later: a virtual tunnel interface for each tunnel; where networks choose, one SA for each pair of them.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use zeroize::Zeroizing;

use super::{MTU, PeerConfig, PeerFile, PeerTunnel, Unsupported, Vendor};
use crate::algorithm::{Authentication, DhGroup, Encryption};
use crate::model::Identity;

type Result<T> = std::result::Result<T, Unsupported>;

pub(super) fn render(tunnels: &[PeerTunnel<'_>]) -> Result<PeerConfig> {
    let name = tunnels.first().map(PeerTunnel::connection).unwrap_or_default();
    let mut text = Zeroizing::new("! In configuration mode; then: write memory\n".to_owned());
    for tunnel in tunnels {
        phase1(tunnel, &mut text)?;
        phase2(tunnel, &mut text)?;
        interface(tunnel, &mut text)?;
    }
    Ok(PeerConfig { files: vec![PeerFile { path: format!("{name}.ios"), text }], notes: notes(tunnels) })
}

impl PeerTunnel<'_> {
    fn not_on_ios(&self, field: &'static str, value: impl Into<String>, fix: &'static str) -> Unsupported {
        self.unsupported(Vendor::CiscoIos, field, value, fix)
    }
}

fn phase1(tunnel: &PeerTunnel<'_>, text: &mut String) -> Result<()> {
    let (plan, name) = (tunnel.plan, tunnel.name());
    let (IpAddr::V4(theirs), IpAddr::V4(ours)) = (plan.remote, plan.local) else {
        let fix = "give both ends of the tunnel IPv4 addresses";
        return Err(tunnel.not_on_ios("vpn-gateway", plan.local.to_string(), fix));
    };
    line!(text, "!\ncrypto ikev2 proposal {name}");
    line!(text, " encryption {}", ike_cipher(tunnel)?);
    let kind = if plan.ike.encryption.is_aead() { "prf" } else { "integrity" };
    line!(text, " {kind} {}", plan.ike.authentication.name());
    line!(text, " group {}", group(tunnel, "ike.dh-group", plan.ike.dh_group)?);
    line!(text, "!\ncrypto ikev2 policy {name}\n match address local {theirs}\n proposal {name}");
    if let Some(secret) = tunnel.secret {
        if secret.contains('?') {
            let fix = "choose a key without question marks, which the command line takes for help";
            return Err(tunnel.not_on_ios("psk", "?", fix));
        }
        line!(
            text,
            "!\ncrypto ikev2 keyring {name}\n peer {name}\n  address {ours}\n  pre-shared-key {secret}"
        );
    }
    line!(text, "!\ncrypto ikev2 profile {name}\n match address local {theirs}");
    line!(text, " match identity remote {}", remote_identity(&plan.local_id, tunnel)?);
    line!(text, " identity local {}", local_identity(&plan.remote_id, tunnel)?);
    let word = |certificate: bool| if certificate { "rsa-sig" } else { "pre-share" };
    line!(text, " authentication remote {}", word(tunnel.we_have_certificate()));
    line!(text, " authentication local {}", word(tunnel.peer_has_certificate()));
    if tunnel.secret.is_some() {
        line!(text, " keyring local {name}");
    }
    if tunnel.peer_has_certificate() || tunnel.we_have_certificate() {
        line!(text, " pki trustpoint {name}");
    }
    lifetime(plan.ike.lifetime.as_secs(), " lifetime", text);
    if let Some(dpd) = plan.dpd {
        // Two more probes follow the first.
        let interval = (dpd.timeout.as_secs() / 3).clamp(10, 3600);
        line!(text, " dpd {interval} {} periodic", interval.clamp(2, 60));
    }
    Ok(())
}

fn phase2(tunnel: &PeerTunnel<'_>, text: &mut String) -> Result<()> {
    let (ipsec, name) = (tunnel.plan.ipsec, tunnel.name());
    if ipsec.esn {
        return Err(tunnel.not_on_ios("ipsec.esn", "true", "set esn to false: few of its platforms have it"));
    }
    line!(text, "!\ncrypto ipsec transform-set {name} {}", transforms(tunnel)?);
    line!(text, " mode tunnel\n!\ncrypto ipsec profile {name}\n set transform-set {name}");
    if let Some(pfs) = ipsec.pfs {
        line!(text, " set pfs group{}", group(tunnel, "ipsec.pfs", pfs)?);
    }
    lifetime(ipsec.lifetime.as_secs(), " set security-association lifetime seconds", text);
    line!(
        text,
        " set security-association replay window-size {}",
        tunnel.plan.ipsec.replay_window.clamp(64, 1024)
    );
    line!(text, " set ikev2-profile {name}");
    Ok(())
}

/// 120 s to a day; what the document leaves open has Cisco's default.
fn lifetime(seconds: u64, command: &str, text: &mut String) {
    if seconds > 0 {
        line!(text, "{command} {}", seconds.clamp(120, 86_400));
    }
}

fn interface(tunnel: &PeerTunnel<'_>, text: &mut String) -> Result<()> {
    let (plan, name) = (tunnel.plan, tunnel.name());
    let [theirs, ours] = [&plan.remote_networks, &plan.local_networks].map(|networks| {
        let v4 = |network: &ipnet::IpNet| match network {
            ipnet::IpNet::V4(v4) => Ok(*v4),
            ipnet::IpNet::V6(v6) => Err(tunnel.not_on_ios(
                "local-networks",
                v6.to_string(),
                "make a connection of its IPv4 networks",
            )),
        };
        networks.iter().map(v4).collect::<Result<Vec<_>>>()
    });
    let (theirs, ours) = (theirs?, ours?);
    if !tunnel.is_routed() {
        line!(text, "!\nip access-list extended {name}");
        for (from, to) in theirs.iter().flat_map(|from| ours.iter().map(move |to| (from, to))) {
            line!(text, " permit ip {} {}", wildcard(from), wildcard(to));
        }
    }
    let number = plan.id % 100_000;
    line!(text, "!\ninterface Tunnel{number}\n description {name}");
    match tunnel.inner {
        Some((IpAddr::V4(address), prefix, _)) => {
            let mask = Ipv4Net::new(address, prefix).map_or(Ipv4Addr::BROADCAST, |net| net.netmask());
            line!(text, " ip address {address} {mask}");
        }
        _ => line!(text, " ip unnumbered Loopback0"),
    }
    // Less the headers of IPv4 and TCP.
    line!(text, " ip mtu {MTU}\n ip tcp adjust-mss {}\n tunnel source {}", MTU - 40, plan.remote);
    line!(text, " tunnel mode ipsec ipv4\n tunnel destination {}", plan.local);
    if !tunnel.is_routed() {
        line!(text, " tunnel protection ipsec policy ipv4 {name}");
    }
    line!(text, " tunnel protection ipsec profile {name}\n!");
    // The secondary's routes count where the primary's interface is down.
    let distance = if plan.index == 1 { String::new() } else { format!(" {}", 10 * plan.index) };
    for network in ours.iter().filter(|network| network.prefix_len() > 0) {
        line!(text, "ip route {} {} Tunnel{number}{distance}", network.network(), network.netmask());
    }
    Ok(())
}

fn wildcard(network: &Ipv4Net) -> String {
    match network.prefix_len() {
        0 => "any".to_owned(),
        32 => format!("host {}", network.addr()),
        _ => format!("{} {}", network.network(), network.hostmask()),
    }
}

/// Who we are, for its `match identity remote`.
fn remote_identity(id: &Identity, tunnel: &PeerTunnel<'_>) -> Result<String> {
    match id {
        Identity::Address(IpAddr::V4(address)) => Ok(format!("address {address} 255.255.255.255")),
        other => local_identity(other, tunnel),
    }
}

fn local_identity(id: &Identity, tunnel: &PeerTunnel<'_>) -> Result<String> {
    let text = id.to_string();
    if text.contains('?') {
        let fix = "leave question marks out of local-id and remote-id";
        return Err(tunnel.not_on_ios("local-id or remote-id", text, fix));
    }
    match id {
        Identity::Address(address) => Ok(format!("address {address}")),
        Identity::Fqdn(name) => Ok(format!("fqdn {name}")),
        Identity::Email(name) => Ok(format!("email {name}")),
        Identity::KeyId(name) if !name.starts_with("keyid:0x") => {
            Ok(format!("key-id {}", name.trim_start_matches("keyid:")))
        }
        Identity::KeyId(_) | Identity::Dn(_) => Err(tunnel.not_on_ios(
            "local-id or remote-id",
            text,
            "use an address, a domain name or name@domain",
        )),
    }
}

fn ike_cipher(tunnel: &PeerTunnel<'_>) -> Result<&'static str> {
    Ok(match tunnel.plan.ike.encryption {
        Encryption::Des => "des",
        Encryption::TripleDes => "3des",
        Encryption::Aes128Cbc => "aes-cbc-128",
        Encryption::Aes192Cbc => "aes-cbc-192",
        Encryption::Aes256Cbc => "aes-cbc-256",
        Encryption::Aes128Gcm16 => "aes-gcm-128",
        Encryption::Aes256Gcm16 => "aes-gcm-256",
        other => {
            return Err(tunnel.not_on_ios("ike.encryption", other.name(), "set it to aes256gcm16 or aes256"));
        }
    })
}

fn transforms(tunnel: &PeerTunnel<'_>) -> Result<String> {
    let ipsec = tunnel.plan.ipsec;
    let cipher = match ipsec.encryption {
        Encryption::Des => "esp-des",
        Encryption::TripleDes => "esp-3des",
        Encryption::Aes128Cbc => "esp-aes",
        Encryption::Aes192Cbc => "esp-aes 192",
        Encryption::Aes256Cbc => "esp-aes 256",
        Encryption::Aes128Gcm16 => "esp-gcm 128",
        Encryption::Aes192Gcm16 => "esp-gcm 192",
        Encryption::Aes256Gcm16 => "esp-gcm 256",
        Encryption::Aes128Gmac => "esp-gmac 128",
        Encryption::Aes192Gmac => "esp-gmac 192",
        Encryption::Aes256Gmac => "esp-gmac 256",
        other => {
            return Err(tunnel.not_on_ios(
                "ipsec.encryption",
                other.name(),
                "set it to aes256gcm16 or aes256",
            ));
        }
    };
    let hash = match ipsec.authentication {
        _ if ipsec.encryption.is_aead() => return Ok(cipher.to_owned()),
        Authentication::Md5 => "esp-md5-hmac",
        Authentication::Sha1 => "esp-sha-hmac",
        Authentication::Sha256 => "esp-sha256-hmac",
        Authentication::Sha384 => "esp-sha384-hmac",
        Authentication::Sha512 => "esp-sha512-hmac",
    };
    Ok(format!("{cipher} {hash}"))
}

fn group(tunnel: &PeerTunnel<'_>, field: &'static str, group: DhGroup) -> Result<u16> {
    match group {
        DhGroup::Modp768 | DhGroup::Curve25519 => {
            Err(tunnel.not_on_ios(field, group.name(), "set it to group19, group20 or group14"))
        }
        other => Ok(other.transform()),
    }
}

fn notes(tunnels: &[PeerTunnel<'_>]) -> Vec<String> {
    let mut notes = Vec::new();
    for tunnel in tunnels {
        let name = tunnel.name();
        if tunnel.peer_has_certificate() || tunnel.we_have_certificate() {
            notes.push(format!(
                "{name}: enrol trustpoint {name} with the CA of both ends; where keys are not RSA, write ecdsa-sig for rsa-sig"
            ));
        }
        if tunnel.inner.is_none() {
            notes.push(format!(
                "{name}: its interface borrows the address of Loopback0, or of another that you name"
            ));
        }
        if tunnel.is_routed() {
            notes.push(format!("{name}: ip route NETWORK MASK Tunnel{}", tunnel.plan.id % 100_000));
        }
    }
    notes
}
