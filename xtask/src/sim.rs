//! `cargo xtask sim`: seeded runs of IKE gateways on a bad network.

use crate::checks::Tally;
use crate::run::{command, must, say, target_dir};
use crate::suite::counted;
use anyhow::Result;
use std::process::Command;

/// What CI runs: half a minute on two cores.
const CI: &[&str] = &["--runs", "10000", "--seed", "1"];

/// Builds the simulation and runs it with these arguments.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    // Its standard output is its result: it must not be mixed with this command's own.
    Ok(program()?.args(args).status()?.success())
}

/// The runs of CI; each invariant counts as one test.
pub(crate) fn ci() -> Result<Tally> {
    counted(program()?.args(CI), |line| {
        let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        match words[..] {
            [_, "runs", invariants, "invariants", "checked", "failures", failed, ..] => {
                Some(Tally { passed: invariants.parse().ok()?, failed: failed.parse().ok()? })
            }
            _ => None,
        }
    })
}

/// In release mode: debug code takes twenty times as long.
fn program() -> Result<Command> {
    say("building the simulation (release)");
    must(&mut command("cargo", &["build", "--release", "--locked", "-p", "sim"]))?;
    let none: &[&str] = &[];
    Ok(command(&target_dir().join("release/sim").to_string_lossy(), none))
}
