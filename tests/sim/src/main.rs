//! Thousands of seeded runs, spread over the cores.
#![forbid(unsafe_code)]

use clap::Parser;
use sim::{Invariant, Tally};
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Failures that are shown in full.
const SHOWN: usize = 3;

/// IKE gateways on a virtual clock and a bad network, checked against a model
///
/// Each run draws gateways, network, faults and commands from its seed; the same seed is the same run.
///
/// Examples:
///   cargo xtask sim --runs 10000 --seed 1
///   cargo xtask sim --seed 4711 --runs 1 --trace
#[derive(Debug, Parser)]
#[command(name = "cargo xtask sim", verbatim_doc_comment)]
struct Cli {
    /// How many runs
    #[arg(long, default_value_t = 1_000)]
    runs: u64,
    /// Seed of the first run; the next have the numbers after it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print everything that happens
    #[arg(long)]
    trace: bool,
    /// Runs at the same time; 0: one on each core
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// End at the first failure
    #[arg(long)]
    fail_fast: bool,
}

/// What all runs together found.
#[derive(Debug, Default)]
struct Findings {
    tally: Tally,
    failures: Vec<(u64, String)>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let start = Instant::now();
    std::panic::set_hook(Box::new(|_| {}));
    let (findings, done) = campaign(&cli);
    let _ = std::panic::take_hook();
    report(&findings, done, start.elapsed().as_secs_f64());
    if findings.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All runs; gives how many were begun.
fn campaign(cli: &Cli) -> (Findings, u64) {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = if cli.jobs == 0 { cores } else { cli.jobs };
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let findings = Mutex::new(Findings::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= cli.runs {
                        return;
                    }
                    let failed = one(cli.seed.wrapping_add(at), cli.trace, &findings);
                    stop.fetch_or(failed && cli.fail_fast, Ordering::Relaxed);
                }
            });
        }
    });
    let findings = findings.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    (findings, next.into_inner().min(cli.runs))
}

/// One run; tells whether it failed.
fn one(seed: u64, trace: bool, findings: &Mutex<Findings>) -> bool {
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| sim::run(seed, trace)));
    let mut findings = findings.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match result {
        Ok(tally) => {
            findings.tally.add(&tally);
            false
        }
        Err(cause) => {
            let text = cause.downcast_ref::<String>().cloned();
            let text = text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            findings.failures.push((seed, text.unwrap_or_default()));
            true
        }
    }
}

fn report(findings: &Findings, done: u64, seconds: f64) {
    for (at, (seed, why)) in findings.failures.iter().enumerate() {
        let headline = why.lines().next().unwrap_or_default();
        println!("FAILED seed {seed}: {headline}");
        if at < SHOWN {
            why.lines().skip(1).for_each(|line| println!("  {line}"));
        }
        println!("  replay: cargo xtask sim --seed {seed} --runs 1 --trace");
    }
    for invariant in Invariant::ALL {
        println!("{:<40}{:>14} checks", invariant.name(), findings.tally.of(invariant));
    }
    let failures = findings.failures.len();
    println!("{done} runs, {} invariants checked, failures {failures}, {seconds:.1} s", Invariant::ALL.len());
}
