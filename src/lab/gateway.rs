//! Our own gateway in a laboratory: its two processes, and what they say of themselves.

use super::{Lab, Namespace, Process, Terminal};
use crate::client::Client;
use anyhow::{Context, Result, bail};
use api::{ChildState, CommitReport, DataplaneState, Diagnosis, Document, IkeSa, IkeState, Status};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How the ports of a gateway reach its namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// DPDK's net_tap: the tap devices appear where the data plane runs and vanish with it.
    Tap,
    /// DPDK's net_af_packet on veth devices, which outlive it.
    AfPacket,
    /// DPDK's net_pcap on veth devices: slow, but it takes and sends jumbo frames, and fragments as they are.
    Pcap,
}

/// What a gateway is started with, beside its configuration.
#[derive(Debug, Clone)]
pub struct GatewayOptions {
    /// Short name, unique in the laboratory.
    pub name: String,
    /// The configuration, without the sections that name files and sockets.
    pub config: String,
    /// Lines of `[dataplane]`: ports, workers.
    pub dataplane: String,
    /// Files beside the document that it names, of mode 0600.
    pub files: Vec<(String, Vec<u8>)>,
    /// Keep the configuration in a store, which begins with it.
    pub store: bool,
}

/// A running gateway. Its processes are public: tests kill them.
#[derive(Debug)]
pub struct Gateway {
    /// `esplanade-dataplane`.
    pub dataplane: Process,
    /// `esplanade-controlplane`.
    pub control: Process,
    programs: PathBuf,
    folder: PathBuf,
    /// The control process is started with a store.
    store: bool,
    namespace: String,
    client: Client,
}

impl Gateway {
    /// Writes the configuration and starts both processes in a namespace; returns once the control plane answers.
    ///
    /// # Errors
    /// If a process ends or does not become ready; the message holds what it logged.
    pub fn start(lab: &Lab, namespace: &Namespace, options: &GatewayOptions) -> Result<Self> {
        let folder = lab.subfolder(&options.name)?;
        let path = |file: &str| folder.join(file).to_string_lossy().into_owned();
        let config = format!(
            "[control]\nsocket = {:?}\n\n[dataplane]\nsocket = {:?}\n{}\n\n{}\n",
            path("control.sock"),
            path("dp/dataplane.sock"),
            options.dataplane,
            options.config
        );
        std::fs::create_dir_all(folder.join("dp"))?;
        let file = folder.join("esplanade.toml");
        std::fs::write(&file, config)?;
        for (name, contents) in &options.files {
            std::fs::write(folder.join(name), contents)?;
        }
        // They hold keys.
        let names = options.files.iter().map(|(name, _)| name.as_str());
        for name in names.chain(["esplanade.toml"]) {
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(folder.join(name), private)?;
        }
        let programs = programs()?;
        let client = Client::new(&folder.join("control.sock"));
        let mut dataplane = start(namespace, &programs, "dataplane", &folder, &[])?;
        lab.wait_for("the data plane", Duration::from_secs(20), || {
            alive("the data plane", &mut dataplane)?;
            Ok(folder.join("dp/dataplane.sock").exists().then_some(()))
        })?;
        let store = options.store;
        let control = start_control(namespace, &programs, &folder, store)?;
        let namespace = namespace.name().to_owned();
        let mut gateway = Self { dataplane, control, programs, folder, store, namespace, client };
        gateway.wait_answering(lab)?;
        Ok(gateway)
    }

    /// Waits until the control plane answers and has brought the data plane to what the configuration says.
    fn wait_answering(&mut self, lab: &Lab) -> Result<()> {
        lab.wait_for("the control plane", Duration::from_secs(20), || {
            alive("the control plane", &mut self.control)?;
            let status = self.client.get::<Status>(api::path::STATUS).ok();
            Ok(status.filter(|status| status.dataplane.state == DataplaneState::Ready).map(drop))
        })
        .with_context(|| format!("control plane log:\n{}", tail(&self.control.log(), 30)))
    }

