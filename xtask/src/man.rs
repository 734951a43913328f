//! `cargo xtask man`: the manual pages of the `esplanade` command.

use crate::run::{command, must, say, target_dir};
use anyhow::Result;

/// Builds the command and has it write its pages, where packages take them from.
pub(crate) fn write() -> Result<bool> {
    must(&mut command("cargo", &["build", "--release", "--locked", "-p", "esplanade"]))?;
    let program = target_dir().join("release/esplanade").to_string_lossy().into_owned();
    let folder = target_dir().join("release/man");
    must(&mut command(&program, &["man", "--into", &folder.to_string_lossy()]))?;
    say(&format!("manual pages: {}; read one with `man -l`", folder.display()));
    Ok(true)
}
