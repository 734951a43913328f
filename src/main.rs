//! `esplanade`: the operator's command.
#![forbid(unsafe_code)]

mod cli;

use clap::Parser as _;
use cli::Exit;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = match cli::Cli::try_parse() {
        Ok(command) => command,
        Err(usage) => {
            // Help and version, too, come this way; a closed standard output does not matter.
            let _ = usage.print();
            return if usage.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    command.run().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        Exit::of(&error).into()
    })
}
