//! strongSwan as a peer: charon in a namespace, ESP in user space, always inside UDP port 4500.

use super::{Lab, Namespace, Process};
use anyhow::Result;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the connection of a strongSwan peer is made of; "local" is the peer's own side.
#[derive(Debug, Clone)]
pub struct SwanOptions {
    /// Its address.
    pub local: String,
    /// The gateway's address.
    pub remote: String,
    /// IKE proposal, in strongSwan's words.
    pub ike: String,
    /// ESP proposal, in strongSwan's words.
    pub esp: String,
    /// Pre-shared key.
    pub psk: String,
    /// Networks behind it, comma separated.
    pub local_ts: String,
    /// Networks behind the gateway, comma separated.
    pub remote_ts: String,
    /// With certificates, the identities of the peer and of the gateway; a pre-shared key without.
    pub certified: Option<[String; 2]>,
    /// With a pre-shared key, the identities of the peer and of the gateway; their addresses without.
    pub identities: Option<[String; 2]>,
    /// Files below its `swanctl` folder.
    pub files: Vec<(String, Vec<u8>)>,
    /// More lines for the `children` section.
    pub child_lines: String,
    /// More lines for the connection.
    pub connection_lines: String,
    /// The whole configuration, written by somebody else: of all above only the files count.
    pub whole: Option<String>,
    /// More lines for the daemon.
    pub charon_lines: String,
}

impl Default for SwanOptions {
    fn default() -> Self {
        Self {
            local: "192.0.2.2".into(),
            remote: "192.0.2.1".into(),
            ike: "aes128-sha1-modp1024".into(),
            esp: "aes128-sha1-modp1024".into(),
            psk: "a-shared-key-of-the-lab".into(),
            local_ts: "10.2.0.0/24".into(),
            remote_ts: "10.1.0.0/24".into(),
            certified: None,
            identities: None,
            files: Vec::new(),
            child_lines: String::new(),
            connection_lines: String::new(),
            whole: None,
            charon_lines: String::new(),
        }
    }
}

impl SwanOptions {
    /// Writes the configuration and its files into swanctl's folder.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        for sub in ["conf.d", "x509", "x509ca", "private"] {
            std::fs::create_dir_all(folder.join(sub))?;
        }
        let whole = self.whole.clone().unwrap_or_else(|| self.swanctl());
        std::fs::write(folder.join("swanctl.conf"), whole)?;
        for (name, contents) in &self.files {
            std::fs::write(folder.join(name), contents)?;
        }
        Ok(())
    }

    /// The swanctl configuration of connection `t` with child `net`.
    fn swanctl(&self) -> String {
        let Self { local, remote, ike, esp, psk, local_ts, remote_ts, .. } = self;
        let Self { certified, child_lines, connection_lines, .. } = self;
        let addresses = [local.clone(), remote.clone()];
        let (auth, certs, [local_id, remote_id]) = match certified {
            Some(ids) => ("pubkey", "certs = peer.der\n", ids),
            None => ("psk", "", self.identities.as_ref().unwrap_or(&addresses)),
        };
        let secrets = match certified {
            Some(_) => String::new(),
            None => format!("secrets {{ ike-t {{ secret = \"{psk}\" }} }}\n"),
        };
        format!(
            "connections {{ t {{\n version = 2\n local_addrs = {local}\n remote_addrs = {remote}\n proposals = {ike}\n mobike = no\n \
             rekey_time = 0s\n {connection_lines}\n local {{ auth = {auth}\n id = {local_id}\n {certs} }}\n \
             remote {{ auth = {auth}\n id = {remote_id} }}\n \
             children {{ net {{\n local_ts = {local_ts}\n remote_ts = {remote_ts}\n esp_proposals = {esp}\n rekey_time = 0s\n {child_lines}\n \
             }} }} }} }}\n{secrets}"
        )
    }
}

/// Plugins of Debian's packages that have no part in a lab.
pub const UNWANTED_PLUGINS: [&str; 10] =
    ["stroke", "resolve", "bypass-lan", "tpm", "eap-radius", "xauth-pam", "dhcp", "farp", "ha", "led"];

