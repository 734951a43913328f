//! The data plane's program.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use esplanade_dataplane::{config::Config, heap, process};
use tracing_subscriber::EnvFilter;

/// IPsec VPN gateway: the data plane
#[derive(Parser, Debug)]
#[command(name = "esplanade-dataplane", version, about)]
#[command(after_help = "Example:\n  esplanade-dataplane --config /etc/esplanade/esplanade.toml")]
struct Args {
    /// The configuration; only its section [dataplane] is read
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Read the section, say what is wrong with it, and end
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    log.with_writer(std::io::stderr).with_ansi(colours).init();
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("esplanade-dataplane: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let config = Config::load(&args.config)?;
    if args.check {
        return Ok(());
    }
    heap::prefer_huge_pages();
    process::run(&config)
}
