//! `esplanade-controlplane --config FILE`, or `--state FOLDER`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use clap::builder::ArgPredicate;
use esplanade_controlplane::state::{self, Opened, Source};
use esplanade_controlplane::{daemon, document};
use tracing_subscriber::EnvFilter;

/// Negotiates tunnels and tells the data plane what to do
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The configuration; with --state, what an empty store begins with
    #[arg(long, value_name = "FILE", default_value = CONFIG, default_value_if("state", ArgPredicate::IsPresent, None))]
    config: Option<PathBuf>,
    /// Keep the configuration in a store in this folder, changed by commits: `esplanade config commit`
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
}

const CONFIG: &str = "/etc/esplanade/esplanade.toml";

fn main() -> ExitCode {
    let options = Options::parse();
    match start(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("esplanade-controlplane: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(options: &Options) -> anyhow::Result<()> {
    harden()?;
    let (document, source, notes) = match (&options.state, &options.config) {
        (Some(folder), seed) => {
            let Opened { store, document, notes } = state::open(folder, seed.as_deref())?;
            (document, Source::Store(store, folder.clone()), notes)
        }
        (None, file) => {
            let file = file.as_deref().unwrap_or(Path::new(CONFIG));
            (document::load(file, &gateway::plan::InterfaceIds::default())?, Source::File, Vec::new())
        }
    };
    log(&document.desired.control.log)?;
    for note in notes {
        tracing::info!("{note}");
    }
    for warning in &document.report.warnings {
        tracing::warn!("{}:{}: {}: {}", warning.file, warning.line, warning.path, warning.message);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(daemon::run(document, source))
}

/// Keys stay in this process: no core dump, no debugger of another user.
fn harden() -> anyhow::Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}

/// Logs to standard error; `ESPLANADE_LOG` overrides the document's filter.
fn log(filter: &str) -> anyhow::Result<()> {
    let filter = match std::env::var("ESPLANADE_LOG") {
        Ok(from_environment) => EnvFilter::try_new(from_environment)?,
        Err(_) => EnvFilter::try_new(filter)?,
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    Ok(())
}
