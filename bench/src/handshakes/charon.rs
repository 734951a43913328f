//! strongSwan's charon in a namespace, with as many tunnels as it is told.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use esplanade::lab::{Lab, Namespace, Process, UNWANTED_PLUGINS};

use super::driver::{peer, peer_network, subject_network};
use super::vici::Vici;
use super::{PSK, Role, SUBJECT, Suite};

/// How long it may take to start, and to read its connections.
const START: Duration = Duration::from_secs(20);

/// What charon is told: that nobody attacks it, which spares it cookies and a look at each peer's half-open IKE SAs; tables
/// for many IKE SAs; no log at all; and that no route belongs to a tunnel. ESP would be in user space.
const SETTINGS: &str = "  load_modular = yes
  dos_protection = no
  install_routes = no
  install_virtual_ip = no
  ikesa_table_size = 4096
  ikesa_table_segments = 16
  journal { default = -1 }
";
/// Plugins that have no part in this, beside those that no lab needs.
const UNWANTED: [&str; 2] = ["updown", "connmark"];

/// A running charon.
#[derive(Debug)]
pub(super) struct Charon {
    process: Process,
    vici: Vici,
}

impl Charon {
    /// Starts it with `tunnels` connections to initiate, or one that answers all peers.
    pub(super) fn start(
        lab: &Lab,
        namespace: &Namespace,
        suite: &Suite,
        role: Role,
        tunnels: u32,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("charon.").tempdir_in(lab.folder())?.keep();
        fs::create_dir_all(folder.join("swanctl"))?;
        fs::write(folder.join("strongswan.conf"), settings(&folder))?;
        fs::write(folder.join("swanctl/swanctl.conf"), connections(suite, role, tunnels)?)?;
        let environment = [
            format!("STRONGSWAN_CONF={}", folder.join("strongswan.conf").display()),
            format!("SWANCTL_DIR={}", folder.join("swanctl").display()),
        ];
        let [conf, dir] = environment.each_ref().map(String::as_str);
        let out = folder.join("charon.out");
        let mut process = namespace.start("env", &[conf, dir, "/usr/sbin/charon-systemd"], &out)?;
        lab.wait_for("charon", START, || {
            if !process.is_alive() {
                bail!("it ended: {}", process.log());
            }
            Ok(socket(&folder).exists().then_some(()))
        })?;
        namespace.run("env", &[conf, dir, "swanctl", "--load-all"])?;
        let vici = Vici::connect(&socket(&folder))?;
        Ok(Self { process, vici })
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn initiate(&mut self, tunnel: u32) -> Result<()> {
        self.vici.initiate(&format!("t{tunnel}"), &format!("n{tunnel}"))
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("vici")
}

/// strongswan.conf.
fn settings(folder: &Path) -> String {
    let socket = socket(folder);
    let vici = format!("socket = unix://{}", socket.display());
    let unwanted = UNWANTED_PLUGINS.iter().chain(&UNWANTED);
    let off: String = unwanted.map(|plugin| format!("    {plugin} {{ load = no }}\n")).collect();
    format!(
        "charon-systemd {{\n{SETTINGS}  plugins {{\n    include /etc/strongswan.d/charon/*.conf\n    vici {{ {vici} }}\n\
         kernel-libipsec {{ load = yes }}\n{off}  }}\n}}\nswanctl {{ {vici} }}\n"
    )
}

/// swanctl.conf.
fn connections(suite: &Suite, role: Role, tunnels: u32) -> Result<String> {
    let mut text = String::from("connections {\n");
    let mut add = |number: u32, remote: &str, id: &str, local_ts: &str, remote_ts: &str| {
        writeln!(
            text,
            "t{number} {{ version = 2\n local_addrs = {SUBJECT}\n remote_addrs = {remote}\n proposals = {}\n mobike = no\n \
             rekey_time = 0s\n unique = never\n local {{ auth = psk\n id = {SUBJECT} }}\n remote {{ auth = psk\n id = {id} }}\n \
             children {{ n{number} {{ local_ts = {local_ts}\n remote_ts = {remote_ts}\n esp_proposals = aes128gcm16\n \
             rekey_time = 0s }} }} }}",
            suite.charon
        )
    };
    match role {
        Role::Responder => add(0, "%any", "%any", "11.0.0.0/8", "12.0.0.0/8")?,
        Role::Initiator => {
            for tunnel in 0..tunnels {
                let remote: Ipv4Addr = peer(tunnel);
                let networks =
                    [subject_network(tunnel), peer_network(tunnel)].map(|network| format!("{network}/24"));
                add(tunnel, &remote.to_string(), &remote.to_string(), &networks[0], &networks[1])?;
            }
        }
    }
    writeln!(text, "}}\nsecrets {{ ike-all {{ secret = \"{PSK}\" }} }}")?;
    Ok(text)
}
