//! `esplanade import swanctl.conf FILE...`.

use super::private;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use gateway::import::{self, KeyFile, Options, Source};
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write strongSwan's connections as a document of ours; what it does not carry over goes to standard error
    ///
    /// Several files are read as one. The pre-shared keys are in the document, which is to be kept at mode 0600, unless
    /// --psk-files puts them into files of their own. Exit status 1 where the document is not valid as it is.
    ///
    /// Examples:
    ///   (umask 077; esplanade import swanctl.conf /etc/swanctl/swanctl.conf /etc/swanctl/conf.d/*.conf >esplanade.toml)
    ///   esplanade import swanctl.conf hq.conf --gateway-ip 192.0.2.1 --psk-files /etc/esplanade >esplanade.toml
    #[command(name = "swanctl.conf", verbatim_doc_comment)]
    Swanctl(Swanctl),
}

#[derive(Debug, Args)]
pub(super) struct Swanctl {
    /// Files of swanctl; their includes are not followed
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Our address where a connection has no local_addrs
    #[arg(long, value_name = "ADDRESS")]
    gateway_ip: Option<IpAddr>,
    /// Write each pre-shared key to FOLDER/CONNECTION.psk (mode 0600), and its path into the document
    #[arg(long, value_name = "FOLDER")]
    psk_files: Option<String>,
}

pub(super) fn run(command: &Command) -> Result<ExitCode> {
    let Command::Swanctl(Swanctl { files, gateway_ip, psk_files }) = command;
    let read = |file: &PathBuf| {
        let text = std::fs::read_to_string(file);
        let text = text.with_context(|| format!("cannot read {}", file.display()))?;
        Ok((file.display().to_string(), text))
    };
    let files: Vec<_> = files.iter().map(read).collect::<Result<_>>()?;
    let sources: Vec<_> = files.iter().map(|(name, text)| Source { name, text }).collect();
    let options = Options { gateway_ip: *gateway_ip, psk_files: psk_files.as_deref() };
    let imported = import::swanctl(&sources, options)?;
    for KeyFile { path, key } in &imported.key_files {
        private::create(Path::new(path))?.write_all(key.as_bytes())?;
        eprintln!("{path}: its pre-shared key");
    }
    for warning in &imported.warnings {
        eprintln!("{warning}");
    }
    print!("{}", *imported.document);
    let report = gateway::check(&imported.document, "the document");
    for error in &report.errors {
        eprintln!("{error}");
    }
    Ok(if report.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
