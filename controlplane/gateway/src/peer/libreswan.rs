//! libreswan 4 and later: a file of connections and a file of secrets.

use std::fmt::Write as _;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{PeerConfig, PeerFile, PeerTunnel, Unsupported, Vendor, interfaces, list};
use crate::algorithm::{Authentication, DhGroup, Encryption};
use crate::model::{Identity, LocalAuth, RsaPadding, same_family};

/// Its longest lifetime, which it also has where the document asks for no rekey by time.
const LONGEST: Duration = Duration::from_secs(86_400);

type Result<T> = std::result::Result<T, Unsupported>;

pub(super) fn render(tunnels: &[PeerTunnel<'_>]) -> Result<PeerConfig> {
    let name = tunnels.first().map(PeerTunnel::connection).unwrap_or_default();
    let path = format!("/etc/ipsec.d/{name}.conf");
    let mut text = Zeroizing::new(format!("# Put this into {path}, then: ipsec restart\n"));
    for tunnel in tunnels {
        connection(tunnel, tunnels.len() > 1, &mut text)?;
    }
    let mut config = PeerConfig { files: vec![PeerFile { path, text }], notes: notes(tunnels) };
    let mut text = Zeroizing::new(String::new());
    for (tunnel, secret) in tunnels.iter().filter_map(|tunnel| Some((tunnel, tunnel.secret?))) {
        let (theirs, ours) =
            (identity(tunnel, &tunnel.plan.remote_id)?, identity(tunnel, &tunnel.plan.local_id)?);
        // No key has a quotation mark in it, and nothing else ends it.
        line!(text, "{theirs} {ours} : PSK \"{secret}\"");
    }
    if !text.is_empty() {
        config.files.push(PeerFile { path: format!("/etc/ipsec.d/{name}.secrets"), text });
    }
    let script = format!("/etc/ipsec.d/{name}-interfaces.sh");
    config.files.extend(interfaces::script(script, tunnels, |tunnel| format!("ipsec{}", tunnel.plan.id)));
    Ok(config)
}

fn connection(tunnel: &PeerTunnel<'_>, one_of_two: bool, text: &mut String) -> Result<()> {
    let plan = tunnel.plan;
    line!(text, "\nconn {}", tunnel.name());
    line!(text, "    ikev2=insist");
    if plan.remote.is_ipv6() {
        line!(text, "    hostaddrfamily=ipv6");
    }
    line!(text, "    left={}\n    leftid={}", plan.remote, identity(tunnel, &plan.remote_id)?);
    line!(text, "    right={}\n    rightid={}", plan.local, identity(tunnel, &plan.local_id)?);
    networks(tunnel, text)?;
    authentication(tunnel, text)?;
    line!(text, "    ike={}", ike_proposal(tunnel)?);
    line!(text, "    esp={}", esp_proposal(tunnel)?);
    line!(text, "    pfs={}", yes(plan.ipsec.pfs.is_some()));
    line!(text, "    esn={}", yes(plan.ipsec.esn));
    line!(text, "    replay-window={}", tunnel.replay_window());
    let lifetime = |lifetime: Duration| if lifetime.is_zero() { LONGEST } else { lifetime };
    let (ike, child) = (lifetime(plan.ike.lifetime), lifetime(plan.ipsec.lifetime));
    line!(text, "    ikelifetime={}s\n    salifetime={}s", ike.as_secs(), child.as_secs());
    line!(text, "    rekeymargin={}s", ike.min(child).as_secs() / 10);
    if let Some(dpd) = plan.dpd {
        line!(text, "    dpddelay={}s", (dpd.timeout / 3).as_secs().max(1));
        line!(text, "    dpdtimeout={}s\n    dpdaction=restart", dpd.timeout.as_secs());
    }
    line!(text, "    encapsulation={}", if plan.nat_traversal { "auto" } else { "no" });
    line!(text, "    mobike=no");
    if one_of_two || tunnel.is_routed() {
        // Interfaces keep apart what the policies of two tunnels have in common; routes prefer the primary.
        line!(text, "    ipsec-interface={}", plan.id);
        line!(text, "    metric={}", 100 * u32::from(plan.index));
        line!(text, "    overlapip=yes");
    }
    // Who does not begin at once still does when it has something to send.
    line!(text, "    auto={}", if plan.initiate { "ondemand" } else { "start" });
    Ok(())
}

/// It makes a CHILD_SA for each pair of networks, all of one family.
fn networks(tunnel: &PeerTunnel<'_>, text: &mut String) -> Result<()> {
    let sides = [("left", &tunnel.plan.remote_networks), ("right", &tunnel.plan.local_networks)];
    let mut all = sides.iter().flat_map(|(_, networks)| networks.iter());
    if let Some(first) = all.next()
        && let Some(other) = all.find(|other| !same_family(first, other))
    {
        let fix = "make one connection for IPv4 and one for IPv6";
        return Err(tunnel.unsupported(
            Vendor::Libreswan,
            "local-networks",
            format!("{first} and {other}"),
            fix,
        ));
    }
    for (side, networks) in sides {
        match &networks[..] {
            [only] => line!(text, "    {side}subnet={only}"),
            several => line!(text, "    {side}subnets={{{}}}", list(several, ",")),
        }
    }
    Ok(())
}

fn authentication(tunnel: &PeerTunnel<'_>, text: &mut String) -> Result<()> {
    if let LocalAuth::Certificate(own) = &tunnel.plan.auth.local
        && own.rsa_padding == RsaPadding::Pkcs1
    {
        return Err(tunnel.unsupported(Vendor::Libreswan, "rsa-padding", "pkcs1", "set rsa-padding to pss"));
    }
    let (theirs, ours) = (tunnel.peer_has_certificate(), tunnel.we_have_certificate());
    match (theirs, ours) {
        (true, true) => line!(text, "    authby=rsa-sha2,ecdsa-sha2"),
        (false, false) => line!(text, "    authby=secret"),
        _ => {
            let word = |certificate: bool| if certificate { "rsasig" } else { "secret" };
            line!(text, "    leftauth={}\n    rightauth={}", word(theirs), word(ours));
        }
    }
    if theirs {
        line!(text, "    leftcert={}\n    leftsendcert=always\n    sendca=all", tunnel.name());
    }
    Ok(())
}

fn yes(what: bool) -> &'static str {
    if what { "yes" } else { "no" }
}

