//! Building the programs, and the demo that runs them.

use crate::deps;
use crate::guest;
use crate::run::{command, must, say, target_dir};
use anyhow::Result;
use std::path::PathBuf;

/// The profile of what `cargo xtask test` builds.
pub(crate) const TESTED: &str = "ci";

/// Builds the three programs in release mode and returns the folder that holds them.
pub(crate) fn release() -> Result<PathBuf> {
    say("building esplanade, esplanade-dataplane and esplanade-controlplane (release)");
    let packages =
        ["-p", "esplanade", "-p", "esplanade-dataplane", "-p", "esplanade-controlplane", "-p", "interop"];
    must(command("cargo", &["build", "--release", "--locked"]).args(packages))?;
    Ok(target_dir().join("release"))
}

/// Builds every program and test once, as all steps of `cargo xtask test` run them, and returns the folder with the programs.
pub(crate) fn tested() -> Result<PathBuf> {
    say("building programs and tests (optimised, with the checks of debug code)");
    let all = ["--workspace", "--bins", "--tests"];
    must(command("cargo", &["build", "--locked", "--profile", TESTED]).args(all))?;
    Ok(target_dir().join(TESTED))
}

/// Installs, builds and runs `esplanade demo` with these arguments.
pub(crate) fn demo(args: &[String]) -> Result<bool> {
    let peer = args.iter().skip_while(|a| *a != "--peer").nth(1).map(String::as_str);
    let peer = peer.or_else(|| args.iter().find_map(|a| a.strip_prefix("--peer=")));
    let mut sets = vec![deps::BUILD, deps::RUN];
    if args.iter().any(|arg| arg.ends_with("two-hundred")) {
        sets.push(deps::STRONGSWAN);
    }
    match peer {
        Some("strongswan") => sets.push(deps::STRONGSWAN),
        Some("linux") => sets.extend([deps::STRONGSWAN, deps::GUEST]),
        _ => {}
    }
    deps::ensure(&sets)?;
    let programs = release()?;
    if peer == Some("linux") {
        guest::ensure(&guest::ONE)?;
    }
    let program = programs.join("esplanade").to_string_lossy().into_owned();
    let mut demo = deps::privileged(&program, &["demo"]);
    demo.args(args).env("ESPLANADE_GUEST", guest::folder());
    // The demo's standard output is its result: it must not be mixed with this command's own.
    Ok(demo.status()?.success())
}
