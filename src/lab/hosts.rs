//! Namespaces and the wires between them.

use super::{Process, run};
use anyhow::{Context, Result};
use rustix::thread::LinkNameSpaceType;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

/// A network namespace, deleted with its devices when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    pub(super) fn create(name: &str) -> Result<Self> {
        run("ip", &["netns", "add", name])?;
        let namespace = Self { name: name.to_owned() };
        namespace.ip(&["link", "set", "lo", "up"])?;
        let quiet = [
            "net.ipv4.conf.all.rp_filter=0",
            "net.ipv4.conf.default.rp_filter=0",
            "net.ipv6.conf.default.disable_ipv6=1",
        ];
        namespace.run("sysctl", &[&["-qw", "net.ipv4.ip_forward=1"], &quiet[..]].concat())?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `ip -n NAMESPACE ARGS`.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn ip(&self, args: &[&str]) -> Result<String> {
        run("ip", &[&["-n", &self.name], args].concat())
    }

    /// Runs a command in the namespace to its end and returns what it printed.
    ///
    /// # Errors
    /// What it said, if it failed.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        run("ip", &[&["netns", "exec", &self.name, program], args].concat())
    }

    /// A command that will run in the namespace, and dies with this process.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "setpriv", "--pdeathsig", "KILL", "--", program]);
        command
    }

    /// Starts a program in the namespace, its output going to `log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&self, program: &str, args: &[&str], log: &Path) -> Result<Process> {
        let mut command = self.command(program);
        command.args(args);
        Process::start(&mut command, log).with_context(|| format!("in namespace {}", self.name))
    }

    /// Gives a device an address (`"192.0.2.1/24"`) and sets it up. The first IPv6 address lets the namespace's kernel speak IPv6:
    /// without, none talks where it is not looked at.
    ///
    /// # Errors
    /// What `ip` or `sysctl` said.
    pub fn address(&self, device: &str, address: &str) -> Result<()> {
        let mut add = vec!["address", "add", address, "dev", device];
        if address.contains(':') {
            self.run("sysctl", &["-qw", "net.ipv6.conf.all.disable_ipv6=0"])?;
            add.push("nodad");
        }
        self.ip(&add)?;
        self.ip(&["link", "set", device, "up"]).map(drop)
    }

    /// Adds a route of either family.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn route(&self, prefix: &str, via: &str) -> Result<()> {
        self.ip(&["route", "replace", prefix, "via", via]).map(drop)
    }

    /// Makes a bridge that joins whatever is plugged into it.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn bridge(&self, name: &str) -> Result<()> {
        self.ip(&["link", "add", name, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0"])?;
        self.ip(&["link", "set", name, "up"]).map(drop)
    }

    /// Plugs a device into a bridge of this namespace and sets it up.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn plug(&self, device: &str, bridge: &str) -> Result<()> {
        self.ip(&["link", "set", device, "master", bridge])?;
        self.ip(&["link", "set", device, "up"]).map(drop)
    }

    /// Moves a device into another namespace; its settings there are gone.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn give(&self, device: &str, to: &Self) -> Result<()> {
        self.ip(&["link", "set", device, "netns", &to.name]).map(drop)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A namespace that is already gone is what was wanted.
        let _ = run("ip", &["netns", "delete", &self.name]);
    }
}

/// The sockets that this thread makes from now on belong to the namespace of that name.
///
/// # Errors
/// If there is none, or it may not be entered.
pub(super) fn enter(name: &str) -> Result<()> {
    let place = format!("/run/netns/{name}");
    let namespace = File::open(&place).with_context(|| format!("cannot open {place}"))?;
    rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .with_context(|| format!("entering namespace {name}"))
}

/// A virtual cable between two namespaces.
#[derive(Debug)]
pub struct Wire;

impl Wire {
    /// Lays a veth pair from device `a.1` in `a.0` to device `b.1` in `b.0`, both up, without offloads: what a program that reads
    /// raw frames sees is then what a wire would carry.
    ///
    /// # Errors
    /// What `ip` or `ethtool` said.
    pub fn lay(a: (&Namespace, &str), b: (&Namespace, &str), mtu: u16) -> Result<()> {
        a.0.ip(&["link", "add", a.1, "type", "veth", "peer", "name", b.1, "netns", b.0.name()])?;
        for (namespace, device) in [a, b] {
            namespace.ip(&["link", "set", device, "mtu", &mtu.to_string(), "up"])?;
            namespace
                .run("ethtool", &["-K", device, "tx", "off", "tso", "off", "gso", "off", "gro", "off"])?;
        }
        Ok(())
    }
}
