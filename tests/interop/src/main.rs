//! The matrix against real peers: strongSwan, the Linux kernel, and ourselves, in network namespaces of this machine.
//!
//! Each scenario is a function of a fresh laboratory; one folder of `scenarios/` holds those of a kind.
#![forbid(unsafe_code)]

mod report;
#[path = "../scenarios/mod.rs"]
mod scenarios;
mod scene;

use anyhow::Result;
use clap::Parser;
use esplanade::lab::Lab;
use report::Report;
use std::process::ExitCode;
use std::time::Instant;

/// Real peers: strongSwan, the Linux kernel, and ourselves
#[derive(Debug, Parser)]
#[command(name = "interop")]
struct Options {
    /// Only scenarios whose name contains this
    #[arg(long, default_value = "")]
    filter: String,
    /// One scenario of each kind, as `cargo xtask test` runs them
    #[arg(long)]
    one_of_each: bool,
    /// Only print the names
    #[arg(long)]
    list: bool,
}

/// One row of the matrix.
pub(crate) struct Scenario {
    /// `kind/what`.
    pub(crate) name: String,
    /// Whether `--one-of-each` runs it.
    pub(crate) chosen: bool,
    run: Box<Run>,
}

/// What a scenario does.
type Run = dyn Fn(&Lab) -> Result<Report>;

impl Scenario {
    /// A scenario that returns what it measured: a note for its line, or more.
    pub(crate) fn new<R: Into<Report>>(
        name: impl Into<String>,
        run: impl Fn(&Lab) -> Result<R> + 'static,
    ) -> Self {
        Self { name: name.into(), chosen: false, run: Box::new(move |lab| run(lab).map(Into::into)) }
    }

    /// Marks it as the one of its kind that `cargo xtask test` runs.
    pub(crate) fn chosen(self) -> Self {
        Self { chosen: true, ..self }
    }
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let wanted = |s: &Scenario| s.name.contains(&options.filter) && (s.chosen || !options.one_of_each);
    let scenarios: Vec<Scenario> = scenarios::all().into_iter().filter(wanted).collect();
    if options.list {
        scenarios.iter().for_each(|scenario| println!("{}", scenario.name));
        return Ok(ExitCode::SUCCESS);
    }
    let (mut failed, mut sizes) = (0, Vec::new());
    for scenario in &scenarios {
        let start = Instant::now();
        let lab = Lab::new()?;
        let result = (scenario.run)(&lab);
        let seconds = start.elapsed().as_secs_f64();
        match result {
            Ok(report) => {
                println!("ok      {:<52} {seconds:>6.1} s  {}", scenario.name, report.note);
                sizes.extend(report.sizes);
            }
            Err(error) => {
                failed += 1;
                println!("FAILED  {:<52} {seconds:>6.1} s", scenario.name);
                error.chain().for_each(|cause| println!("{cause}\n"));
            }
        }
        lab.check_interrupt()?;
    }
    report::print_sizes(&sizes);
    println!("{} passed, {failed} failed", scenarios.len() - failed);
    Ok(if failed == 0 && !scenarios.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
