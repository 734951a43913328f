//! `esplanade-controlplane --config FILE`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use esplanade_controlplane::{daemon, document};
use tracing_subscriber::EnvFilter;

/// Negotiates tunnels and tells the data plane what to do
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "/etc/esplanade/esplanade.toml")]
    config: PathBuf,
}

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
    let document = document::load(&options.config, &gateway::plan::InterfaceIds::default())?;
    log(&document.desired.control.log)?;
    for warning in &document.report.warnings {
        tracing::warn!("{}:{}: {}: {}", warning.file, warning.line, warning.path, warning.message);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(daemon::run(document))
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
