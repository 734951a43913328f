//! `esplanade completion` and `esplanade man`: what the command line says of itself, for shells and for man.

use super::Cli;
use anyhow::{Context, Result};
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Completion {
    /// The shell that will read it
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// The folder to write to; it is made where it is missing
    #[arg(long, value_name = "FOLDER")]
    into: PathBuf,
}

pub(super) fn completion(options: &Completion) -> ExitCode {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(options.shell, &mut command, name, &mut std::io::stdout());
    ExitCode::SUCCESS
}

/// One page for each command.
pub(super) fn man(options: &Man) -> Result<ExitCode> {
    let folder = &options.into;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    clap_mangen::generate_to(Cli::command(), folder)
        .with_context(|| format!("cannot write into {}", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    /// Every command that runs something, by its full name.
    fn leaves(command: &clap::Command, name: &str) -> Vec<(String, clap::Command)> {
        let children: Vec<_> = command.get_subcommands().filter(|child| child.get_name() != "help").collect();
        if children.is_empty() {
            return vec![(name.to_owned(), command.clone())];
        }
        children
            .into_iter()
            .flat_map(|child| leaves(child, &format!("{name} {}", child.get_name())))
            .collect()
    }

    #[test]
    fn the_help_of_every_command_has_an_example_of_it() {
        let all = leaves(&Cli::command(), "esplanade");
        assert!(all.len() > 25, "{} commands", all.len());
        for (name, command) in all {
            let about = command.get_long_about().map(ToString::to_string).unwrap_or_default();
            let example = about.split_once("Example").map(|(_, example)| example).unwrap_or_default();
            assert!(example.contains(&name), "`{name} --help` has no example of itself");
        }
    }

    #[test]
    fn completion_knows_the_commands_in_every_shell() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "esplanade", &mut script);
            let script = String::from_utf8(script).expect("text");
            for word in ["tunnel", "rekey", "resource-group"] {
                assert!(script.contains(word), "{shell}: no {word}");
            }
        }
    }

    #[test]
    fn every_command_has_a_manual_page() {
        let folder = tempfile::tempdir().expect("a folder");
        man(&Man { into: folder.path().join("man1") }).expect("written");
        for (name, _) in leaves(&Cli::command(), "esplanade") {
            let page = folder.path().join("man1").join(name.replace(' ', "-") + ".1");
            let page = std::fs::read_to_string(&page).unwrap_or_else(|_| panic!("no {}", page.display()));
            assert!(page.contains(".TH") && page.contains("Example"), "{name}");
        }
    }
}
