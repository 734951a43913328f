//! `cargo xtask`: everything that is done to the project, as one command each.
//!
//! xtask builds on a machine that has nothing but Rust and gcc; whatever a command needs beyond that it installs itself and
//! says so. It needs no DPDK, so that it can install DPDK.
#![forbid(unsafe_code)]

mod bench;
mod build;
mod checks;
mod coverage;
mod debian13;
mod deps;
mod fuzz;
mod guest;
mod man;
mod openapi;
mod run;
mod sim;
mod suite;
mod units;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Install, build, check, test and demo Esplanade")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what is missing, build, and run two gateways with a tunnel and real traffic between them
    ///
    /// Examples:
    ///   cargo xtask demo
    ///   cargo xtask demo --seconds 10 --json
    ///   cargo xtask demo --peer strongswan
    ///   cargo xtask demo --scenario control-restart --json
    ///   cargo xtask demo --scenario two-hundred --json
    #[command(verbatim_doc_comment, disable_help_flag = true)]
    Demo {
        /// Arguments of `esplanade demo`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Install what is missing and pass every check and test; ends with `N passed, N failed`
    Test,
    /// The whole matrix against real peers
    ///
    /// Examples:
    ///   cargo xtask interop
    ///   cargo xtask interop --filter strongswan
    ///   cargo xtask interop --list
    #[command(verbatim_doc_comment, disable_help_flag = true)]
    Interop {
        /// Arguments of the interop runner
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Drive the API from its OpenAPI document with schemathesis, as each role, over TLS
    ///
    /// Examples:
    ///   cargo xtask openapi
    ///   cargo xtask openapi --seconds 60 --programs target/debug
    #[command(verbatim_doc_comment)]
    Openapi {
        /// Seconds for each role
        #[arg(long, default_value_t = openapi::SECONDS)]
        seconds: u32,
        /// Where the programs are; without it they are built in release mode
        #[arg(long, value_name = "FOLDER")]
        programs: Option<std::path::PathBuf>,
    },
    /// IKE gateways on a virtual clock and a bad network, thousands of seeded runs checked against a model
    ///
    /// Examples:
    ///   cargo xtask sim --runs 10000 --seed 1
    ///   cargo xtask sim --seed 4711 --runs 1 --trace
    #[command(verbatim_doc_comment, disable_help_flag = true)]
    Sim {
        /// Arguments of the simulation
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Install what is missing, build, and measure cycles per packet and packet rates
    ///
    /// Examples:
    ///   cargo xtask bench --suite aes128gcm --sizes 256,1400 --json
    ///   cargo xtask bench --compare --svg cycles.svg
    ///   cargo xtask bench --workers 1,2 --sas 1,1000,10000
    #[command(verbatim_doc_comment, disable_help_flag = true)]
    Bench {
        /// Arguments of `esplanade bench`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Formatting, lints, layering, licences, without running tests
    Check,
    /// Install the Debian packages that building, running and testing need
    Deps,
    /// Build the programs in release mode, the benchmark too
    Build,
    /// Write the manual pages of the `esplanade` command
    Man,
    /// Build and test the DPDK crates against DPDK 24.11 in a Debian 13 root (needs root; about two minutes)
    Debian13,
    /// Run every fuzz target for a while, from its committed corpus
    ///
    /// Examples:
    ///   cargo xtask fuzz-smoke
    ///   cargo xtask fuzz-smoke --seconds 600
    #[command(verbatim_doc_comment)]
    FuzzSmoke {
        /// Seconds for each target
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Lines of code per crate, tests apart
    Loc,
}

fn main() -> ExitCode {
    match execute(Cli::parse().task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one task; `false` means that it ran and something in it failed.
fn execute(task: Task) -> anyhow::Result<bool> {
    match task {
        Task::Demo { args } => build::demo(&args),
        Task::Test => suite::test(),
        Task::Interop { args } => suite::interop(&args),
        Task::Openapi { seconds, programs } => openapi::run(seconds, programs),
        Task::Sim { args } => sim::run(&args),
        Task::Bench { args } => bench::run(&args),
        Task::Check => {
            deps::ensure(&[deps::BUILD])?;
            Ok(checks::all()?.failed == 0)
        }
        Task::Deps => deps::ensure(&[deps::BUILD, deps::RUN, deps::TEST]).map(|()| true),
        Task::Build => {
            deps::ensure(&[deps::BUILD])?;
            build::release()?;
            bench::build().map(|_| true)
        }
        Task::Man => man::write(),
        Task::Debian13 => debian13::check(),
        Task::FuzzSmoke { seconds } => fuzz::smoke(seconds),
        Task::Loc => checks::lines_of_code().map(|()| true),
    }
}
