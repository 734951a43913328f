//! `esplanade-bench`: what a packet costs, and how many there may be a second.

mod compare;
mod cycles;
mod devices;
mod engines;
mod gateway;
mod machine;
mod path;
mod rate;
mod report;
mod secgw;
mod table;
mod team;
mod traffic;
mod worker;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::builder::ArgPredicate;
use clap::{Parser, ValueEnum};
use crypto::Suite;

use crate::gateway::{MAX_SAS, SaSpec};
use crate::machine::Machine;
use crate::report::{Measurement, Scope};
use crate::secgw::Secgw;
use crate::traffic::Size;

/// Measure cycles per packet and packet rates of the data plane on this machine
///
/// Examples:
///   esplanade bench --suite aes128gcm --sizes 256,1400
///   esplanade bench --sas 1,1000,10000 --json
///   esplanade bench --compare --rounds 9
#[derive(Debug, Parser)]
#[command(name = "esplanade bench", verbatim_doc_comment)]
struct Cli {
    /// Suites
    #[arg(long, value_delimiter = ',', default_value = "aes128gcm,aes128cbc-sha1")]
    suite: Vec<SuiteName>,
    /// Bytes of the inner IP packets, or imix; a comparison is of 64, 256 and 1400 if nothing is said
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "64,256,512,1400,imix",
        default_value_if("compare", ArgPredicate::IsPresent, "64,256,1400"),
        hide_default_value = true
    )]
    sizes: Vec<Size>,
    /// Numbers of SAs, used at random
    #[arg(long, value_delimiter = ',', default_value = "1")]
    sas: Vec<usize>,
    /// Numbers of workers, each with SAs of its own; beside one of them alone where there are CPUs to spare
    #[arg(long, value_delimiter = ',', default_value = "1", value_parser = clap::value_parser!(u16).range(1..=16))]
    workers: Vec<u16>,
    /// Without receiving and transmitting, or the whole worker between two devices
    #[arg(long, value_delimiter = ',', default_value = "path,worker")]
    scope: Vec<Scope>,
    /// Runs of 256 packets for each figure; the lowest tenth counts
    #[arg(long, default_value_t = 400)]
    runs: usize,
    /// Beside DPDK's ipsec-secgw, in alternating rounds on the same devices and packets
    #[arg(long)]
    compare: bool,
    /// The program, as `cargo xtask bench --compare` builds it
    #[arg(long, default_value = "ipsec-secgw", requires = "compare")]
    secgw: PathBuf,
    /// Rounds of a comparison
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The cryptographic engines alone
    #[arg(long)]
    engines: bool,
    #[command(flatten)]
    rate: rate::Options,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SuiteName {
    Aes128gcm,
    Aes256gcm,
    #[value(name = "aes128cbc-sha1")]
    Aes128cbcSha1,
    #[value(name = "aes256cbc-sha256")]
    Aes256cbcSha256,
    Chacha20poly1305,
}

impl SuiteName {
    fn suite(self) -> Result<Suite> {
        let (cipher, bits, mac) = match self {
            Self::Aes128gcm => (20, 128, 0),
            Self::Aes256gcm => (20, 256, 0),
            Self::Aes128cbcSha1 => (12, 128, 2),
            Self::Aes256cbcSha256 => (12, 256, 12),
            Self::Chacha20poly1305 => (28, 256, 0),
        };
        Suite::from_transforms(cipher, bits, mac).context("a suite")
    }
}

impl Cli {
    fn measure(&self, machine: &Machine, spec: &SaSpec<'_>, size: Size) -> Result<Vec<Measurement>> {
        if self.compare {
            ensure!(Secgw::has(spec.suite), "--compare: ipsec-secgw does not have {}", spec.suite);
            ensure!(spec.count == 1 && spec.workers == 1, "--compare is for one SA and one worker");
            let secgw = Secgw { program: self.secgw.clone() };
            return compare::measure(machine, &secgw, spec, size, self.rounds);
        }
        let mut rows = Vec::new();
        for scope in &self.scope {
            rows.extend(match scope {
                Scope::Path => path::measure(machine, spec, size, self.runs)?,
                Scope::Worker => worker::measure(machine, spec, size, self.runs)?,
            });
        }
        Ok(rows)
    }
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if cli.engines {
        return engines::print();
    }
    if cli.rate.is_asked() {
        let suites = cli.suite.iter().map(|suite| suite.suite()).collect::<Result<Vec<_>>>()?;
        return cli.rate.run(&suites, &cli.sizes, cli.json);
    }
    ensure!(cli.sas.iter().all(|sas| (1..=MAX_SAS).contains(sas)), "--sas: each from 1 to {MAX_SAS}");
    let most = cli.workers.iter().copied().max().unwrap_or(1);
    let machine = Machine::start(crypto::Preference::Auto, usize::from(most))?;
    if most > 1 && machine.eal.shares_cpus() {
        eprintln!(
            "{most} workers and the agent need {} CPUs, of which this machine has not so many to spare: \
             no ratio to one worker",
            most + 1
        );
    }
    let mut rows = Vec::new();
    for suite in &cli.suite {
        for (&count, &workers) in cli.sas.iter().flat_map(|sas| cli.workers.iter().map(move |n| (sas, n))) {
            let count = count.max(usize::from(workers));
            let memory = gateway::key_memory(count * usize::from(workers))?;
            let engine = &*machine.engine.backend;
            let spec = SaSpec { suite: suite.suite()?, count, workers, engine, memory: &memory };
            for &size in &cli.sizes {
                rows.extend(cli.measure(&machine, &spec, size)?);
            }
        }
    }
    if cli.json {
        println!("{}", serde_json::json!({ "engine": machine.engine.description, "results": rows }));
    } else {
        println!("{}\n{}", machine.engine.description, table::render(&rows)?);
    }
    Ok(())
}