/// In quotation marks where the words of a file would end within it.
fn identity(tunnel: &PeerTunnel<'_>, id: &Identity) -> Result<String> {
    let text = match id {
        Identity::Address(address) => return Ok(address.to_string()),
        Identity::Fqdn(name) => format!("@{name}"),
        Identity::Email(name) | Identity::Dn(name) => name.clone(),
        Identity::KeyId(name) => match (name.strip_prefix("keyid:0x"), name.strip_prefix("keyid:")) {
            (Some(hex), _) => format!("@#{hex}"),
            (None, text) => format!("@[{}]", text.unwrap_or(name)),
        },
    };
    if text.contains('"') {
        let fix = "leave quotation marks out of local-id and remote-id";
        return Err(tunnel.unsupported(Vendor::Libreswan, "local-id or remote-id", text, fix));
    }
    Ok(if text.contains(|c: char| !c.is_ascii_alphanumeric() && !"@.-_#".contains(c)) {
        format!("\"{text}\"")
    } else {
        text
    })
}

fn ike_proposal(tunnel: &PeerTunnel<'_>) -> Result<String> {
    let ike = tunnel.plan.ike;
    let cipher = encryption(tunnel, "ike.encryption", ike.encryption)?;
    let group = group(tunnel, "ike.dh-group", ike.dh_group)?;
    Ok(format!("{cipher}-{};{group}", hash(ike.authentication)))
}

