//! `swanctl.conf` of strongSwan: each of its connections becomes one of ours with one tunnel.

mod child;
mod secrets;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use zeroize::Zeroizing;

use super::settings::{self, Place, Section, Setting, SyntaxError};
use super::words::{Proposal, identity, seconds};
use super::{Imported, KeyFile, Options, Source, Warning};
use crate::algorithm::{Authentication, DhGroup, Encryption};
use crate::psk::Psk;
use secrets::Secrets;

/// Adds a line; writing to a `String` cannot fail.
macro_rules! line {
    ($text:expr, $($arguments:tt)*) => {{
        let _ = writeln!($text, $($arguments)*);
    }};
}
use line;

/// Longest lifetime that a document has, seconds.
const DAY: u64 = 86_400;

/// Reads files of swanctl as one configuration.
///
/// # Errors
/// Where a file is not in strongSwan's syntax.
pub fn swanctl(sources: &[Source<'_>], options: Options<'_>) -> Result<Imported, SyntaxError> {
    let root = settings::parse(sources)?;
    let mut import = Import { options, warnings: BTreeSet::new(), key_files: Vec::new() };
    for include in &root.includes {
        import.warn(*include, "include is not followed: name the other file, too");
    }
    let secrets = Secrets::read(root.section("secrets"), &mut import);
    let connections: Vec<Connection> = root
        .section("connections")
        .into_iter()
        .flat_map(|all| &all.sections)
        .filter_map(|(name, section)| import.connection(name, section, &secrets))
        .collect();
    for (name, section) in &root.sections {
        if !matches!(&**name, "connections" | "secrets") && !section.values.is_empty() {
            import.warn(section.at, format!("{name} is not carried over"));
        }
    }
    let place = |(at, message): (Place, String)| {
        let file = sources.get(at.file).map(|source| source.name.to_owned()).unwrap_or_default();
        Warning { file, line: at.line, message }
    };
    let warnings = import.warnings.into_iter().map(place).collect();
    Ok(Imported { document: document(&connections), key_files: import.key_files, warnings })
}

struct Import<'a> {
    options: Options<'a>,
    warnings: BTreeSet<(Place, String)>,
    key_files: Vec<KeyFile>,
}

/// A connection in the words of a document.
struct Connection {
    name: String,
    local: IpAddr,
    remote: IpAddr,
    /// Lines of `[[connection]]`.
    head: String,
    /// Lines of `[[connection.tunnel]]`.
    tunnel: Zeroizing<String>,
}

/// The values of a section that nobody asked for yet.
struct Values {
    left: Section,
}

impl Values {
    fn of(section: &Section) -> Self {
        Self { left: section.clone() }
    }

    fn take(&mut self, key: &str) -> Option<Setting> {
        self.left.values.remove(key)
    }

    /// Leaves out what is as it is with us anyway.
    fn drop_if(&mut self, key: &str, values: &[&str]) {
        if self.left.values.get(key).is_some_and(|value| values.contains(&&*value.text)) {
            self.take(key);
        }
    }
}