    /// Starts the control plane again after it was killed.
    ///
    /// # Errors
    /// As [`Gateway::start`].
    pub fn restart_control(&mut self, lab: &Lab, namespace: &Namespace) -> Result<()> {
        self.control = start_control(namespace, &self.programs, &self.folder, self.store)?;
        self.wait_answering(lab)
    }

    /// Starts the data plane again after it was killed.
    ///
    /// # Errors
    /// As [`Gateway::start`].
    pub fn restart_dataplane(&mut self, namespace: &Namespace) -> Result<()> {
        self.dataplane = start(namespace, &self.programs, "dataplane", &self.folder, &[])?;
        Ok(())
    }

    /// Writes a new configuration in place of the old, `from` replaced by `to`, and tells the control plane to read it.
    ///
    /// # Errors
    /// If `from` is not there.
    pub fn reconfigure(&self, from: &str, to: &str) -> Result<()> {
        self.rewrite(|config| config.contains(from).then(|| config.replace(from, to)))?;
        self.control.send(rustix::process::Signal::HUP);
        Ok(())
    }

    /// Writes a new configuration in place of the old, which stays in force until it is reloaded.
    ///
    /// # Errors
    /// If `edit` finds nothing to change.
    pub fn rewrite(&self, edit: impl FnOnce(&str) -> Option<String>) -> Result<()> {
        let file = self.folder.join("esplanade.toml");
        let config = std::fs::read_to_string(&file)?;
        let Some(edited) = edit(&config) else { bail!("nothing to change in {}", file.display()) };
        Ok(std::fs::write(&file, edited)?)
    }

    /// Commits the configuration in force with one change to its store; returns what became of it once it is in force.
    ///
    /// # Errors
    /// If `edit` finds nothing to change; what the control plane refuses with.
    pub fn commit(&self, edit: impl FnOnce(&str) -> Option<String>) -> Result<CommitReport> {
        let Document { text, .. } = self.client.get(&format!("{}?secrets=true", api::path::CONFIG))?;
        let text = edit(&text).context("nothing to change in the configuration")?;
        self.client.post(api::path::CONFIG_COMMIT, &serde_json::json!({ "text": text }))
    }

    /// The API of this gateway.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Its namespace's name.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its SAs.
    ///
    /// # Errors
    /// If the API does not answer.
    pub fn sas(&self) -> Result<Vec<IkeSa>> {
        self.client.get(api::path::SAS)
    }

    /// Why negotiations failed, the newest first.
    ///
    /// # Errors
    /// If the control plane does not answer.
    pub fn diagnoses(&self) -> Result<Vec<Diagnosis>> {
        self.client.get(api::path::DIAGNOSES)
    }

    /// Runs the `esplanade` command against this gateway and returns what it printed.
    ///
    /// # Errors
    /// What it said, if it failed.
    pub fn command(&self, args: &[&str]) -> Result<String> {
        let program = self.programs.join("esplanade").to_string_lossy().into_owned();
        let socket = self.folder.join("control.sock").to_string_lossy().into_owned();
        super::run(&program, &[&["--socket", &socket], args].concat())
    }

    /// The `esplanade` command on a terminal of so many columns.
    ///
    /// # Errors
    /// As [`Terminal::start`].
    pub fn terminal(&self, columns: u16, args: &[&str]) -> Result<Terminal> {
        let mut command = Command::new(self.programs.join("esplanade"));
        command.arg("--socket").arg(self.folder.join("control.sock")).args(args);
        command.env("ESPLANADE_DATAPLANE", self.folder.join("dp/dataplane.sock"));
        Terminal::start(columns, &command)
    }

    /// As [`Gateway::command`], for what the data plane answers itself.
    ///
    /// # Errors
    /// What the command says.
    pub fn ask_dataplane(&self, args: &[&str]) -> Result<String> {
        let socket = self.folder.join("dp/dataplane.sock").to_string_lossy().into_owned();
        self.command(&[args, &["--dataplane", &socket]].concat())
    }

