//! The laboratory: gateways, peers and hosts in network namespaces of one machine, with real packets between them.
//!
//! `esplanade demo` and the tests against real peers build on it. Everything that a [`Lab`] makes (namespaces, processes, files)
//! it removes again when it is dropped, also after an interrupt; what a killed lab left behind, the next one removes.

mod capture;
mod datagrams;
mod exchanges;
mod fleet;
mod flood;
mod gateway;
mod guest;
mod hosts;
mod libreswan;
mod process;
mod restarts;
mod site;
mod streams;
mod strongswan;
mod terminal;
mod traffic;

pub use capture::{Capture, Sightings, each_frame};
pub use datagrams::{Datagrams, Delivered, echo};
pub use exchanges::Exchanges;
pub use fleet::{Fleet, FleetTunnel, MAX_FLEET};
pub use flood::Flood;
pub use gateway::{Devices, Gateway, GatewayOptions, programs};
pub use guest::{Daemon, Guest, GuestOptions};
pub use hosts::{Namespace, Wire};
pub use process::Process;
pub use restarts::{KillReport, kill_control};
pub use site::{Peer, Site, SiteOptions};
pub use streams::{Echoes, Streams};
pub use strongswan::{StrongSwan, SwanOptions, UNWANTED_PLUGINS};
pub use terminal::Terminal;
pub use traffic::{Ping, Tcp};

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How every namespace of a lab begins; the process ID of its maker follows.
const PREFIX: &str = "esp";

/// One laboratory: a name of its own, a folder, and what was made in it.
#[derive(Debug)]
pub struct Lab {
    tag: String,
    folder: tempfile::TempDir,
    interrupted: Arc<AtomicBool>,
}

impl Lab {
    /// An empty laboratory. Needs root: it makes network namespaces.
    ///
    /// # Errors
    /// Says what is missing: not root, no `ip`, no place for files.
    pub fn new() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("making network namespaces needs root: run it with sudo");
        }
        remove_leftovers()?;
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP]
        {
            signal_hook::flag::register(signal, Arc::clone(&interrupted)).context("cannot catch signals")?;
        }
        let folder =
            tempfile::Builder::new().prefix("esplanade-lab.").tempdir().context("no place for files")?;
        Ok(Self { tag: format!("{PREFIX}{}", std::process::id()), folder, interrupted })
    }

    /// Where this laboratory keeps its files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A folder of that name for one gateway, peer or capture.
    pub(crate) fn subfolder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder().join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    /// Makes a namespace; `name` is short ("a", "wan") and unique in this laboratory.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn namespace(&self, name: &str) -> Result<Namespace> {
        Namespace::create(&format!("{}-{name}", self.tag))
    }

    /// Fails once the user has asked to stop.
    ///
    /// # Errors
    /// "interrupted".
    pub fn check_interrupt(&self) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) { bail!("interrupted") } else { Ok(()) }
    }

    /// Waits until `ready` gives a value, asking every 50 ms, for at most `limit`.
    ///
    /// # Errors
    /// After the limit, or when interrupted, with `what` was waited for.
    pub fn wait_for<T>(
        &self,
        what: &str,
        limit: Duration,
        mut ready: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let end = Instant::now() + limit;
        loop {
            self.check_interrupt()?;
            if let Some(value) = ready().with_context(|| format!("waiting for {what}"))? {
                return Ok(value);
            }
            if Instant::now() > end {
                bail!("{what}: not within {} s", limit.as_secs());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Lets time pass, but not after an interrupt.
    ///
    /// # Errors
    /// "interrupted".
    pub fn sleep(&self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.check_interrupt()?;
            std::thread::sleep(Duration::from_millis(20).min(end.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }
}

/// Runs a command to its end and returns its standard output.
///
/// # Errors
/// The command and what it said, if it failed.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<String> {
    let out = Command::new(program)
        .args(args)
        .output()
        .with_context(|| format!("cannot start {program}: is it installed?"))?;
    if !out.status.success() {
        let [printed, said] = [&out.stdout, &out.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        bail!("{program} {}: {}", args.join(" "), [printed.trim(), said.trim()].join("\n").trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Deletes the namespaces of laboratories whose maker no longer lives.
fn remove_leftovers() -> Result<()> {
    for line in run("ip", &["netns", "list"])?.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let maker = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('-'))
            .and_then(|(pid, _)| pid.parse::<u32>().ok());
        if maker.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            run("ip", &["netns", "delete", name])?;
        }
    }
    Ok(())
}
