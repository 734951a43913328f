//! `esplanade connection peer-config NAME`.

use super::Format;
use anyhow::{Context, Result, bail};
use api::PeerConfig;
use clap::{Args, Subcommand};
use esplanade::client::Client;
use gateway::peer::Vendor;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print what the peer must be configured with, in the words of its software; the pre-shared key is part of it
    ///
    /// Examples:
    ///   esplanade connection peer-config hq --vendor strongswan
    ///   esplanade connection peer-config hq --vendor strongswan --into ./hq-peer
    #[command(verbatim_doc_comment)]
    PeerConfig(PeerOptions),
}

#[derive(Debug, Args)]
pub(super) struct PeerOptions {
    /// Connection
    name: String,
    /// The peer's software: strongswan; generic: a table of all parameters; json: the same for programs
    #[arg(long, value_parser = vendor, default_value = "generic", value_name = "NAME")]
    vendor: Vendor,
    /// Write the files, mode 0600, into this folder, which must not have them yet
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

fn vendor(name: &str) -> Result<Vendor, String> {
    let known = || Vendor::ALL.map(Vendor::name).join(", ");
    Vendor::from_name(name).ok_or_else(|| format!("known are {}", known()))
}

pub(super) fn run(client: &Client, command: &Command) -> Result<ExitCode> {
    let Command::PeerConfig(options) = command;
    let config: PeerConfig = client.get(&api::path::peer_config(&options.name, options.vendor.name()))?;
    if let Some(folder) = &options.into {
        write(&config, folder)?;
    }
    options.format.print(&config, |config| match &options.into {
        Some(_) => notes(config),
        None => print(config),
    })
}

/// Every file, one after the other; a single one as it is.
fn print(config: &PeerConfig) -> String {
    let mut out = match &config.files[..] {
        [only] => only.text.clone(),
        files => files.iter().map(|file| format!("##### {}\n{}\n", file.path, file.text)).collect(),
    };
    out += &notes(config);
    out
}

fn notes(config: &PeerConfig) -> String {
    config.notes.iter().map(|note| format!("# {note}\n")).collect()
}

fn write(config: &PeerConfig, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for file in &config.files {
        let Some(name) = Path::new(&file.path).file_name() else { bail!("{} names no file", file.path) };
        let path = folder.join(name);
        let mut out = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        out.write_all(file.text.as_bytes())?;
        eprintln!("{}: for {}", path.display(), file.path);
    }
    Ok(())
}