    /// What each worker says of itself.
    ///
    /// # Errors
    /// What the command says.
    pub fn runtime(&self) -> Result<Vec<shm::inspect::Runtime>> {
        Ok(serde_json::from_str(&self.ask_dataplane(&["show", "runtime", "--json"])?)?)
    }

    /// Starts `esplanade trace` or `esplanade capture` with `args`; returns once it watches. SIGINT ends it.
    ///
    /// # Errors
    /// What it said, if it did not begin.
    pub fn watch(&self, lab: &Lab, args: &[&str], log: &Path) -> Result<Process> {
        let socket = self.folder.join("dp/dataplane.sock");
        let mut command = Command::new(self.programs.join("esplanade"));
        let mut process = Process::start(command.args(args).arg("--dataplane").arg(socket), log)?;
        lab.wait_for("the data plane to be watched", Duration::from_secs(10), || {
            if !process.is_alive() && !process.log().contains("Ctrl-C") {
                bail!("{args:?}: {}", process.log());
            }
            Ok(process.log().contains("Ctrl-C ends it").then_some(()))
        })?;
        Ok(process)
    }

    /// Waits until an IKE SA with an installed CHILD_SA is there.
    ///
    /// # Errors
    /// After the limit, with the control plane's log.
    pub fn wait_established(&self, lab: &Lab, limit: Duration) -> Result<()> {
        let carries = |sa: &IkeSa| {
            sa.state == IkeState::Established
                && sa.children.iter().any(|child| child.state == ChildState::Installed)
        };
        let up = || Ok(self.sas()?.iter().any(carries).then_some(()));
        lab.wait_for("an established tunnel", limit, up)
            .with_context(|| format!("control plane log:\n{}", tail(&self.control.log(), 30)))
    }

    /// The suite of the first CHILD_SA.
    ///
    /// # Errors
    /// If there is none.
    pub fn suite(&self) -> Result<String> {
        let sas = self.sas()?;
        let child = sas.iter().flat_map(|sa| &sa.children).next().context("no CHILD_SA")?;
        Ok(child.proposal.to_string())
    }

    /// Bytes that the CHILD_SAs carried so far, in and out.
    ///
    /// # Errors
    /// If the API does not answer.
    pub fn sa_bytes(&self) -> Result<[u64; 2]> {
        let sas = self.sas()?;
        let children = || sas.iter().flat_map(|sa| &sa.children);
        Ok([children().map(|c| c.inbound.bytes).sum(), children().map(|c| c.outbound.bytes).sum()])
    }
}

/// The last lines of a log.
pub(super) fn tail(log: &str, lines: usize) -> String {
    let all: Vec<&str> = log.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn alive(name: &str, process: &mut Process) -> Result<()> {
    if process.is_alive() { Ok(()) } else { bail!("{name} ended:\n{}", tail(&process.log(), 30)) }
}

fn start_control(namespace: &Namespace, programs: &Path, folder: &Path, store: bool) -> Result<Process> {
    let state = folder.join("state").to_string_lossy().into_owned();
    let more = ["--state", &state];
    start(namespace, programs, "controlplane", folder, if store { &more } else { &[] })
}

fn start(
    namespace: &Namespace,
    programs: &Path,
    which: &str,
    folder: &Path,
    more: &[&str],
) -> Result<Process> {
    let program = programs.join(format!("esplanade-{which}")).to_string_lossy().into_owned();
    let config = folder.join("esplanade.toml").to_string_lossy().into_owned();
    namespace.start(&program, &[&["--config", &config], more].concat(), &folder.join(format!("{which}.log")))
}

/// The folder of the three programs: that of the program that runs now.
///
/// # Errors
/// If one is missing there.
pub fn programs() -> Result<PathBuf> {
    let here = std::env::current_exe()?.parent().map(Path::to_path_buf).context("where am I?")?;
    for name in ["esplanade", "esplanade-dataplane", "esplanade-controlplane"] {
        if !here.join(name).exists() {
            bail!("{} is not beside this program: `cargo xtask build` builds all three", name);
        }
    }
    Ok(here)
}
