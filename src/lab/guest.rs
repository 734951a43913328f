//! The Linux kernel as a peer: a User Mode Linux guest with an IKE daemon, whose ESP is the kernel's own.

use super::datagrams::echo_command;
use super::strongswan::{SwanOptions, charon_conf};
use super::{Lab, Namespace, Process, libreswan, run};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What speaks IKE in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Daemon {
    /// That of this machine's Debian.
    #[default]
    StrongSwan,
    /// That of Debian 13.
    StrongSwan6,
    /// That of this machine's Debian.
    Libreswan,
    /// strongSwan for the keys, FRR for the routes.
    Frr,
}

impl Daemon {
    /// The file of its root, as `tests/interop/guest/build.sh` makes it.
    fn image(self) -> &'static str {
        match self {
            Self::StrongSwan => "base.cpio.zst",
            Self::StrongSwan6 => "strongswan6.cpio.zst",
            Self::Libreswan => "libreswan.cpio.zst",
            Self::Frr => "frr.cpio.zst",
        }
    }

    /// Brings it up; with a configuration of its own, as its package would.
    fn start(self, own: bool) -> &'static str {
        match self {
            Self::StrongSwan | Self::StrongSwan6 | Self::Frr => START,
            Self::Libreswan if own => libreswan::START_AS_IS,
            Self::Libreswan => libreswan::START,
        }
    }

    /// Negotiates the tunnel, and what it prints then.
    fn initiate(self) -> (&'static str, &'static str) {
        match self {
            Self::StrongSwan | Self::StrongSwan6 | Self::Frr => {
                ("swanctl --initiate --child net --timeout 15 2>&1", "initiate completed successfully")
            }
            Self::Libreswan => ("timeout 20 ipsec whack --initiate --name t 2>&1", "established Child SA"),
        }
    }
}

/// How the guest is set up.
#[derive(Debug, Clone, Default)]
pub struct GuestOptions {
    /// Its connection; proposals are in the words of its daemon.
    pub swan: SwanOptions,
    /// What negotiates it.
    pub daemon: Daemon,
    /// Run this shell script at start instead of the daemon.
    pub script: Option<String>,
    /// Files by their paths in the guest; what its daemon is configured with, in place of `swan`, unless there are none.
    pub files: Vec<(String, Vec<u8>)>,
    /// What runs once the daemon is there.
    pub more: String,
    /// It has IPv6 addresses too: 2001:db8::2/64 outside, 2001:db8:2::1/64 behind it.
    pub dual_stack: bool,
}

/// A running guest: its outside NIC is a tap of the namespace, plugged into the bridge there.
#[derive(Debug)]
pub struct Guest {
    _uml: Process,
    namespace: String,
    daemon: Daemon,
}

const MANAGEMENT: &str = "169.254.77";
/// Made beside the images: Debian's kernel for guests has all of IPsec but this.
const MODULE: &str = "xfrm_interface.ko";
const LOAD: &str = "[ ! -e /peer/xfrm_interface.ko ] || { modprobe -qa tunnel4 xfrm6_tunnel && insmod /peer/xfrm_interface.ko; }\n";
const DUAL_STACK: &str = "sysctl -qw net.ipv6.conf.all.disable_ipv6=0
ip address add 2001:db8::2/64 dev wan nodad
ip address add 2001:db8:2::1/64 dev lo nodad
";
const START: &str = "charon-systemd >/run/charon.out 2>&1 &
for i in $(seq 200); do [ -S /run/charon.vici ] && break; sleep 0.1; done
swanctl --load-all
iperf3 -s -D
";

impl Guest {
    /// Boots a guest whose outside device joins `bridge` in `namespace`, and waits until it is ready.
    ///
    /// # Errors
    /// If the image is missing (`ESPLANADE_GUEST` names its folder) or the guest does not come up; with its console.
    pub fn boot(lab: &Lab, namespace: &Namespace, bridge: &str, options: &GuestOptions) -> Result<Self> {
        let image = std::env::var_os("ESPLANADE_GUEST")
            .map(PathBuf::from)
            .context("ESPLANADE_GUEST does not name the guest's folder")?;
        let kernel = image.join("linux.uml");
        for file in [&kernel, &image.join(options.daemon.image())] {
            if !file.exists() {
                bail!("{} does not exist: `cargo xtask interop` makes it", file.display());
            }
        }
        let folder = lab.subfolder("guest")?;
        let initrd = initrd(&folder, &image, options)?;
        for tap in ["gmgmt", "gwan"] {
            namespace.ip(&["tuntap", "add", "dev", tap, "mode", "tap"])?;
        }
        namespace.address("gmgmt", &format!("{MANAGEMENT}.1/30"))?;
        namespace.plug("gwan", bridge)?;
        let (initrd, uml_dir) =
            (format!("initrd={}", initrd.display()), format!("uml_dir={}/", folder.display()));
        let args = [
            "mem=512M",
            &initrd,
            "con=null",
            "con0=null,fd:1",
            "ssl=null",
            "quiet",
            "umid=guest",
            &uml_dir,
            "random.trust_cpu=1",
            "vec0:transport=tap,ifname=gmgmt,mac=52:54:00:aa:00:01,depth=64",
            "vec1:transport=tap,ifname=gwan,mac=52:54:00:aa:00:02,depth=128",
        ];
        let program = kernel.to_string_lossy().into_owned();
        let mut uml = namespace.start(&program, &args, &folder.join("console.log"))?;
        lab.wait_for("the Linux guest", Duration::from_secs(90), || {
            if !uml.is_alive() {
                bail!("it ended: {}", uml.log());
            }
            Ok(uml.log().contains("PEER-READY").then_some(()))
        })?;
        Ok(Self { _uml: uml, namespace: namespace.name().to_owned(), daemon: options.daemon })
    }