/// The charon settings that every peer of a lab has; `lines` goes into its section, `more` into that of plugins.
pub(super) fn charon_conf(log: &str, vici: &str, unwanted: &[&str], lines: &str, more: &str) -> String {
    let mut off = String::new();
    for plugin in unwanted {
        // Writing to a String cannot fail.
        let _ = writeln!(off, "    {plugin} {{ load = no }}");
    }
    format!(
        "charon-systemd {{\n  load_modular = yes\n  install_virtual_ip = no\n  {lines}\n  \
         filelog {{ f {{\n path = {log}\n flush_line = yes\n default = 1\n time_format = %H:%M:%S\n time_add_ms = yes\n }} }}\n  \
         journal {{\n default = -1\n }}\n  plugins {{\n    include /etc/strongswan.d/charon/*.conf\n    \
         openssl {{ load_legacy = yes }}\n    vici {{ socket = unix://{vici} }}\n{off}{more}  }}\n}}\nswanctl {{ socket = unix://{vici} }}\n"
    )
}

/// A running charon and the folder of its configuration.
#[derive(Debug)]
pub struct StrongSwan {
    charon: Process,
    folder: PathBuf,
    namespace: String,
}

impl StrongSwan {
    /// Starts charon in a namespace with one connection.
    ///
    /// # Errors
    /// If charon does not start or refuses the configuration; the message holds its log.
    pub fn start(lab: &Lab, namespace: &Namespace, name: &str, options: &SwanOptions) -> Result<Self> {
        let folder = lab.subfolder(name)?;
        let path = |file: &str| folder.join(file).to_string_lossy().into_owned();
        let conf = charon_conf(
            &path("charon.log"),
            &path("vici"),
            &UNWANTED_PLUGINS,
            &options.charon_lines,
            "    kernel-libipsec { load = yes }\n",
        );
        std::fs::write(folder.join("strongswan.conf"), conf)?;
        options.write(&folder.join("swanctl"))?;
        let charon = charon(namespace, &folder)?;
        let swan = Self { charon, folder, namespace: namespace.name().to_owned() };
        swan.wait_ready(lab)?;
        Ok(swan)
    }

    /// Starts charon again after it was killed, with the same connection.
    ///
    /// # Errors
    /// As [`StrongSwan::start`].
    pub fn restart(&mut self, lab: &Lab, namespace: &Namespace) -> Result<()> {
        // It shows that charon is there.
        std::fs::remove_file(self.folder.join("vici"))?;
        self.charon = charon(namespace, &self.folder)?;
        self.wait_ready(lab)
    }

    fn wait_ready(&self, lab: &Lab) -> Result<()> {
        lab.wait_for("charon", Duration::from_secs(15), || {
            Ok(self.folder.join("vici").exists().then_some(()))
        })?;
        self.swanctl(&["--load-all"]).map(drop)
    }

    /// From now on it has these options instead. SAs that are up stay.
    ///
    /// # Errors
    /// What swanctl said.
    pub fn reconfigure(&self, options: &SwanOptions) -> Result<()> {
        options.write(&self.folder.join("swanctl"))?;
        self.swanctl(&["--load-all", "--clear"]).map(drop)
    }

    /// Runs `swanctl` against this charon.
    ///
    /// # Errors
    /// What swanctl said.
    pub fn swanctl(&self, args: &[&str]) -> Result<String> {
        let conf = format!("STRONGSWAN_CONF={}", self.folder.join("strongswan.conf").display());
        let dir = format!("SWANCTL_DIR={}", self.folder.join("swanctl").display());
        let program = ["netns", "exec", &self.namespace, "env", &conf, &dir, "swanctl"];
        super::run("ip", &[&program, args].concat())
    }

    /// Initiates the child `net`.
    ///
    /// # Errors
    /// What swanctl said.
    pub fn initiate(&self) -> Result<String> {
        self.swanctl(&["--initiate", "--child", "net", "--timeout", "15"])
    }

    /// What charon logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("charon.log")).unwrap_or_default()
    }

    /// The process itself, to stop or kill it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.charon
    }
}

fn charon(namespace: &Namespace, folder: &Path) -> Result<Process> {
    let place = |name: &str, file: &str| format!("{name}={}", folder.join(file).display());
    let settings = [place("STRONGSWAN_CONF", "strongswan.conf"), place("SWANCTL_DIR", "swanctl")];
    let args = [&settings[0], &settings[1], "/usr/sbin/charon-systemd"];
    namespace.start("env", &args, &folder.join("charon.out"))
}
