//! What travels on the outside link, and whether anything there should not.

use super::traffic::MARKER;
use super::{Lab, Namespace, Process};
use anyhow::{Context, Result};
use pcap_file::pcap::PcapReader;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The outside network of every laboratory: 192.0.2.0/24.
const OUTSIDE_NET: [u8; 3] = [192, 0, 2];

/// How many leaked frames are quoted.
const MAX_EXAMPLES: usize = 3;

/// A running capture of one device.
#[derive(Debug)]
pub struct Capture {
    tcpdump: Process,
    file: PathBuf,
}

/// What a capture saw, frame by frame; frames that belong to none of the first kinds are leaks.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sightings {
    /// ESP, native or in UDP.
    pub esp: u64,
    /// IKE on UDP 500 or 4500, and NAT keepalives.
    pub ike: u64,
    /// ARP.
    pub arp: u64,
    /// ICMP between the gateways themselves.
    pub icmp: u64,
    /// IGMP of the peer's kernel.
    pub igmp: u64,
    /// Anything else: an inner packet, whole or in part, in clear.
    pub leaks: u64,
    /// The first of them, in hexadecimal.
    pub examples: Vec<String>,
}

impl Capture {
    /// Starts capturing; returns once frames are seen.
    ///
    /// # Errors
    /// If tcpdump does not run.
    pub fn start(lab: &Lab, namespace: &Namespace, device: &str, name: &str) -> Result<Self> {
        let file = lab.folder().join(format!("{name}.pcap"));
        let path = file.to_string_lossy().into_owned();
        let log = lab.folder().join(format!("{name}.tcpdump.log"));
        // The whole frame, a large kernel buffer, written at once, and as root: the folder is ours.
        let args =
            ["-i", device, "-w", &path, "-s", "0", "-B", "65536", "-U", "--immediate-mode", "-Z", "root"];
        let tcpdump = namespace.start("tcpdump", &args, &log)?;
        lab.wait_for("tcpdump", Duration::from_secs(10), || {
            Ok(tcpdump.log().contains("listening on").then_some(()))
        })?;
        Ok(Self { tcpdump, file })
    }

    /// The file it is written to.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Ends the capture and sorts what it saw. `marker` bytes of our pings in any frame are a leak too.
    ///
    /// # Errors
    /// If the capture cannot be read.
    pub fn finish(mut self) -> Result<Sightings> {
        std::thread::sleep(Duration::from_millis(300));
        self.tcpdump.stop();
        Sightings::read(&self.file)
    }
}

impl Sightings {
    fn read(file: &Path) -> Result<Self> {
        let open = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut reader = PcapReader::new(std::io::BufReader::new(open)).context("capture")?;
        let mut seen = Self::default();
        // A frame cut off where tcpdump was stopped ends the file.
        while let Some(Ok(frame)) = reader.next_packet() {
            let leaks = seen.leaks;
            seen.count(&frame.data);
            if seen.leaks > leaks && seen.examples.len() < MAX_EXAMPLES {
                let start = frame.data.iter().take(80);
                seen.examples.push(start.map(|byte| format!("{byte:02x}")).collect());
            }
        }
        Ok(seen)
    }

    fn count(&mut self, frame: &[u8]) {
        let marked = frame.windows(MARKER.len()).any(|window| window == MARKER);
        match (frame.get(12..14), frame.get(14..)) {
            _ if marked => self.leaks += 1,
            (Some([0x08, 0x06]), _) => self.arp += 1,
            (Some([0x08, 0x00]), Some(packet)) => self.count_ipv4(packet),
            _ => self.leaks += 1,
        }
    }

    fn count_ipv4(&mut self, packet: &[u8]) {
        let Some(header) = packet.first().map(|first| usize::from(first & 15) * 4) else {
            return self.leaks += 1;
        };
        let payload = packet.get(header..).unwrap_or_default();
        let between_gateways =
            [packet.get(12..15), packet.get(16..19)].iter().all(|net| *net == Some(&OUTSIDE_NET));
        let later_fragment = packet.get(6..8).is_some_and(|field| field[0] & 0x1f != 0 || field[1] != 0);
        let port = |at: usize| payload.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
        let ports = [port(0), port(2)];
        match packet.get(9) {
            // A kernel peer joins the multicast groups of its link.
            Some(2) if packet.get(12..15) == Some(&OUTSIDE_NET) => self.igmp += 1,
            _ if !between_gateways => self.leaks += 1,
            Some(50) => self.esp += 1,
            Some(17) if later_fragment => self.esp += 1,
            Some(1) => self.icmp += 1,
            Some(17) if ports.contains(&Some(4500)) => match payload.get(8..12) {
                Some([0, 0, 0, 0]) | None => self.ike += 1,
                Some(_) => self.esp += 1,
            },
            Some(17) if ports.contains(&Some(500)) => self.ike += 1,
            _ => self.leaks += 1,
        }
    }
}