    /// Runs a shell command in the guest and returns all that it printed.
    ///
    /// # Errors
    /// If the guest does not answer.
    pub fn shell(&self, script: &str) -> Result<String> {
        let mut command = Command::new("ip");
        command.args([
            "netns",
            "exec",
            &self.namespace,
            "socat",
            "-t",
            "60",
            "-",
            &format!("TCP:{MANAGEMENT}.2:7"),
        ]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("socat")?;
        if let Some(mut stdin) = child.stdin.take() {
            writeln!(stdin, "{script}")?;
        }
        let out = child.wait_with_output()?;
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// The bytes of a file in the guest.
    ///
    /// # Errors
    /// If the guest does not answer or has no such file.
    pub fn read(&self, file: &str) -> Result<Vec<u8>> {
        let said = self.shell(&format!("od -An -v -tx1 {file}"))?;
        let byte = |word| u8::from_str_radix(word, 16).with_context(|| said.clone());
        said.split_whitespace().map(byte).collect()
    }

    /// Starts the echo service of [`super::Datagrams`].
    pub(super) fn echo(&self, address: &str) -> Result<()> {
        // Its one processor is busy for a while whenever a program starts.
        const BUFFER: u32 = 8 << 20;
        let [listen, exec] = echo_command(address, BUFFER);
        let start = format!("socat {listen} {exec} </dev/null >/run/echo.log 2>&1 &");
        self.shell(&format!("sysctl -qw net.core.rmem_max={BUFFER}\n{start}")).map(drop)
    }

    /// Negotiates the tunnel from inside the guest.
    ///
    /// # Errors
    /// What the daemon said, if it did not succeed.
    pub fn initiate(&self) -> Result<String> {
        let (command, success) = self.daemon.initiate();
        let said = self.shell(command)?;
        if said.contains(success) { Ok(said) } else { bail!("{said}") }
    }
}

/// Writes the initramfs of one guest: the image, then an archive that adds what is this guest's own.
fn initrd(folder: &Path, image: &Path, options: &GuestOptions) -> Result<PathBuf> {
    let own = folder.join("own");
    std::fs::create_dir_all(own.join("peer"))?;
    std::fs::create_dir_all(own.join("etc"))?;
    let env = format!(
        "MGMT_MAC=52:54:00:aa:00:01 MGMT_IP={MANAGEMENT}.2/30 WAN_MAC=52:54:00:aa:00:02 WAN_IP=192.0.2.2/24 INNER_IP=10.2.0.1/24\n"
    );
    std::fs::write(own.join("peer/env"), env)?;
    let unwanted = [
        "test-vectors",
        "gcrypt",
        "af-alg",
        "ldap",
        "pkcs11",
        "bypass-lan",
        "dhcp",
        "farp",
        "forecast",
        "stroke",
        "tpm",
        "tnc-tnccs",
        "eap-tnc",
        "eap-radius",
        "ha",
        "led",
        "curl",
        "unity",
        "kernel-libipsec",
    ];
    std::fs::write(
        own.join("etc/strongswan.conf"),
        charon_conf("/run/charon.log", "/run/charon.vici", &unwanted, &options.swan.charon_lines, ""),
    )?;
    let module = image.join(MODULE);
    if module.exists() {
        std::fs::copy(module, own.join("peer").join(MODULE))?;
    }
    for (path, contents) in &options.files {
        let path = own.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap_or(&own))?;
        std::fs::write(path, contents)?;
    }
    match options.daemon {
        _ if !options.files.is_empty() => {}
        Daemon::StrongSwan | Daemon::StrongSwan6 | Daemon::Frr => {
            options.swan.write(&own.join("etc/swanctl"))?
        }
        Daemon::Libreswan => libreswan::write(&options.swan, &own.join("etc"))?,
    }
    let addresses = if options.dual_stack { DUAL_STACK } else { "" };
    let start = options.script.as_deref().unwrap_or(options.daemon.start(!options.files.is_empty()));
    std::fs::write(own.join("peer/start"), format!("#!/bin/sh\n{LOAD}{addresses}{start}{}", options.more))?;
    run("chmod", &["+x", &own.join("peer/start").to_string_lossy()])?;

    let archive = folder.join("own.cpio");
    let pack = format!(
        "cd '{}' && find . -mindepth 1 | cpio -o -H newc --quiet -R 0:0 >'{}'",
        own.display(),
        archive.display()
    );
    run("sh", &["-c", &pack])?;
    let initrd = folder.join("initrd");
    let mut out = File::create(&initrd)?;
    let base = std::io::copy(&mut File::open(image.join(options.daemon.image()))?, &mut out)?;
    // The kernel wants each archive to begin on a multiple of four bytes.
    let padding = base.next_multiple_of(4) - base;
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), padding), &mut out)?;
    std::io::copy(&mut File::open(&archive)?, &mut out)?;
    Ok(initrd)
}
