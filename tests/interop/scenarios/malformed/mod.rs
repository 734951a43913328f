//! Every malformed packet that scapy can make, at both sides of a data plane with an SA whose keys scapy knows: each is dropped
//! under the reason that is expected of it, nothing leaks, the counters balance, and the tunnel carries on.

mod counted;

use crate::Scenario;
use crate::scenarios::control::{Control, Install, dataplane};
use anyhow::{Context, Result, bail, ensure};
use counted::Counted;
use esplanade::lab::{Capture, Lab, Namespace, Process};
use shm::message::{Encap, Outer, Secret, Suite, VrfId};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// AES-GCM-16 with 128 bits; the key and its salt protect nothing.
const SUITE: Suite = Suite { encryption: 20, key_bits: 128, integrity: 0 };
const KEY: [u8; 20] = *b"a key of the labsalt";
/// The peer's SPI; nobody receives there.
const PEER_SPI: u32 = 0x1001;
/// How long the fate of a frame may take to show, and that of a fragment whose packet is never whole.
const PATIENCE: Duration = Duration::from_secs(2);
const REASSEMBLY: Duration = Duration::from_secs(10);
/// How many surprises are quoted.
const MAX_EXAMPLES: usize = 40;

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![Scenario::new("packet/malformed", every_packet).chosen()]
}

fn every_packet(lab: &Lab) -> Result<String> {
    let mut bench = Bench::set(lab)?;
    let frames = bench.frames(lab)?;
    ensure!(frames.len() > 500, "scapy made only {} frames", frames.len());
    let start = bench.counted();
    let mut surprises = Vec::new();
    for frame in &frames {
        surprises.extend(bench.try_frame(frame)?);
        lab.check_interrupt()?;
    }
    if !surprises.is_empty() {
        let examples = surprises[..surprises.len().min(MAX_EXAMPLES)].join("\n");
        bail!("{} of {} frames:\n{examples}\n{}", surprises.len(), frames.len(), bench.dataplane.log());
    }
    let end = bench.counted();
    ensure!(end.missing() == 0, "{} packets are not accounted for: {}", end.missing(), end.since(&start));
    for answers in ["arp_replies", "ndp_advertisements", "icmp_echo_replies"] {
        ensure!(
            end.figure(answers) == start.figure(answers),
            "malformed, but answered: {}",
            end.since(&start)
        );
    }
    ensure!(bench.dataplane.is_alive(), "it ended: {}", bench.dataplane.log());
    let seen = bench.capture.finish()?;
    let echoes = frames.iter().filter(|frame| frame.expected == "echo").count();
    ensure!(seen.leaks == 0 && seen.esp == u64::try_from(echoes)?, "{echoes} echoes: {seen:?}");
    Ok(format!("{} frames, each as expected", frames.len()))
}

/// A frame that scapy made.
struct Frame {
    side: String,
    expected: String,
    name: String,
    hex: String,
}

/// The data plane, and a sender at each of its sides.
struct Bench {
    dataplane: Process,
    control: Control,
    senders: BTreeMap<String, Sender>,
    capture: Capture,
    /// What scapy has to know: both addresses and the SPI.
    known: [String; 3],
    // Dropped last.
    _namespaces: [Namespace; 3],
}

impl Bench {
    fn set(lab: &Lab) -> Result<Self> {
        let (gateway, wan, host) = (lab.namespace("gw")?, lab.namespace("wan")?, lab.namespace("host")?);
        let (dataplane, socket) = dataplane(lab, &gateway, "net_tap")?;
        let mut control = Control::connect(&socket)?;
        control.configure()?;
        let mut senders = BTreeMap::new();
        let mut macs = Vec::new();
        for (side, namespace, device, own, router) in [
            ("outside", &wan, "out", "192.0.2.2", "192.0.2.1"),
            ("inside", &host, "in", "10.1.0.2", "10.1.0.1"),
        ] {
            let mac = gateway.run("cat", &[&format!("/sys/class/net/{device}/address")])?.trim().to_owned();
            // The kernel's end of a tap has the address of DPDK's end; a cable has different ones.
            gateway.ip(&["link", "set", device, "address", "02:00:00:00:00:77"])?;
            gateway.give(device, namespace)?;
            namespace.address(device, &format!("{own}/24"))?;
            // What the kernels ask is not to be confused with what is answered to malformed questions.
            namespace.ip(&["neighbour", "replace", router, "lladdr", &mac, "dev", device])?;
            senders.insert(side.to_owned(), Sender::start(lab, namespace, device)?);
            macs.push(mac);
        }
        host.route("10.2.0.0/24", "10.1.0.1")?;
        let capture = Capture::only(lab, &wan, "out", "outside", &format!("ether src {}", macs[0]))?;
        let spi = install(&mut control)?;
        let [outside, inside] = [0, 1].map(|side: usize| macs[side].clone());
        let known = [outside, inside, spi];
        Ok(Self { dataplane, control, senders, capture, known, _namespaces: [gateway, wan, host] })
    }