fn esp_proposal(tunnel: &PeerTunnel<'_>) -> Result<String> {
    let ipsec = tunnel.plan.ipsec;
    let mut proposal = encryption(tunnel, "ipsec.encryption", ipsec.encryption)?.to_owned();
    if !ipsec.encryption.is_aead() {
        proposal = format!("{proposal}-{}", hash(ipsec.authentication));
    }
    match ipsec.pfs {
        Some(pfs) => Ok(format!("{proposal};{}", group(tunnel, "ipsec.pfs", pfs)?)),
        None => Ok(proposal),
    }
}

fn encryption(tunnel: &PeerTunnel<'_>, field: &'static str, encryption: Encryption) -> Result<&'static str> {
    Ok(match encryption {
        Encryption::Aes128Cbc => "aes128",
        Encryption::Aes192Cbc => "aes192",
        Encryption::Aes256Cbc => "aes256",
        Encryption::TripleDes => "3des",
        Encryption::Aes128Gcm16 => "aes_gcm_c128",
        Encryption::Aes192Gcm16 => "aes_gcm_c192",
        Encryption::Aes256Gcm16 => "aes_gcm_c256",
        Encryption::Aes128Gcm12 => "aes_gcm_b128",
        Encryption::Aes192Gcm12 => "aes_gcm_b192",
        Encryption::Aes256Gcm12 => "aes_gcm_b256",
        Encryption::Aes128Gcm8 => "aes_gcm_a128",
        Encryption::Aes192Gcm8 => "aes_gcm_a192",
        Encryption::Aes256Gcm8 => "aes_gcm_a256",
        Encryption::Aes128Gmac => "null_auth_aes_gmac128",
        Encryption::Aes192Gmac => "null_auth_aes_gmac192",
        Encryption::Aes256Gmac => "null_auth_aes_gmac256",
        Encryption::Aes128Ctr => "aes_ctr128",
        Encryption::Aes192Ctr => "aes_ctr192",
        Encryption::Aes256Ctr => "aes_ctr256",
        Encryption::ChaCha20Poly1305 => "chacha20_poly1305",
        Encryption::Des => {
            let fix = "set encryption to aes256gcm16";
            return Err(tunnel.unsupported(Vendor::Libreswan, field, encryption.name(), fix));
        }
    })
}

fn hash(hash: Authentication) -> &'static str {
    match hash {
        Authentication::Md5 => "md5",
        Authentication::Sha1 => "sha1",
        Authentication::Sha256 => "sha2_256",
        Authentication::Sha384 => "sha2_384",
        Authentication::Sha512 => "sha2_512",
    }
}

/// Its makers leave out the groups of less than 1536 bits.
fn group(tunnel: &PeerTunnel<'_>, field: &'static str, group: DhGroup) -> Result<String> {
    match group {
        DhGroup::Modp768 | DhGroup::Modp1024 => {
            let fix = "set dh-group of ike and pfs of ipsec to group14 or higher";
            Err(tunnel.unsupported(Vendor::Libreswan, field, group.name(), fix))
        }
        _ => Ok(format!("dh{}", group.transform())),
    }
}

fn notes(tunnels: &[PeerTunnel<'_>]) -> Vec<String> {
    let mut notes = Vec::new();
    for tunnel in tunnels {
        let name = tunnel.name();
        if tunnel.peer_has_certificate() {
            notes.push(format!(
                "{name}: import your certificate and its key with the name {name}: ipsec import {name}.p12"
            ));
        }
        if tunnel.we_have_certificate() {
            let import = "certutil -A -d sql:/var/lib/ipsec/nss -n CA -t CT,, -i ca.pem";
            notes.push(format!("{name}: import the CA of our certificate: {import}"));
        }
        if tunnel.is_routed() {
            let networks = interfaces::networks(tunnel);
            notes.push(format!("{name}: the script gives its interface addresses and routes to {networks}"));
        }
    }
    notes
}
