//! `esplanade-bench`: what a packet costs, and how many there may be a second.

mod baseline;
mod churn;
mod compare;
mod cycles;
mod devices;
mod engines;
mod gateway;
mod handover;
mod handshakes;
mod machine;
mod path;
mod plot;
mod progress;
mod rate;
mod report;
mod secgw;
mod table;
mod tables;
mod team;
mod traffic;
mod worker;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::builder::ArgPredicate;
use clap::{Parser, ValueEnum};
use crypto::Suite;
use esplanade_dataplane::heap;
use indicatif::ProgressBar;

use crate::baseline::Baseline;
use crate::gateway::{MAX_SAS, SaSpec};
use crate::machine::Machine;
use crate::report::{Direction, Measurement, RawCost, Scope};
use crate::secgw::Secgw;
use crate::traffic::Size;

/// Measure cycles per packet and packet rates of the data plane on this machine
///
/// Examples:
///   esplanade bench --suite aes128gcm --sizes 256,1400
///   esplanade bench --sas 1,1000,10000 --json
///   esplanade bench --workers 1,2 --scope worker
///   esplanade bench --compare --svg cycles.svg --json >before.json
///   esplanade bench --compare --baseline before.json
///   esplanade bench --tables --json
///   esplanade bench --handover --suite aes128gcm
///   esplanade bench --handshakes --tunnels 5000
///   esplanade bench --handshakes --charon --rounds 3
///   esplanade bench --rekeying --tunnels 10000
#[derive(Debug, Parser)]
#[command(name = "esplanade bench", verbatim_doc_comment)]
struct Cli {
    /// Suites
    #[arg(long, value_delimiter = ',', default_value = "aes128gcm,aes128cbc-sha1")]
    suite: Vec<SuiteName>,
    /// Bytes of the inner IP packets, or imix [default: 64,256,512,1400,imix; with --compare and --handover 64,256,1400]
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "64,256,512,1400,imix",
        default_value_ifs([
            ("compare", ArgPredicate::IsPresent, "64,256,1400"),
            ("handover", ArgPredicate::IsPresent, "64,256,1400"),
        ]),
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
    #[arg(long, group = "what")]
    compare: bool,
    /// The program, as `cargo xtask bench --compare` builds it
    #[arg(long, default_value = "ipsec-secgw", requires = "compare")]
    secgw: PathBuf,
    /// Rounds of a comparison, --compare or --charon
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The cryptographic engines alone
    #[arg(long, group = "what")]
    engines: bool,
    /// What handing a packet over costs: two workers, and packets that come to the owner of their SA or to the other
    /// one
    #[arg(long, group = "what", conflicts_with_all = ["baseline", "svg", "scope", "sas", "workers"])]
    handover: bool,
    /// How many tunnels a core negotiates a second, and what an IKE SA occupies
    #[arg(long, group = "what", conflicts_with_all = ["baseline", "svg", "scope", "sas", "workers"])]
    handshakes: bool,
    /// Whole processes, ours and strongSwan's charon in turn, with real packets in namespaces that are made and removed; as root
    #[arg(long, requires = "handshakes")]
    charon: bool,
    /// Tunnels between two gateways on a virtual clock that come up at once and rekey for several lifetimes: their memory,
    /// what is lost, and how late a timer is
    #[arg(long, group = "what", conflicts_with_all = ["baseline", "svg", "scope", "sas", "workers"])]
    rekeying: bool,
    /// Tunnels of each suite that --handshakes negotiates, or that --rekeying keeps [default: 1000, or 10000]
    #[arg(
        long,
        default_value = "1000",
        default_value_if("rekeying", ArgPredicate::IsPresent, "10000"),
        hide_default_value = true,
        value_parser = clap::value_parser!(u32).range(1..=65_535)
    )]
    tunnels: u32,
    /// Lifetimes of CHILD_SAs that --rekeying lets pass
    #[arg(long, default_value_t = 6, requires = "rekeying")]
    generations: u32,
    #[command(flatten)]
    rate: rate::Options,
    /// The tables alone: memory, lookups and changes with 10,000 SAs and up to a million routes, and what a
    /// worker at full rate notices of 2,000 SAs installed a second
    #[arg(long, group = "what")]
    tables: bool,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Fail where a ratio is worse by more than 5 % than in this file, which --json wrote: the ratio to the peer,
    /// or without a peer to the cryptography alone
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tables", "engines", "ndr", "one_connection"])]
    baseline: Option<PathBuf>,
    /// Plot cycles by size into this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["tables", "engines", "ndr", "one_connection"])]
    svg: Option<PathBuf>,
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
    /// All rows; a bar shows how far it is.
    fn rows(&self, machine: &Machine) -> Result<Vec<Measurement>> {
        let specs = self.suite.len() * self.sas.len() * self.workers.len();
        let steps = if self.compare { self.rounds * Direction::BOTH.len() } else { self.scope.len() };
        let bar = progress::bar(specs * self.sizes.len() * steps);
        let mut rows = Vec::new();
        for suite in &self.suite {
            let pairs =
                self.sas.iter().flat_map(|sas| self.workers.iter().map(move |workers| (sas, workers)));
            for (&count, &workers) in pairs {
                let count = count.max(usize::from(workers));
                let memory = gateway::key_memory(count * usize::from(workers))?;
                let engine = &*machine.engine.backend;
                let spec = SaSpec { suite: suite.suite()?, count, workers, engine, memory: &memory };
                for &size in &self.sizes {
                    bar.set_message(format!("{} {size}", spec.suite));
                    let raw = RawCost::measure(machine, spec.suite, size, self.runs)?;
                    let measured = self.measure(machine, &spec, size, &bar)?;
                    rows.extend(measured.into_iter().map(|row| row.with_raw(&raw)));
                }
            }
        }
        bar.finish_and_clear();
        Ok(rows)
    }

    fn measure(
        &self,
        machine: &Machine,
        spec: &SaSpec<'_>,
        size: Size,
        bar: &ProgressBar,
    ) -> Result<Vec<Measurement>> {
        if self.compare {
            let secgw = Secgw { program: self.secgw.clone() };
            return compare::measure(machine, &secgw, spec, size, self.rounds, bar);
        }
        let mut rows = Vec::new();
        for scope in &self.scope {
            rows.extend(match scope {
                Scope::Path => path::measure(machine, spec, size, self.runs)?,
                Scope::Worker => worker::measure(machine, spec, size, self.runs)?,
            });
            bar.inc(1);
        }
        Ok(rows)
    }

    /// What must be known before minutes are spent.
    fn check(&self) -> Result<()> {
        ensure!(self.sas.iter().all(|sas| (1..=MAX_SAS).contains(sas)), "--sas: each from 1 to {MAX_SAS}");
        if self.compare {
            for suite in &self.suite {
                let suite = suite.suite()?;
                ensure!(Secgw::has(suite), "--compare: ipsec-secgw does not have {suite}");
            }
            ensure!(self.sas == [1] && self.workers == [1], "--compare is for one SA and one worker");
            ensure!(self.rounds > 0, "--compare: at least one round");
        }
        Ok(())
    }

    /// The rows as a table or as JSON, and the plot.
    fn show(&self, engine: &str, rows: &[Measurement]) -> Result<()> {
        if self.json {
            println!("{}", serde_json::json!({ "engine": engine, "results": rows }));
        } else {
            println!("{engine}\n{}", table::render(rows)?);
        }
        if let Some(path) = &self.svg {
            plot::write(path, rows).with_context(|| format!("--svg {}", path.display()))?;
        }
        Ok(())
    }
}