    /// What scapy makes.
    fn frames(&self, lab: &Lab) -> Result<Vec<Frame>> {
        let script = write(lab, "packets.py", include_str!("packets.py"))?;
        let key: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
        let made = Command::new("/usr/bin/python3").arg(script).args(&self.known).arg(key).output()?;
        ensure!(made.status.success(), "scapy: {}", String::from_utf8_lossy(&made.stderr));
        let frame = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
            [side, expected, name, hex] => {
                let [side, expected, name, hex] = [side, expected, name, hex].map(str::to_owned);
                Ok(Frame { side, expected, name, hex })
            }
            _ => bail!("scapy: {line}"),
        };
        String::from_utf8_lossy(&made.stdout).lines().map(frame).collect()
    }

    fn counted(&self) -> Counted {
        Counted::read(self.control.counters())
    }

    /// Sends a frame and waits for what must become of it; returns a line about what has, if that is something else.
    fn try_frame(&mut self, frame: &Frame) -> Result<Option<String>> {
        let Frame { side, expected, name, hex } = frame;
        let before = self.counted();
        self.senders.get_mut(side).context("side")?.send(hex)?;
        let patience = if expected == "reassembly_timeout" { REASSEMBLY } else { PATIENCE };
        let end = Instant::now() + patience;
        loop {
            let after = self.counted();
            if after.shows(expected, &before) {
                return Ok(None);
            }
            if Instant::now() > end {
                return Ok(Some(format!("{side}: {name}: not {expected}, but {}", after.since(&before))));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The SA with the peer 192.0.2.2; returns our SPI in hexadecimal.
fn install(control: &mut Control) -> Result<String> {
    let outer = Outer {
        vrf: VrfId(0),
        local: Ipv4Addr::new(192, 0, 2, 1).into(),
        remote: Ipv4Addr::new(192, 0, 2, 2).into(),
        encap: Encap::Native,
        keepalive_secs: 0,
    };
    let spi = control.reserve()?;
    let install = Install { spi, peer_spi: PEER_SPI, suite: SUITE, esn: false, outer };
    let secret = |bytes: &[u8]| Secret::new(bytes).context("key too long");
    control.install(&install, &secret(&KEY)?, &secret(&[])?)?;
    Ok(format!("{:x}", spi.value()))
}

/// A program that sends frames out of a device.
struct Sender {
    child: Child,
    frames: ChildStdin,
    done: BufReader<ChildStdout>,
}

impl Sender {
    fn start(lab: &Lab, namespace: &Namespace, device: &str) -> Result<Self> {
        let script = write(lab, "send.py", include_str!("send.py"))?;
        let mut command = namespace.command("/usr/bin/python3");
        command.arg(script).arg(device).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let frames = child.stdin.take().context("no input")?;
        let done = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self { child, frames, done })
    }

    fn send(&mut self, hex: &str) -> Result<()> {
        writeln!(self.frames, "{hex}")?;
        let mut said = String::new();
        self.done.read_line(&mut said)?;
        ensure!(said.trim() == "sent", "the sender is gone");
        Ok(())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(lab: &Lab, name: &str, script: &str) -> Result<PathBuf> {
    let file = lab.folder().join(name);
    std::fs::write(&file, script)?;
    Ok(file)
}
