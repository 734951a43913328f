//! The command line.

mod actions;
mod bench;
mod capture;
mod check;
mod config;
mod connection;
mod demo;
mod diagnose;
mod doctor;
mod events;
mod exit;
mod explain;
mod human;
mod import;
mod manual;
mod object;
mod private;
mod runtime;
#[cfg(test)]
mod samples;
mod sas;
mod select;
mod show;
mod token;
mod top;
mod trace;
mod transaction;
mod tunnel;
mod up;
mod version;
mod watch;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use esplanade::client::{Client, DEFAULT_SOCKET, Remote, Url};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) use exit::Exit;

/// Esplanade: an IPsec VPN gateway on DPDK
#[derive(Debug, Parser)]
#[command(name = "esplanade", version, about, max_term_width = 110)]
pub(crate) struct Cli {
    /// The control plane's socket
    #[arg(long, global = true, default_value = DEFAULT_SOCKET, env = "ESPLANADE_SOCKET", value_name = "PATH")]
    socket: PathBuf,
    /// Ask a gateway over TLS, https://HOST:PORT; with --ca and --token-file
    #[arg(long, global = true, env = "ESPLANADE_URL", value_name = "URL", conflicts_with = "socket")]
    url: Option<Url>,
    /// Certificates of CAs that the gateway may be of, in PEM: what `esplanade show ca` prints there
    #[arg(long, global = true, env = "ESPLANADE_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// File with the token for --url, of mode 0600
    #[arg(long, global = true, env = "ESPLANADE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

/// Every command that prints a result can print it as JSON.
#[derive(Debug, Args, Clone, Copy)]
pub(crate) struct Format {
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

impl Format {
    /// Prints a value as JSON if that is asked for, else as `text` writes it.
    fn print<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<ExitCode> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(value)?);
        } else {
            print!("{}", text(value));
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a tunnel between two gateways of this machine, with real traffic through it
    ///
    /// Examples:
    ///   sudo esplanade demo --peer strongswan --seconds 10
    ///   sudo esplanade demo --scenario control-restart --json
    ///   sudo esplanade demo --scenario two-hundred --json
    #[command(verbatim_doc_comment)]
    Demo(demo::Options),
    /// Run both daemons in the foreground from one file; Ctrl-C stops them
    ///
    /// Examples:
    ///   sudo esplanade up --config /etc/esplanade/esplanade.toml
    ///   sudo esplanade up --config /etc/esplanade/esplanade.toml --state /var/lib/esplanade
    #[command(verbatim_doc_comment)]
    Up(up::Options),
    /// List IKE SAs and their CHILD_SAs
    ///
    /// Example:  esplanade list-sas --connection hq --json
    #[command(verbatim_doc_comment)]
    ListSas(sas::Options),
    /// Show counters, ports, drop reasons, neighbours, certificates, or what the workers do with their time
    ///
    /// Examples:
    ///   esplanade show errors
    ///   esplanade show counters --json
    ///   esplanade show certificates
    ///   esplanade show runtime --watch 1
    #[command(verbatim_doc_comment)]
    Show(show::Options),
    /// Tell why a connection is not up: the parameter, its value here and as the peer sent it, and the change that mends it
    ///
    /// Exit status 2 when a tunnel is down.
    ///
    /// Examples:
    ///   esplanade diagnose hq
    ///   esplanade diagnose hq --all --json
    ///   esplanade diagnose hq --tunnel 1 --record hq.json
    ///   esplanade diagnose --replay hq.json
    #[command(verbatim_doc_comment)]
    Diagnose(diagnose::Options),
    /// Ask the data plane what becomes of a packet, and why; it answers without the control plane, too
    ///
    /// Examples:
    ///   esplanade explain 10.1.0.9 10.2.0.9 tcp 40000 443
    ///   esplanade explain 192.0.2.7 192.0.2.1 udp 500 500 --inbound outside
    #[command(verbatim_doc_comment)]
    Explain(explain::Options),
    /// Show what the data plane does with packets as they pass: each stage, and what it decided
    ///
    /// Examples:
    ///   esplanade trace --spi 0xc4a91b02 --count 5
    ///   esplanade trace --src 10.1.0.9 --dst 10.2.0.0/16 --proto tcp --dport 443
    ///   esplanade trace --drop replay_old --seconds 60 --json
    #[command(verbatim_doc_comment)]
    Trace(trace::Options),
    /// Write packets to a file as they are at one point of the data plane, with SPI and drop reason as comments
    ///
    /// Points: frames of outside or inside interfaces; IP packets before encryption and after decryption
    /// (pre-crypto, in clear!), or after encryption and before decryption (post-crypto).
    ///
    /// Examples:
    ///   esplanade capture --point outside -w outside.pcapng --seconds 30
    ///   esplanade capture --point pre-crypto --spi 0xc4a91b02 --count 100 -w clear.pcapng
    ///   esplanade capture --point post-crypto --drop replay_old -w replays.pcapng
    #[command(verbatim_doc_comment)]
    Capture(capture::Options),
    /// Negotiate a connection now
    ///
    /// Example:  esplanade initiate hq
    #[command(verbatim_doc_comment)]
    Initiate(actions::Target),
    /// Rekey a connection's CHILD_SAs, or with --ike its IKE SA
    ///
    /// Example:  esplanade rekey hq --ike
    #[command(verbatim_doc_comment)]
    Rekey(actions::Rekey),
    /// Delete a connection's SAs; it stays configured
    ///
    /// Example:  esplanade terminate hq
    #[command(verbatim_doc_comment)]
    Terminate(actions::Target),
    /// Tunnels: what they are doing, and what they shall do
    #[command(subcommand)]
    Tunnel(tunnel::Command),
    /// Watch tunnels, workers and what happens to them, live
    ///
    /// Keys: q quits, s sorts by the next column, r turns the order, / filters by name, d shows what is down only,
    /// p pauses, arrows and page keys move.
    ///
    /// Examples:
    ///   esplanade top
    ///   esplanade top --sort in --filter osaka
    ///   esplanade top --once
    #[command(verbatim_doc_comment)]
    Top(top::Options),
    /// Tell what happens to SAs, tunnels and the configuration, as it happens; Ctrl-C ends it
    ///
    /// Examples:
    ///   esplanade events
    ///   esplanade events --connection hq --kind tunnel,ike-sa-rekeyed
    ///   esplanade events --kind config --json
    #[command(verbatim_doc_comment)]
    Events(events::Options),
    /// VPN gateways: our addresses, at which tunnels begin
    #[command(subcommand)]
    Gateway(object::Gateway),
    /// Customer gateways: the peers
    #[command(subcommand)]
    CustomerGateway(object::CustomerGateway),
    /// Connections and their peers
    #[command(subcommand)]
    Connection(connection::Command),
    /// Bearer tokens: who may use the API beside the users of this machine
    #[command(subcommand)]
    Token(token::Command),
    /// Measure cycles per packet and packet rates of the data plane on this machine
    ///
    /// Examples:
    ///   sudo esplanade bench --suite aes128gcm --sizes 256,1400
    ///   sudo esplanade bench --json >before.json
    ///   sudo esplanade bench --baseline before.json
    #[command(verbatim_doc_comment, disable_help_flag = true)]
    Bench(bench::Options),
    /// Check a configuration, compare it with the one in force, put it into force
    #[command(subcommand)]
    Config(config::Command),
    /// Read another daemon's configuration into a document of ours
    #[command(subcommand)]
    Import(import::Command),
    /// Check this machine: hugepages, NICs, processor, limits; each finding with its fix
    ///
    /// Example:  esplanade doctor --json
    #[command(verbatim_doc_comment)]
    Doctor(Format),
    /// Print the completion script of a shell
    ///
    /// Examples:
    ///   esplanade completion bash >/etc/bash_completion.d/esplanade
    ///   esplanade completion zsh >/usr/share/zsh/site-functions/_esplanade
    ///   esplanade completion fish >~/.config/fish/completions/esplanade.fish
    #[command(verbatim_doc_comment)]
    Completion(manual::Completion),
    /// Write the manual pages, one for each command
    ///
    /// Example:  esplanade man --into /usr/local/share/man/man1
    #[command(verbatim_doc_comment)]
    Man(manual::Man),
    /// Print the versions of this program and of DPDK
    ///
    /// Example:  esplanade version --json
    #[command(verbatim_doc_comment)]
    Version(Format),
}

impl Cli {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let client = match self.url {
            Some(url) => Client::remote(Remote { url, ca: self.ca, token: self.token_file }),
            None => Client::new(&self.socket),
        };
        match self.command {
            Command::Demo(options) => demo::run(&options),
            Command::Up(options) => up::run(&options),
            Command::ListSas(options) => sas::run(&client, &options),
            Command::Show(options) => show::run(&client, options),
            Command::Diagnose(options) => diagnose::run(&client, &options),
            Command::Explain(options) => explain::run(&options),
            Command::Trace(options) => trace::run(&options),
            Command::Capture(options) => capture::run(&options),
            Command::Initiate(target) => actions::initiate(&client, &target),
            Command::Rekey(rekey) => actions::rekey(&client, &rekey),
            Command::Terminate(target) => actions::terminate(&client, &target),
            Command::Bench(options) => bench::run(&options),
            Command::Tunnel(command) => tunnel::run(&client, &command),
            Command::Top(options) => top::run(&client, &options),
            Command::Events(options) => events::run(&client, &options),
            Command::Gateway(command) => object::gateway(&client, &command),
            Command::CustomerGateway(command) => object::customer_gateway(&client, &command),
            Command::Connection(command) => connection::run(&client, &command),
            Command::Token(command) => token::run(&client, &command),
            Command::Config(command) => config::run(&client, &command),
            Command::Import(command) => import::run(&command),
            Command::Doctor(format) => doctor::run(format),
            Command::Completion(options) => Ok(manual::completion(&options)),
            Command::Man(options) => manual::man(&options),
            Command::Version(format) => version::run(format),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_is_well_formed() {
        Cli::command().debug_assert();
    }
}
