//! Running other programs, loudly: the command is shown, and a failure names it.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The workspace's root folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A step's headline, on standard error so that `--json` output stays clean.
pub(crate) fn say(text: &str) {
    eprintln!("==> {text}");
}

pub(crate) fn command<S: AsRef<OsStr>>(program: &str, args: &[S]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// Runs a command with its output shown, on standard error; `false` if it failed.
pub(crate) fn passes(command: &mut Command) -> Result<bool> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status =
        command.stdout(std::io::stderr()).status().with_context(|| format!("cannot start {name}"))?;
    Ok(status.success())
}

/// Runs a command with its output shown; a failure is an error that names it.
pub(crate) fn must(command: &mut Command) -> Result<()> {
    if !passes(command)? {
        bail!("failed: {}", shown(command));
    }
    Ok(())
}

/// Runs a command and returns what it printed on standard output; a failure is an error with what it said.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let out =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", shown(command)))?;
    if !out.status.success() {
        bail!("failed: {}\n{}", shown(command), String::from_utf8_lossy(&out.stderr));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
