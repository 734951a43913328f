//! What `trace` and `capture` have in common: which packets, for how long, and how they arrive.

use super::explain::{Dataplane, protocol};
use anyhow::{Result, bail};
use clap::Args;
use shm::inspect::{Filter, Inspector, Network, Question, Record};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often the end of a stream is looked for while nothing comes.
const TICK: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(super) struct Watch {
    /// Only packets of the SA with this SPI on either side, as list-sas shows it
    #[arg(long, value_name = "HEX", value_parser = spi)]
    spi: Option<u32>,
    /// Only packets from this address or network; inner or outer header
    #[arg(long, value_name = "ADDRESS", value_parser = network)]
    src: Option<Network>,
    /// Only packets to this address or network
    #[arg(long, value_name = "ADDRESS", value_parser = network)]
    dst: Option<Network>,
    /// Only this protocol: tcp, udp, icmp, esp, ... or a number
    #[arg(long, value_name = "PROTOCOL", value_parser = protocol)]
    proto: Option<u8>,
    /// Only packets from this port
    #[arg(long, value_name = "PORT")]
    sport: Option<u16>,
    /// Only packets to this port
    #[arg(long, value_name = "PORT")]
    dport: Option<u16>,
    /// Only packets that are dropped for this reason, named as in "show errors"
    #[arg(long = "drop", value_name = "REASON")]
    drop_reason: Option<String>,
    /// End after this many packets
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    #[command(flatten)]
    dataplane: Dataplane,
}

/// Records as they come, until enough have, the time is up, or Ctrl-C.
pub(super) struct Stream {
    inspector: Inspector,
    stop: Arc<AtomicBool>,
    deadline: Option<Instant>,
    left: u64,
    lost: u64,
}

/// What a stream brings.
pub(super) enum Next {
    Record(Record),
    /// Nothing at the moment.
    Quiet,
    End,
}

impl Watch {
    pub(super) fn filter(&self) -> Filter {
        let Self { spi, src, dst, proto, sport, dport, drop_reason, .. } = self;
        Filter {
            spi: *spi,
            src: *src,
            dst: *dst,
            protocol: *proto,
            src_port: *sport,
            dst_port: *dport,
            drop_reason: drop_reason.clone(),
        }
    }

    /// Begins to watch.
    pub(super) fn stream(&self, question: &Question) -> Result<Stream> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        let mut inspector = self.dataplane.inspect()?;
        inspector.ask(question)?;
        match inspector.next_record()? {
            Record::Watching => {}
            Record::Refused { message } => bail!("{message}"),
            _ => bail!("the data plane gave an answer of another release"),
        }
        let deadline = self.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        Ok(Stream { inspector, stop, deadline, left: self.count.unwrap_or(u64::MAX), lost: 0 })
    }
}

impl Stream {
    /// The next packet, which counts; losses are counted on the way.
    pub(super) fn next(&mut self) -> Result<Next> {
        let now = Instant::now();
        let patience =
            self.deadline.map_or(TICK, |deadline| deadline.saturating_duration_since(now).min(TICK));
        if self.left == 0 || patience.is_zero() || self.stop.load(Ordering::Relaxed) {
            return Ok(Next::End);
        }
        match self.inspector.record_within(patience)? {
            None => Ok(Next::Quiet),
            Some(Record::Lost { records }) => {
                self.lost += records;
                Ok(Next::Quiet)
            }
            Some(record) => {
                self.left -= 1;
                Ok(Next::Record(record))
            }
        }
    }

    /// Says how much was lost, if anything was.
    pub(super) fn report_losses(&self) {
        if self.lost > 0 {
            eprintln!("{} packets found no room on their way here: ask for fewer", self.lost);
        }
    }
}

/// An SPI as it is shown, with or without 0x.
fn spi(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u32::from_str_radix(digits, 16).map_err(|_| "not up to eight hexadecimal digits".to_owned())
}

/// An address, or one with the length of a network.
fn network(text: &str) -> Result<Network, String> {
    let (address, len) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().map_err(|_| "not an address or ADDRESS/LENGTH".to_owned())?;
    let max = if address.is_ipv4() { 32 } else { 128 };
    let len = if text.contains('/') { len.parse().ok() } else { Some(max) };
    match len {
        Some(len) if len <= max => Ok(Network { address, len }),
        _ => Err(format!("the length is 0 to {max}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spis_and_networks_are_read_as_they_are_shown() {
        assert_eq!(spi("0xc0ffee01"), Ok(0xc0ff_ee01));
        assert_eq!(spi("00001000"), Ok(0x1000));
        assert!(spi("0x1c0ffee01").is_err() && spi("").is_err() && spi("-1").is_err());
        let v4 = |a: &str, len| Network { address: a.parse().unwrap(), len };
        assert_eq!(network("10.1.0.9"), Ok(v4("10.1.0.9", 32)));
        assert_eq!(network("10.1.0.0/16"), Ok(v4("10.1.0.0", 16)));
        assert_eq!(network("2001:db8::/32"), Ok(v4("2001:db8::", 32)));
        assert!(network("10.1.0.0/33").is_err() && network("10.1.0.0/").is_err() && network("x").is_err());
    }
}
