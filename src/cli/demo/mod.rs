//! `esplanade demo`: what the gateway does, shown on this machine.

mod control_restart;
mod tunnel;
mod two_hundred;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub(super) struct Options {
    /// What is shown
    #[arg(long, value_enum, default_value = "tunnel")]
    scenario: Scenario,
    /// Who is at the other end of the tunnel scenario
    #[arg(long, value_enum, default_value = "esplanade")]
    peer: Who,
    /// Seconds of its TCP traffic in each direction
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// How the gateway's ports reach the machine's network
    #[arg(long, value_enum, default_value = "tap")]
    device: Device,
    /// Tunnels of the two-hundred scenario
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=1000))]
    tunnels: u16,
    /// Print one JSON object at the end, and no progress
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// From nothing to measured traffic
    Tunnel,
    /// The control plane is killed 20 times under traffic, most often in the middle of an exchange
    ControlRestart,
    /// 200 tunnels to several strongSwans under traffic, of which one is edited
    TwoHundred,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Who {
    /// Another Esplanade
    Esplanade,
    /// strongSwan with ESP in user space
    Strongswan,
    /// strongSwan on a Linux kernel, in a User Mode Linux guest
    Linux,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Device {
    /// DPDK's net_tap
    Tap,
    /// DPDK's net_af_packet on a veth
    AfPacket,
}

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    let sound = match options.scenario {
        Scenario::Tunnel => tunnel::run(options)?,
        Scenario::TwoHundred => two_hundred::run(options)?,
        Scenario::ControlRestart => control_restart::run(options)?,
    };
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Steps as a person sees them: what is done, then how long it took.
struct Steps {
    quiet: bool,
}

impl Steps {
    fn run<T>(&self, name: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let bar = self.bar(name);
        let value = step().with_context(|| name.to_owned());
        bar.finish_and_clear();
        let value = value?;
        self.done(name, start.elapsed());
        Ok(value)
    }

    fn bar(&self, name: &str) -> ProgressBar {
        if self.quiet {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::new_spinner().with_style(style).with_message(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }

    fn done(&self, name: &str, time: Duration) {
        if !self.quiet {
            eprintln!("{:>8.2} s  {name}", time.as_secs_f64());
        }
    }
}
