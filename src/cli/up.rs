//! `esplanade up`: both daemons in the foreground.

use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "/etc/esplanade/esplanade.toml")]
    config: PathBuf,
    /// Keep the configuration in a store in this folder, which begins with that file; `[dataplane]` stays in the file
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
}

impl Options {
    /// How a daemon is started.
    fn command(&self, name: &str) -> Command {
        // The one beside this program, else the one on the PATH.
        let beside = std::env::current_exe().ok().map(|exe| exe.with_file_name(name));
        let mut command = Command::new(beside.filter(|path| path.exists()).unwrap_or_else(|| name.into()));
        command.arg("--config").arg(&self.config);
        if let (CONTROL, Some(folder)) = (name, &self.state) {
            command.arg("--state").arg(folder);
        }
        command
    }
}

/// How long a daemon that ended is left alone before it is started again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the daemons may take to stop.
const PATIENCE: Duration = Duration::from_secs(5);

/// The two daemons, the data plane first: it is stopped last.
const DAEMONS: [&str; 2] = ["esplanade-dataplane", CONTROL];
const CONTROL: &str = "esplanade-controlplane";

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    super::check::must_pass(&options.config)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let mut daemons = Vec::new();
    for name in DAEMONS {
        daemons.push(Daemon::start(name, options)?);
    }
    while !stop.load(Ordering::Relaxed) {
        for daemon in &mut daemons {
            daemon.keep_running(options)?;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    // Control first: it leaves the data plane forwarding, which then stops by itself.
    for daemon in daemons.iter_mut().rev() {
        daemon.stop();
    }
    Ok(ExitCode::SUCCESS)
}

struct Daemon {
    name: &'static str,
    child: Child,
    /// When it ended, if it did.
    ended: Option<Instant>,
    started: Instant,
    /// It ran before: if it now ends at once, that must not take the other one down.
    restarted: bool,
}

impl Daemon {
    fn start(name: &'static str, options: &Options) -> Result<Self> {
        Ok(Self {
            name,
            child: spawn(name, options)?,
            ended: None,
            started: Instant::now(),
            restarted: false,
        })
    }

    /// Starts the daemon again a second after it ended: each process restarts alone.
    fn keep_running(&mut self, options: &Options) -> Result<()> {
        if self.ended.is_none()
            && let Some(status) = self.child.try_wait()?
        {
            if !self.restarted && self.started.elapsed() < PAUSE {
                bail!("{} ended at once ({status}): its message is above", self.name);
            }
            eprintln!("esplanade up: {} ended ({status}); starting it again", self.name);
            self.ended = Some(Instant::now());
        }
        if self.ended.is_some_and(|at| at.elapsed() >= PAUSE) {
            self.child = spawn(self.name, options)?;
            (self.ended, self.restarted) = (None, true);
        }
        Ok(())
    }

    fn stop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process};
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let (None, Some(pid)) = (self.ended, pid) {
            // It may just have ended, by the same Ctrl-C.
            let _ = kill_process(pid, Signal::TERM);
            let end = Instant::now() + PATIENCE;
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(name: &str, options: &Options) -> Result<Child> {
    let mut command = options.command(name);
    command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))
}