impl Import<'_> {
    fn warn(&mut self, at: Place, message: impl Into<String>) {
        self.warnings.insert((at, message.into()));
    }

    /// Warns of all that is left in a section.
    fn finish(&mut self, values: Values) {
        for (key, setting) in values.left.values {
            self.warn(setting.at, format!("{key} is not carried over"));
        }
    }

    fn connection(&mut self, name: &str, section: &Section, secrets: &Secrets) -> Option<Connection> {
        let mut values = Values::of(section);
        let skip = |import: &mut Self, at, why: &str| {
            import.warn(at, format!("connection {name} is left out: {why}"));
            None
        };
        match values.take("version") {
            Some(version) if version.text == "1" => {
                return skip(self, version.at, "IKEv1 is not supported yet");
            }
            Some(version) if version.text != "2" => self.warn(version.at, "version: IKEv2 only"),
            _ => {}
        }
        let local = self.address(&mut values, "local_addrs").or(self.options.gateway_ip);
        let Some(local) = local else {
            return skip(self, section.at, "local_addrs has no address of ours: give it with --gateway-ip");
        };
        let Some(remote) = self.address(&mut values, "remote_addrs") else {
            return skip(self, section.at, "remote_addrs has no address of the peer");
        };
        let ends = [self.end(section, "local"), self.end(section, "remote")];
        let [Ok(ours), Ok(theirs)] = ends else {
            let why = ends.into_iter().find_map(Result::err).unwrap_or_default();
            return skip(self, section.at, &why);
        };
        let mut tunnel = Zeroizing::new(String::new());
        line!(tunnel, "customer-gateway = {}", quoted(&safe(name)));
        if !self.proofs(name, section.at, [&ours, &theirs], [local, remote], secrets, &mut tunnel) {
            return skip(self, section.at, "no secret of its identities is a pre-shared key as we have them");
        }
        self.ike(&mut values, section.at, &mut tunnel);
        let head = match self.children(section, local, remote, &mut tunnel) {
            Ok(head) => head,
            Err(why) => return skip(self, section.at, why),
        };
        self.finish(values);
        Some(Connection { name: safe(name), local, remote, head, tunnel })
    }

    /// The first address of a list that is one, not a name or `%any`.
    fn address(&mut self, values: &mut Values, key: &str) -> Option<IpAddr> {
        let setting = values.take(key)?;
        let mut found = setting.text.split(',').map(str::trim).filter_map(|word| word.parse().ok());
        let first = found.next();
        if setting.text.contains(',') {
            self.warn(setting.at, format!("{key}: one address only"));
        }
        first
    }

    fn ike(&mut self, values: &mut Values, at: Place, tunnel: &mut String) {
        let proposal = values.take("proposals");
        let at = proposal.as_ref().map_or(at, |proposal| proposal.at);
        let proposal = self.proposal(proposal, "aes128-sha256-x25519", |proposal| {
            proposal.encryption.is_some_and(Encryption::is_for_ike) && proposal.group.is_some()
        });
        if let (Some(prf), Some(hash)) = (proposal.prf, proposal.hash)
            && prf != hash
        {
            self.warn(at, format!("proposals: the PRF is that of {}", hash.name()));
        }
        let rekey = self.time(values, "rekey_time").unwrap_or(4 * 3600);
        let over = self.time(values, "over_time").unwrap_or(rekey / 10);
        let lifetime = self.lifetime(at, if rekey == 0 { 0 } else { rekey + over });
        let reauth = self.time(values, "reauth_time").filter(|time| *time > 0);
        let reauth = reauth.map(|time| format!(", reauth = {}", (time + over).clamp(300, 604_800)));
        line!(
            tunnel,
            "ike = {{ encryption = {}, authentication = {}, dh-group = {}, lifetime = {lifetime}{} }}",
            quoted(proposal.encryption.unwrap_or(Encryption::Aes128Cbc).name()),
            quoted(proposal.prf.or(proposal.hash).unwrap_or(Authentication::Sha256).name()),
            quoted(proposal.group.unwrap_or(DhGroup::Curve25519).name()),
            reauth.unwrap_or_default()
        );
        match self.time(values, "dpd_delay") {
            None | Some(0) => line!(tunnel, "dpd = false"),
            Some(delay) => line!(tunnel, "dpd = {{ timeout = {} }}", (3 * delay.min(DAY)).clamp(10, 3600)),
        }
        match values.take("fragmentation") {
            Some(setting) if setting.text == "no" => line!(tunnel, "ike-fragments = false"),
            _ => {}
        }
        values.drop_if("mobike", &["no"]);
        values.drop_if("unique", &["replace"]);
        values.drop_if("encap", &["no"]);
        values.drop_if("aggressive", &["no"]);
    }

    /// The first proposal of a list that fits; `default` is strongSwan's.
    fn proposal(&mut self, setting: Option<Setting>, default: &str, fits: fn(&Proposal) -> bool) -> Proposal {
        let setting = setting.unwrap_or_else(|| Setting { text: "default".to_owned(), ..Setting::default() });
        let all: Vec<&str> = setting.text.split(',').map(str::trim).collect();
        let read = |word: &&str| Proposal::read(if *word == "default" { default } else { word }).filter(fits);
        let chosen = all.iter().find_map(read);
        let sole = all.len() == 1 && all[0] != "default" && chosen.as_ref().is_some_and(|chosen| !chosen.cut);
        if !sole && setting.at != Place::default() {
            let first = all.iter().find(|word| read(word).is_some()).unwrap_or(&default);
            self.warn(
                setting.at,
                format!("one proposal only, with one algorithm of a kind: the first of {first}"),
            );
        }
        chosen.or_else(|| Proposal::read(default)).unwrap_or_default()
    }

    fn time(&mut self, values: &mut Values, key: &str) -> Option<u64> {
        let setting = values.take(key)?;
        let time = seconds(&setting.text).filter(|time| *time <= 365 * DAY);
        if time.is_none() {
            self.warn(setting.at, format!("{key}: not a time"));
        }
        time
    }

    fn lifetime(&mut self, at: Place, seconds: u64) -> u64 {
        if seconds > DAY {
            self.warn(at, format!("a lifetime of {seconds} s becomes the longest, {DAY} s"));
        }
        seconds.min(DAY)
    }

    /// `local` or `remote`: how that end proves who it is.
    fn end(&mut self, section: &Section, side: &str) -> Result<End, String> {
        let rounds: Vec<_> = section.sections.iter().filter(|(name, _)| name.starts_with(side)).collect();
        let [(_, round)] = &rounds[..] else {
            return Err(format!("{} sections {side} instead of one", rounds.len()));
        };
        let mut values = Values::of(round);
        let auth = values.take("auth").map_or_else(|| "pubkey".to_owned(), |auth| auth.text);
        let certified = match auth.split('-').next().unwrap_or_default() {
            "psk" => false,
            "pubkey" | "rsa" | "ecdsa" | "ed25519" => true,
            _ => return Err(format!("we have no authentication {auth}")),
        };
        let given = values.take("id");
        let id = given.as_ref().and_then(|id| identity(&id.text));
        if let (Some(given), None) = (&given, &id) {
            self.warn(given.at, format!("{side} id: its address, for we have none for {}", given.text));
        }
        let file = |value: Option<Setting>| value.map(|value| value.text);
        let (certs, cacerts) = (file(values.take("certs")), file(values.take("cacerts")));
        self.finish(values);
        Ok(End { certified, id, certs, cacerts, at: round.at })
    }

    /// False where the pre-shared key is not to be found.
    fn proofs(
        &mut self,
        name: &str,
        at: Place,
        [ours, theirs]: [&End; 2],
        addresses: [IpAddr; 2],
        secrets: &Secrets,
        tunnel: &mut String,
    ) -> bool {
        for (key, end) in [("local-id", ours), ("remote-id", theirs)] {
            if let Some(id) = &end.id {
                line!(tunnel, "{key} = {}", quoted(id));
            }
        }
        if ours.certified {
            let first = |list: &str| list.split(',').next().unwrap_or_default().trim().to_owned();
            let certificate = ours.certs.as_deref().map_or_else(|| "cert.pem".to_owned(), first);
            line!(tunnel, "certificate = {}", quoted(&in_folder("x509", &certificate)));
            line!(tunnel, "private-key = {}", quoted(&in_folder("private", &certificate)));
            self.warn(
                ours.at,
                "put the certificate's key, PKCS#8 without passphrase, where private-key says",
            );
        }
        if theirs.certified {
            let ca = theirs.cacerts.as_deref().unwrap_or("ca.pem");
            let files: Vec<_> = ca.split(',').map(|file| quoted(&in_folder("x509ca", file.trim()))).collect();
            line!(tunnel, "ca = [{}]", files.join(", "));
            if theirs.cacerts.is_none() {
                self.warn(theirs.at, "remote has no cacerts: put the peer's CA where ca says");
            }
        }
        if ours.certified && theirs.certified {
            return true;
        }
        let ids = [ours, theirs].map(|end| end.id.clone());
        let Some(secret) = secrets.of(&ids, addresses) else { return false };
        if Psk::new(secret).is_err() {
            return false;
        }
        self.psk(name, at, secret, tunnel);
        true
    }

    fn psk(&mut self, name: &str, at: Place, key: &str, tunnel: &mut String) {
        let Some(folder) = self.options.psk_files else {
            line!(tunnel, "psk = {}", quoted(key));
            return self.warn(at, "its pre-shared key is in the document: keep it at mode 0600");
        };
        let path = format!("{}/{}.psk", folder.trim_end_matches('/'), safe(name));
        line!(tunnel, "psk-file = {}", quoted(&path));
        self.key_files.push(KeyFile { path, key: Zeroizing::new(key.to_owned()) });
    }
}

