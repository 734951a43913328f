//! `cargo xtask fuzz-smoke`: every fuzz target for a while, from its committed corpus.

use crate::deps;
use crate::run::{command, must, output, root, say, target_dir};
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;

/// Runs every target for `seconds`; what one finds lies in `tests/fuzz/artifacts` and fails the run.
///
/// cargo-fuzz asks for a nightly compiler only for its sanitizers, which code without `unsafe` needs little:
/// the stable one builds the coverage counters too when told that it may.
pub(crate) fn smoke(seconds: u32) -> Result<bool> {
    deps::ensure(&[deps::BUILD])?;
    if output(&mut command("cargo", &["fuzz", "--version"])).is_err() {
        say("installing cargo-fuzz");
        must(&mut command("cargo", &["install", "--locked", "cargo-fuzz"]))?;
    }
    let targets = targets()?;
    let mut failed = 0;
    for target in &targets {
        let found = work_folder(target)?;
        let committed = folder().join("corpus").join(target);
        let limit = format!("-max_total_time={seconds}");
        let folders = [found.to_string_lossy(), committed.to_string_lossy()];
        let mut fuzz = command("cargo", &["fuzz", "run", "--fuzz-dir", "tests/fuzz", "--sanitizer", "none"]);
        fuzz.args([target, &*folders[0], &*folders[1], "--", &limit, "-print_final_stats=1", "-timeout=10"]);
        fuzz.env("RUSTC_BOOTSTRAP", "1").current_dir(root());
        let passed = must(&mut fuzz).is_ok();
        say(&format!("{target}: {}", if passed { "nothing found" } else { "FAILED" }));
        failed += u32::from(!passed);
    }
    println!("{} passed, {failed} failed", targets.len() - failed as usize);
    Ok(failed == 0)
}

fn folder() -> PathBuf {
    root().join("tests/fuzz")
}

/// The targets by the names of their files.
fn targets() -> Result<Vec<String>> {
    let files = std::fs::read_dir(folder().join("fuzz_targets")).context("tests/fuzz/fuzz_targets")?;
    let mut names = Vec::new();
    for file in files {
        let path = file?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    ensure!(!names.is_empty(), "no fuzz target in {}", folder().display());
    Ok(names)
}

/// Where a run keeps the inputs it finds: not among the committed ones.
fn work_folder(target: &str) -> Result<PathBuf> {
    let folder = target_dir().join("fuzz-corpus").join(target);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
