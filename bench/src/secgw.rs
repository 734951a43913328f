//! DPDK's example gateway, ipsec-secgw, on the same devices and packets.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use crypto::Suite;

use crate::gateway::{NEIGHBOUR_MAC, Side, keys, spi};
use crate::machine::tsc_hz;
use crate::report::Direction;

/// Seconds between two of its statistics; the first ones are warm-up.
const WARM_UP: usize = 1;

/// Where the program is, as `cargo xtask bench` builds it.
pub(crate) struct Secgw {
    pub(crate) program: PathBuf,
}

impl Secgw {
    /// True if it knows the suite.
    pub(crate) fn has(suite: Suite) -> bool {
        algorithms(suite).is_some()
    }

    /// Plays the capture to it for so many seconds; returns the TSC cycles of CPU time that a packet took.
    pub(crate) fn sustain(
        &self,
        suite: Suite,
        direction: Direction,
        capture: &Path,
        seconds: usize,
    ) -> Result<f64> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("secgw.cfg");
        fs::write(&config, configuration(suite, direction)?)?;
        let mut running = Running(self.command(direction, capture, &config).spawn().context("ipsec-secgw")?);
        running.observe(seconds)
    }

    fn command(&self, direction: Direction, capture: &Path, config: &Path) -> Command {
        // Into a pipe, it would tell its statistics only when its buffer is full.
        let mut command = Command::new("stdbuf");
        command.arg("-oL").arg(&self.program);
        let unprotected = match direction {
            Direction::Encap => "0x2",
            Direction::Decap => "0x1",
        };
        // Port 0 plays, port 1 swallows; one lcore, on the CPU that our worker has.
        command.args(["-l", "0", "--no-huge", "-m", "1024", "--no-pci", "--no-telemetry", "--no-shconf"]);
        command.args(["--vdev", &format!("net_pcap0,rx_pcap={},infinite_rx=1", capture.display())]);
        command.args([
            "--vdev",
            "net_null0,no-rx=1",
            "--vdev",
            "crypto_aesni_gcm0",
            "--vdev",
            "crypto_aesni_mb0",
        ]);
        command.args(["--", "-p", "0x3", "-P", "-u", unprotected, "-l", "-w", "0", "-s", "32767", "-t", "1"]);
        command.args(["--config", "(0,0,0),(1,0,0)", "-f"]).arg(config);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }
}

/// A process of ours, ended when dropped.
struct Running(Child);

impl Running {
    fn observe(&mut self, seconds: usize) -> Result<f64> {
        let output = self.0.stdout.take().context("its output")?;
        let mut lines = BufReader::new(output).lines();
        let mut said = Vec::new();
        let mut samples = Vec::new();
        while samples.len() < WARM_UP + seconds + 1 {
            let Some(line) = lines.next() else {
                bail!(
                    "ipsec-secgw ended (`cargo xtask bench --compare` builds it, --secgw names it): {}",
                    said.join("\n")
                );
            };
            let line = line?;
            if let Some(sent) = figure(&line, "Total packets sent:") {
                samples.push((sent, self.cpu_time()?));
            }
            said.push(line);
        }
        let ((sent_before, cpu_before), (sent, cpu)) = (samples[WARM_UP], samples[WARM_UP + seconds]);
        ensure!(sent > sent_before, "ipsec-secgw forwarded nothing:\n{}", said.join("\n"));
        let packets = f64::from(u32::try_from(sent - sent_before)?);
        Ok((cpu - cpu_before).as_secs_f64() * tsc_hz() / packets)
    }

    /// What its busy thread, the main one, has run.
    fn cpu_time(&self) -> Result<Duration> {
        let id = self.0.id();
        let schedstat = fs::read_to_string(format!("/proc/{id}/task/{id}/schedstat"))?;
        let nanoseconds = schedstat.split_whitespace().next().context("schedstat")?;
        Ok(Duration::from_nanos(nanoseconds.parse()?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn figure(line: &str, label: &str) -> Option<u64> {
    line.trim().strip_prefix(label)?.trim().parse().ok()
}

/// Its name of the algorithms, with the keys of the one SA.
fn algorithms(suite: Suite) -> Option<String> {
    let (encryption, authentication) = keys(0, Side::Head, suite);
    let (cipher, bits) = suite.cipher().transform();
    match (cipher, bits, suite.integrity().map(crypto::Integrity::transform)) {
        (20, bits, None) => Some(format!("aead_algo aes-{bits}-gcm aead_key {}", hex(&encryption))),
        (12, bits, Some(2)) => Some(format!(
            "cipher_algo aes-{bits}-cbc cipher_key {} auth_algo sha1-hmac auth_key {}",
            hex(&encryption),
            hex(&authentication)
        )),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// One SA each way, since it insists on both; only one of them sees packets.
fn configuration(suite: Suite, direction: Direction) -> Result<String> {
    let algorithms = algorithms(suite).context("ipsec-secgw does not have this suite")?;
    let (head, branches) = (Side::Head.outside(), Side::Branches.outside());
    let (measured, other, route) = match direction {
        Direction::Encap => ("out", "in", "192.0.2.0/24"),
        Direction::Decap => ("in", "out", "10.64.0.0/10"),
    };
    let spi = spi(Side::Branches, 0)?.value();
    let mut text = String::new();
    for (way, spi, network, src, dst) in
        [(measured, spi, "10.64.0.0/10", head, branches), (other, 300, "10.1.0.0/24", branches, head)]
    {
        writeln!(text, "sp ipv4 {way} esp protect {spi} pri 1 dst {network} sport 0:65535 dport 0:65535")?;
        writeln!(text, "sa {way} {spi} {algorithms} mode ipv4-tunnel src {src} dst {dst}")?;
    }
    writeln!(text, "rt ipv4 dst {route} port 1")?;
    for (port, mac) in NEIGHBOUR_MAC.iter().enumerate() {
        writeln!(text, "neigh port {port} {}", hex(&mac.0))?;
    }
    Ok(text)
}
