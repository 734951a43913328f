//! The Debian packages that each kind of work needs, and their installation.

use crate::run::{command, must, output, say};
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::process::Command;

/// A named list of Debian packages and what they are for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackageSet {
    what_for: &'static str,
    packages: &'static [&'static str],
}

/// What building needs: DPDK and ipsec-mb with their headers, and libclang for bindgen.
pub(crate) const BUILD: PackageSet = PackageSet {
    what_for: "building",
    packages: &[
        "gcc",
        "g++",
        "make",
        "cmake",
        "pkg-config",
        "libclang-dev",
        "libdpdk-dev",
        "libipsec-mb-dev",
    ],
};

/// What the demo needs: namespaces and traffic.
pub(crate) const RUN: PackageSet = PackageSet {
    what_for: "running the demo",
    packages: &["iproute2", "ethtool", "iputils-ping", "iperf3", "tcpdump", "procps", "util-linux"],
};

/// The strongSwan that runs in a network namespace.
pub(crate) const STRONGSWAN: PackageSet = PackageSet {
    what_for: "the strongSwan peer",
    packages: &[
        "charon-systemd",
        "strongswan-swanctl",
        "libcharon-extra-plugins",
        "libstrongswan-standard-plugins",
        "libstrongswan-extra-plugins",
    ],
};

/// What making and booting the Linux kernel peer needs.
pub(crate) const GUEST: PackageSet = PackageSet {
    what_for: "the Linux kernel peer",
    packages: &["mmdebstrap", "zstd", "cpio", "socat", "make", "flex", "bison", "bc", "xz-utils"],
};

/// The sources of DPDK's example gateway.
pub(crate) const COMPARE: PackageSet = PackageSet { what_for: "the comparison", packages: &["dpdk-doc"] };

/// What the tests need beyond all that: an independent ESP implementation.
pub(crate) const TEST: PackageSet = PackageSet {
    what_for: "the tests",
    packages: &[
        "python3-scapy",
        "python3-cryptography",
        "python3-venv",
        "tshark",
        "traceroute",
        "bird2",
        "nftables",
        "openssl",
    ],
};

/// Installs whatever of these sets is missing, as root or by sudo.
///
/// # Errors
/// Says which packages are missing and how to install them where that cannot be done here.
pub(crate) fn ensure(sets: &[PackageSet]) -> Result<()> {
    let mut missing = Vec::new();
    for set in sets {
        let absent: Vec<&str> = set.packages.iter().copied().filter(|package| !installed(package)).collect();
        if !absent.is_empty() {
            say(&format!("{} needs: {}", set.what_for, absent.join(" ")));
            missing.extend(absent);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    say("installing them with apt-get");
    apt(&["update", "-qq"])?;
    let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
    install.extend(&missing);
    apt(&install).with_context(|| format!("by hand: sudo apt-get install {}", missing.join(" ")))
}

fn installed(package: &str) -> bool {
    output(&mut command("dpkg-query", &["-W", "-f", "${db:Status-Status}", package]))
        .is_ok_and(|status| status == "installed")
}

/// Whether this process may do what root may.
pub(crate) fn is_root() -> bool {
    output(&mut command("id", &["-u"])).is_ok_and(|uid| uid.trim() == "0")
}

/// A command that runs as root, by sudo where this process is not; what the laboratory reads from the environment goes along.
pub(crate) fn privileged<S: AsRef<OsStr>>(program: &str, args: &[S]) -> Command {
    let mut command = if is_root() {
        command::<&str>(program, &[])
    } else {
        command("sudo", &["--preserve-env=ESPLANADE_GUEST", program])
    };
    command.args(args);
    command
}

/// Runs apt-get without questions, through sudo where that is needed.
///
/// A package that starts a daemon when it is installed is told not to: the peers run only inside test namespaces.
fn apt(args: &[&str]) -> Result<()> {
    let environment =
        ["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get", "-o", "DPkg::Lock::Timeout=300"];
    let mut words: Vec<&str> = environment.iter().chain(args).copied().collect();
    if is_root() {
        return must(&mut command("env", &words));
    }
    if output(&mut command("sudo", &["-V"])).is_err() {
        bail!("neither root nor sudo: run as root, or install sudo");
    }
    words.insert(0, "env");
    must(&mut command("sudo", &words))
}
