//! `cargo xtask sim`: seeded runs of IKE gateways on a bad network.

use crate::checks::Tally;
use crate::run::{command, must, say, target_dir};
use crate::suite::counted;
use anyhow::Result;
use std::path::Path;

/// What CI runs: half a minute on two cores.
const CI: &[&str] = &["--runs", "10000", "--seed", "1"];

/// Builds the simulation and runs it with these arguments.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    // Its standard output is its result: it must not be mixed with this command's own.
    say("building the simulation (release)");
    must(&mut command("cargo", &["build", "--release", "--locked", "-p", "sim"]))?;
    Ok(command(&program(&target_dir().join("release")), args).status()?.success())
}

/// The runs of CI, by the program in that folder; each invariant counts as one test.
pub(crate) fn ci(programs: &Path) -> Result<Tally> {
    counted(&mut command(&program(programs), CI), |line| {
        let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        match words[..] {
            [_, "runs", invariants, "invariants", "checked", "failures", failed, ..] => {
                Some(Tally { passed: invariants.parse().ok()?, failed: failed.parse().ok()? })
            }
            _ => None,
        }
    })
}

fn program(folder: &Path) -> String {
    folder.join("sim").to_string_lossy().into_owned()
}
