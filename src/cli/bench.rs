//! `esplanade bench`: the benchmark beside this program, with all its arguments.

use anyhow::{Context, Result};
use clap::Args;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Arguments of the benchmark; `--help` names them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    let program = std::env::current_exe()?.with_file_name("esplanade-bench");
    let error = Command::new(&program).args(&options.args).exec();
    Err(error).with_context(|| format!("{}: it is installed beside this program", program.display()))
}
