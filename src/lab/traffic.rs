//! Traffic between hosts: ping and iperf3, as users run them.

use super::{Lab, Namespace};
use anyhow::{Context, Result};
use std::time::Duration;

/// The bytes that every ping of a laboratory carries: seen on the outside link, they are a leak.
pub(super) const MARKER: [u8; 8] = [0x5e, 0xc2, 0xe7, 0x91, 0x3d, 0xa6, 0x48, 0x0f];

/// What a ping came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ping {
    /// Echo requests sent.
    pub sent: u32,
    /// Echo replies received.
    pub received: u32,
}

impl Ping {
    /// Pings `to` from `from` (an address of the namespace), `count` times, `interval` apart, with `size` bytes of payload.
    ///
    /// # Errors
    /// If ping cannot run; lost packets are no error.
    pub fn run(
        host: &Namespace,
        from: &str,
        to: &str,
        count: u32,
        interval: Duration,
        size: u16,
    ) -> Result<Self> {
        Self::with(host, from, to, count, interval, size, &[])
    }

    /// As [`Ping::run`], with more of ping's options, as `-M do`.
    ///
    /// # Errors
    /// As [`Ping::run`].
    pub fn with(
        host: &Namespace,
        from: &str,
        to: &str,
        count: u32,
        interval: Duration,
        size: u16,
        more: &[&str],
    ) -> Result<Self> {
        let pattern: String = MARKER.iter().map(|byte| format!("{byte:02x}")).collect();
        let (count, interval, size) =
            (count.to_string(), interval.as_secs_f64().to_string(), size.to_string());
        let usual =
            ["-q", "-n", "-c", &count, "-i", &interval, "-s", &size, "-W", "2", "-p", &pattern, "-I", from];
        let out = host.command("ping").args(usual).args(more).arg(to).output().context("ping")?;
        let said = String::from_utf8_lossy(&out.stdout);
        Self::read(&said)
            .with_context(|| format!("ping {from} -> {to}: {said}{}", String::from_utf8_lossy(&out.stderr)))
    }

    /// Reads ping's summary: `5 packets transmitted, 5 received, 0% packet loss, time 805ms`.
    #[must_use]
    pub fn read(summary: &str) -> Option<Self> {
        let line = summary.lines().find(|line| line.contains("packets transmitted"))?;
        let number = |end: &str| line.split(", ").find_map(|part| part.strip_suffix(end))?.parse().ok();
        Some(Self { sent: number(" packets transmitted")?, received: number(" received")? })
    }

    /// Lost packets in percent of those sent.
    #[must_use]
    pub fn loss_percent(self) -> f64 {
        f64::from(self.sent.saturating_sub(self.received)) * 100.0 / f64::from(self.sent.max(1))
    }
}

/// TCP throughput by iperf3.
#[derive(Debug, Clone, Copy)]
pub struct Tcp {
    /// What the receiver got, in Mbit/s.
    pub mbit_per_s: f64,
}

impl Tcp {
    /// One TCP stream from `client` (its address second) to `server` for some seconds; `reverse` turns the direction of the data.
    ///
    /// # Errors
    /// What iperf3 said.
    pub fn run(
        lab: &Lab,
        client: (&Namespace, &str),
        server: (&Namespace, &str),
        seconds: u32,
        reverse: bool,
    ) -> Result<Self> {
        let log = lab.folder().join("iperf3.log");
        let _listener = server.0.start("iperf3", &["-s", "-1", "-B", server.1], &log)?;
        lab.wait_for("iperf3 to listen", Duration::from_secs(5), || {
            Ok(server.0.run("ss", &["-ltnH", "sport", "=", "5201"])?.contains("5201").then_some(()))
        })?;
        Self::to(client, server.1, seconds, reverse)
    }

    /// As [`Tcp::run`], to a server that already listens.
    ///
    /// # Errors
    /// What iperf3 said.
    pub fn to(client: (&Namespace, &str), server: &str, seconds: u32, reverse: bool) -> Result<Self> {
        let seconds = seconds.to_string();
        let mut command = client.0.command("iperf3");
        command.args(["-c", server, "-B", client.1, "-t", &seconds, "-J", "--connect-timeout", "5000"]);
        if reverse {
            command.arg("-R");
        }
        let out = command.output().context("iperf3")?;
        Self::read(&String::from_utf8_lossy(&out.stdout))
    }

    /// Reads iperf3's JSON report.
    pub(super) fn read(json: &str) -> Result<Self> {
        let report: serde_json::Value =
            serde_json::from_str(json).with_context(|| format!("iperf3 printed: {json}"))?;
        let bits = report["end"]["sum_received"]["bits_per_second"].as_f64();
        let bits =
            bits.with_context(|| format!("iperf3: {}", report["error"].as_str().unwrap_or("no result")))?;
        Ok(Self { mbit_per_s: (bits / 1e4).round() / 100.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ping_summary() {
        let summary = "--- 10.2.0.1 ping statistics ---\n5 packets transmitted, 4 received, 20% packet loss, time 805ms\n";
        assert_eq!(Ping::read(summary), Some(Ping { sent: 5, received: 4 }));
        assert_eq!(
            Ping::read("5 packets transmitted, 0 received, +5 errors, 100% packet loss"),
            Some(Ping { sent: 5, received: 0 })
        );
        assert_eq!(Ping::read("ping: unknown host"), None);
    }
}