fn suites(names: &[SuiteName]) -> Result<Vec<Suite>> {
    names.iter().map(|name| name.suite()).collect()
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    heap::prefer_huge_pages();
    if cli.engines {
        return engines::print();
    }
    if cli.rate.is_asked() {
        return cli.rate.run(&suites(&cli.suite)?, &cli.sizes, cli.json);
    }
    if cli.tables {
        return tables::print(cli.json);
    }
    if cli.handshakes {
        return handshakes::run(cli.tunnels, cli.charon.then_some(cli.rounds), cli.json);
    }
    if cli.rekeying {
        return handshakes::rekeying::run(cli.tunnels, cli.generations, cli.json);
    }
    if cli.handover {
        return handover::run(&suites(&cli.suite)?, &cli.sizes, cli.runs, cli.json);
    }
    cli.check()?;
    let baseline = cli.baseline.as_deref().map(Baseline::read).transpose()?;
    let most = cli.workers.iter().copied().max().unwrap_or(1);
    let machine = Machine::start(crypto::Preference::Auto, usize::from(most))?;
    if most > 1 && machine.eal.shares_cpus() {
        eprintln!(
            "{most} workers and the agent need {} CPUs, of which this machine has not so many to spare: \
             no ratio to one worker",
            most + 1
        );
    }
    let rows = cli.rows(&machine)?;
    cli.show(&machine.engine.description, &rows)?;
    if let Some(baseline) = baseline {
        eprintln!("{}", baseline.judge(&rows)?);
    }
    Ok(())
}
