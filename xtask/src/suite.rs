//! `cargo xtask test`: every check and test, counted to one closing line.

use crate::checks::{self, Tally};
use crate::run::{command, root, say, target_dir};
use crate::{build, deps, guest, openapi, sim};
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Installs what is missing, then checks, unit tests, the model of `rcu`, and one scenario of each kind against real peers.
pub(crate) fn test() -> Result<bool> {
    deps::ensure(&[deps::BUILD, deps::RUN, deps::STRONGSWAN, deps::GUEST, deps::TEST])?;
    let mut tally = Tally::default();
    let mut timed = |name: &str, step: &mut dyn FnMut() -> Result<Tally>| -> Result<()> {
        let start = Instant::now();
        let result = step()?;
        tally.add(result);
        say(&format!(
            "{name}: {} passed, {} failed, {:.0} s",
            result.passed,
            result.failed,
            start.elapsed().as_secs_f64()
        ));
        Ok(())
    };
    timed("checks", &mut checks::all)?;
    let programs = build::tested()?;
    timed("unit and integration tests", &mut || {
        let tests = ["test", "--workspace", "--locked", "--no-fail-fast", "--profile", build::TESTED];
        cargo_test(&mut command("cargo", &tests))
    })?;
    timed("rcu model", &mut rcu_model)?;
    timed("simulation", &mut || sim::ci(&programs))?;
    timed("API by its document", &mut || openapi::drive(openapi::SECONDS, &programs))?;
    timed("real peers", &mut || run_interop(&programs, &["--one-of-each".to_owned()]))?;
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(tally.failed == 0)
}

/// The real code of `rcu` under loom, which tries the interleavings.
fn rcu_model() -> Result<Tally> {
    let mut model = command("cargo", &["test", "-p", "rcu", "--locked", "--release", "--test", "model"]);
    model.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", target_dir().join("loom"));
    cargo_test(&mut model)
}

/// Runs the matrix against real peers with these arguments of its runner.
pub(crate) fn interop(args: &[String]) -> Result<bool> {
    deps::ensure(&[deps::BUILD, deps::RUN, deps::STRONGSWAN, deps::GUEST, deps::TEST])?;
    let tally = run_interop(&build::release()?, args)?;
    Ok(tally.failed == 0)
}

fn run_interop(programs: &Path, args: &[String]) -> Result<Tally> {
    let chosen = args.iter().any(|arg| arg == "--one-of-each" || arg == "--list");
    guest::ensure(if chosen { &guest::ONE } else { &guest::ALL })?;
    let program = programs.join("interop").to_string_lossy().into_owned();
    let mut runner = deps::privileged(&program, args);
    runner.env("ESPLANADE_GUEST", guest::folder());
    counted(&mut runner, |line| {
        let words: Vec<&str> = line.split([' ', ',']).filter(|w| !w.is_empty()).collect();
        match words[..] {
            [passed, "passed", failed, "failed", ..] => {
                Some(Tally { passed: passed.parse().ok()?, failed: failed.parse().ok()? })
            }
            _ => None,
        }
    })
}

/// Runs a `cargo test` and adds up the closing line of every test program.
fn cargo_test(tests: &mut Command) -> Result<Tally> {
    counted(tests, |line| {
        let rest = line.strip_prefix("test result:")?;
        let number =
            |word: &str| rest.split_once(word)?.0.rsplit([' ', ';']).find(|w| !w.is_empty())?.parse().ok();
        Some(Tally { passed: number(" passed")?, failed: number(" failed")? })
    })
}

/// Runs a command, shows its output on standard error, and adds up what `read` finds in its lines.
///
/// A command that fails without naming a failed test (one that does not compile, say) counts as one failure.
pub(crate) fn counted(run: &mut Command, read: impl Fn(&str) -> Option<Tally>) -> Result<Tally> {
    let mut child = run
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start")?;
    let mut tally = Tally::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            eprintln!("{line}");
            if let Some(found) = read(&line) {
                tally.add(found);
            }
        }
    }
    if !child.wait()?.success() && tally.failed == 0 {
        tally.failed += 1;
    }
    Ok(tally)
}