struct End {
    certified: bool,
    id: Option<String>,
    certs: Option<String>,
    cacerts: Option<String>,
    at: Place,
}

/// Where swanctl looks for a file.
fn in_folder(folder: &str, file: &str) -> String {
    if file.starts_with('/') { file.to_owned() } else { format!("/etc/swanctl/{folder}/{file}") }
}

/// A name as the document takes it.
fn safe(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = name.chars().take(100).map(fits).collect();
    if name.starts_with(['.', '-']) { format!("c{name}") } else { name }
}

/// A string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn document(connections: &[Connection]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(
        "# What swanctl.conf does not say and you must: the networks of addresses, ports ([dataplane]), inside interfaces.\n"
            .to_owned(),
    );
    let local: BTreeSet<IpAddr> = connections.iter().map(|connection| connection.local).collect();
    if !local.is_empty() {
        let hosts: Vec<_> = local.iter().map(|ip| quoted(&ipnet::IpNet::from(*ip).to_string())).collect();
        line!(text, "\n[[interface]]\nname = \"outside\"\nport = \"wan\"\nrole = \"outside\"");
        line!(text, "addresses = [{}]", hosts.join(", "));
    }
    let gateway = |ip: &IpAddr| 1 + local.iter().position(|own| own == ip).unwrap_or_default();
    for ip in &local {
        line!(text, "\n[[vpn-gateway]]\nname = \"gw-{}\"\naddresses = [\"{ip}\"]", gateway(ip));
    }
    for Connection { name, local, remote, head, tunnel } in connections {
        let name = quoted(name);
        line!(text, "\n[[customer-gateway]]\nname = {name}\nip = \"{remote}\"");
        line!(text, "\n[[connection]]\nname = {name}\nvpn-gateway = \"gw-{}\"", gateway(local));
        text.push_str(head);
        line!(text, "\n[[connection.tunnel]]");
        text.push_str(tunnel);
    }
    text
}
