//! `esplanade explain`: asks the data plane itself, which answers while control is down, too.

use super::Format;
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use shm::inspect::{Arrival, Explain, Explained, Inspector, Question, Record};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Where the data plane listens unless its configuration says otherwise.
const DEFAULT_DATAPLANE: &str = "/run/esplanade/dataplane.sock";

/// Where the data plane is.
#[derive(Debug, Clone, Args)]
pub(super) struct Dataplane {
    /// The data plane's socket
    #[arg(long, default_value = DEFAULT_DATAPLANE, env = "ESPLANADE_DATAPLANE", value_name = "SOCKET")]
    dataplane: PathBuf,
}

impl Dataplane {
    pub(super) fn inspect(&self) -> Result<Inspector> {
        Ok(Inspector::connect(&self.dataplane)?)
    }
}

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Source address
    src: IpAddr,
    /// Destination address
    dst: IpAddr,
    /// tcp, udp, icmp, esp, ... or a number
    #[arg(default_value = "icmp", value_parser = protocol)]
    protocol: u8,
    /// Source port
    #[arg(default_value_t = 0, requires = "dst_port")]
    src_port: u16,
    /// Destination port
    #[arg(default_value_t = 0)]
    dst_port: u16,
    /// The routing domain; that of the interface which fits the packet, if not given
    #[arg(long, value_name = "N")]
    vrf: Option<u16>,
    /// Length of the IP packet
    #[arg(long, value_name = "BYTES", default_value_t = 84, value_parser = clap::value_parser!(u16).range(40..=9216))]
    len: u16,
    /// The packet may be fragmented (IPv4)
    #[arg(long)]
    may_fragment: bool,
    /// Where it comes in
    #[arg(long, value_enum, default_value_t = Side::Inside)]
    inbound: Side,
    #[command(flatten)]
    dataplane: Dataplane,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Side {
    /// On an inside interface, in clear
    Inside,
    /// On an outside interface
    Outside,
}

/// A protocol by the name that people use, or by its number.
pub(super) fn protocol(text: &str) -> Result<u8, String> {
    let known =
        [("icmp", 1), ("tcp", 6), ("udp", 17), ("gre", 47), ("esp", 50), ("icmpv6", 58), ("sctp", 132)];
    let named = known.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    named.or_else(|| text.parse().ok()).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        format!("neither a number up to 255 nor one of {}", names.join(", "))
    })
}

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    let protocol = match options.protocol {
        1 if options.src.is_ipv6() => 58,
        other => other,
    };
    let question = Question::Explain(Explain {
        arrival: match options.inbound {
            Side::Inside => Arrival::Inside,
            Side::Outside => Arrival::Outside,
        },
        vrf: options.vrf,
        src: options.src,
        dst: options.dst,
        protocol,
        ports: (options.src_port, options.dst_port),
        len: options.len,
        dont_fragment: !options.may_fragment,
    });
    let mut inspector = options.dataplane.inspect()?;
    inspector.ask(&question)?;
    match inspector.next_record()? {
        Record::Explained(explained) => options.format.print(&explained, text),
        Record::Refused { message } => bail!("{message}"),
        _ => bail!("the data plane gave an answer of another release"),
    }
}

fn text(explained: &Explained) -> String {
    let mut out = format!("VRF {}, tables of version {}\n", explained.vrf, explained.tables);
    // Writing to a String cannot fail: the results are ignored throughout.
    for step in &explained.steps {
        let _ = writeln!(out, "  {:<10} {}", step.stage, step.found);
        for candidate in &step.passed_over.candidates {
            let _ = writeln!(out, "  {:<10}   not {candidate}", "");
        }
        if step.passed_over.more > 0 {
            let _ = writeln!(out, "  {:<10}   and {} more", "", step.passed_over.more);
        }
    }
    let _ = writeln!(out, "verdict: {}", explained.verdict.text);
    if let (Some(name), Some(help)) = (&explained.verdict.drop_reason, &explained.verdict.help) {
        let _ = writeln!(out, "  counted as {name}: {help}");
    }
    let names = explained.interfaces.iter().map(|i| format!("{} = {}", i.id, i.name));
    let _ = writeln!(out, "interfaces: {}", names.collect::<Vec<_>>().join(", "));
    out
}
