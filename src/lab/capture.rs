//! What travels on the outside link, and whether anything there should not.

use super::traffic::MARKER;
use super::{Lab, Namespace, Process};
use anyhow::{Context, Result};
use pcap_file::pcap::PcapReader;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The outside networks of every laboratory: 192.0.2.0/24 and 2001:db8::/64.
const OUTSIDE_NET: [u8; 3] = [192, 0, 2];
const OUTSIDE_NET6: [u8; 8] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0];

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
    /// ARP, and neighbour discovery of the link itself (RFC 4861).
    pub neighbours: u64,
    /// ICMP between the gateways themselves.
    pub icmp: u64,
    /// IGMP and MLD of the peer's kernel.
    pub groups: u64,
    /// Anything else: an inner packet, whole or in part, in clear.
    pub leaks: u64,
    /// Those of them that are ESP: what a suite that does not encrypt shows of its inner packets.
    pub readable_esp: u64,
    /// The first of them, in hexadecimal.
    pub examples: Vec<String>,
}

impl Capture {
    /// Starts capturing; returns once frames are seen.
    ///
    /// # Errors
    /// If tcpdump does not run.
    pub fn start(lab: &Lab, namespace: &Namespace, device: &str, name: &str) -> Result<Self> {
        Self::only(lab, namespace, device, name, "")
    }

    /// As [`Capture::start`], of the frames that this filter of tcpdump lets pass.
    ///
    /// # Errors
    /// As [`Capture::start`].
    pub fn only(lab: &Lab, namespace: &Namespace, device: &str, name: &str, filter: &str) -> Result<Self> {
        let file = lab.folder().join(format!("{name}.pcap"));
        let path = file.to_string_lossy().into_owned();
        let log = lab.folder().join(format!("{name}.tcpdump.log"));
        // The whole frame, a large kernel buffer, written at once, and as root: the folder is ours.
        let options = ["-s", "0", "-B", "65536", "-U", "--immediate-mode", "-Z", "root"];
        let args = [&["-i", device, "-w", &path], &options[..], &[filter]].concat();
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
    pub fn finish(self) -> Result<Sightings> {
        let mut seen = Sightings::default();
        self.each(|frame| seen.count(frame))?;
        Ok(seen)
    }

    /// Ends the capture and shows each of its frames.
    ///
    /// # Errors
    /// If the capture cannot be read.
    pub fn each(self, visit: impl FnMut(&[u8])) -> Result<()> {
        let file = self.stop();
        let file = File::open(&file).with_context(|| format!("cannot read {}", file.display()))?;
        each_frame(std::io::BufReader::new(file), visit)
    }

    /// Ends the capture; returns its file.
    #[must_use]
    pub fn stop(mut self) -> PathBuf {
        std::thread::sleep(Duration::from_millis(300));
        self.tcpdump.stop();
        self.file
    }
}

/// Shows each frame of a pcap file and when it was seen, since 1970; as [`each_frame`].
///
/// # Errors
/// If it is no such file.
pub(super) fn each_frame_at(file: &Path, mut visit: impl FnMut(Duration, &[u8])) -> Result<()> {
    let file = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut reader = PcapReader::new(std::io::BufReader::new(file)).context("capture")?;
    while let Some(Ok(frame)) = reader.next_packet() {
        visit(frame.timestamp, &frame.data);
    }
    Ok(())
}

/// Shows each frame of a pcap file; a last one that was cut off where its writer was stopped is left out.
///
/// # Errors
/// If it is no such file.
pub fn each_frame(pcap: impl Read, mut visit: impl FnMut(&[u8])) -> Result<()> {
    let mut reader = PcapReader::new(pcap).context("capture")?;
    while let Some(Ok(frame)) = reader.next_packet() {
        visit(&frame.data);
    }
    Ok(())
}

impl Sightings {
    fn count(&mut self, frame: &[u8]) {
        let marked = frame.windows(MARKER.len()).any(|window| window == MARKER);
        let kind = kind(frame);
        self.readable_esp += u64::from(marked && matches!(kind, Some(Kind::Esp)));
        match kind.filter(|_| !marked) {
            Some(Kind::Esp) => self.esp += 1,
            Some(Kind::Ike) => self.ike += 1,
            Some(Kind::Neighbours) => self.neighbours += 1,
            Some(Kind::Icmp) => self.icmp += 1,
            Some(Kind::Groups) => self.groups += 1,
            None => self.leak(frame),
        }
    }

    fn leak(&mut self, frame: &[u8]) {
        self.leaks += 1;
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(frame.iter().take(80).map(|byte| format!("{byte:02x}")).collect());
        }
    }
}

/// What may travel on the outside link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Esp,
    Ike,
    Neighbours,
    Icmp,
    Groups,
}

/// The kind of a frame, or none: then it should not be there.
fn kind(frame: &[u8]) -> Option<Kind> {
    let packet = frame.get(14..)?;
    match frame.get(12..14)? {
        [0x08, 0x06] => Some(Kind::Neighbours),
        [0x08, 0x00] => ipv4(packet),
        [0x86, 0xdd] => ipv6(packet),
        _ => None,
    }
}

fn ipv4(packet: &[u8]) -> Option<Kind> {
    let payload = packet.get(usize::from(packet.first()? & 15) * 4..)?;
    let ours = |address: usize| packet.get(address..address + 3) == Some(&OUTSIDE_NET);
    let later_fragment = packet.get(6..8).is_some_and(|field| field[0] & 0x1f != 0 || field[1] != 0);
    match packet.get(9)? {
        // A kernel peer joins the multicast groups of its link.
        2 if ours(12) => Some(Kind::Groups),
        _ if !(ours(12) && ours(16)) => None,
        1 => Some(Kind::Icmp),
        protocol => between_gateways(*protocol, payload, later_fragment),
    }
}

fn ipv6(packet: &[u8]) -> Option<Kind> {
    const HOP_BY_HOP: u8 = 0;
    const FRAGMENT: u8 = 44;
    let (mut next, mut payload) = (*packet.get(6)?, packet.get(40..)?);
    let mut later_fragment = false;
    while matches!(next, HOP_BY_HOP | FRAGMENT) {
        let length = if next == FRAGMENT { 8 } else { 8 + usize::from(*payload.get(1)?) * 8 };
        later_fragment |= next == FRAGMENT && u16::from_be_bytes([*payload.get(2)?, *payload.get(3)?]) >= 8;
        (next, payload) = (*payload.first()?, payload.get(length..)?);
    }
    let ours = |address: usize| packet.get(address..address + 8) == Some(&OUTSIDE_NET6);
    let source = packet.get(8..24)?;
    let of_the_link = source.starts_with(&[0xfe, 0x80]) || source == [0; 16] || ours(8);
    match (next, *packet.get(7)?, payload.first()) {
        (58, 255, Some(133..=137)) if of_the_link && !later_fragment => Some(Kind::Neighbours),
        (58, 1, Some(130..=132 | 143)) if of_the_link && !later_fragment => Some(Kind::Groups),
        _ if !(ours(8) && ours(24)) => None,
        (58, ..) => Some(Kind::Icmp),
        _ => between_gateways(next, payload, later_fragment),
    }
}

/// ESP and IKE, and nothing else but ICMP, pass between the gateways.
fn between_gateways(protocol: u8, payload: &[u8], later_fragment: bool) -> Option<Kind> {
    let port = |at: usize| payload.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
    let ports = [port(0), port(2)];
    match protocol {
        50 => Some(Kind::Esp),
        17 if later_fragment => Some(Kind::Esp),
        17 if ports.contains(&Some(4500)) => match payload.get(8..12) {
            Some([0, 0, 0, 0]) | None => Some(Kind::Ike),
            Some(_) => Some(Kind::Esp),
        },
        17 if ports.contains(&Some(500)) => Some(Kind::Ike),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv6 packet in a frame; addresses by the group behind 2001:db8:0 and the last one.
    fn frame6(next: u8, hops: u8, from: (u8, u8), to: (u8, u8), payload: &[u8]) -> Vec<u8> {
        let address =
            |(net, host): (u8, u8)| [&[0x20, 0x01, 0x0d, 0xb8, 0, net], &[0; 9][..], &[host]].concat();
        let length = u8::try_from(payload.len()).unwrap();
        [
            &[0; 12][..],
            &[0x86, 0xdd, 0x60, 0, 0, 0, 0, length, next, hops],
            &address(from),
            &address(to),
            payload,
        ]
        .concat()
    }

    #[test]
    fn ipv6_is_sorted() {
        let (us, peer, inner) = ((0, 1), (0, 2), (2, 1));
        let ike = [&[0x01, 0xf4, 0x01, 0xf4][..], &[0; 20]].concat();
        let fragment = [50, 0, 0x05, 0xa8, 0, 0, 0, 7, 1, 2, 3, 4];
        for (next, hops, from, to, payload, expected) in [
            (50, 64, us, peer, &[1; 40][..], Some(Kind::Esp)),
            (44, 64, us, peer, &fragment, Some(Kind::Esp)),
            (17, 64, us, peer, &ike, Some(Kind::Ike)),
            (58, 64, us, peer, &[128, 0], Some(Kind::Icmp)),
            (58, 255, us, peer, &[135, 0], Some(Kind::Neighbours)),
            (6, 64, us, peer, &[0; 20], None),
            // Discovery that came from another link, and an inner packet with every disguise.
            (58, 254, inner, us, &[135, 0], None),
            (58, 255, inner, us, &[135, 0], None),
            (50, 64, inner, peer, &[1; 40], None),
            (44, 64, inner, peer, &fragment, None),
        ] {
            let frame = frame6(next, hops, from, to, payload);
            assert_eq!(kind(&frame), expected, "{next} {from:?} {to:?}");
        }
        let mut seen = Sightings::default();
        seen.count(&frame6(50, 64, us, peer, &MARKER));
        assert_eq!((seen.leaks, seen.readable_esp), (1, 1));
        seen.count(&frame6(50, 64, inner, peer, &MARKER));
        assert_eq!((seen.leaks, seen.readable_esp), (2, 1));
    }

    #[test]
    fn ipv4_is_sorted() {
        let frame = |protocol: u8, to: [u8; 4]| {
            let header = [0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1];
            [&[0; 12][..], &[0x08, 0x00], &header, &to, &[1; 20]].concat()
        };
        assert_eq!(kind(&frame(50, [192, 0, 2, 2])), Some(Kind::Esp));
        assert_eq!(kind(&frame(50, [10, 2, 0, 2])), None);
        assert_eq!(kind(&frame(6, [192, 0, 2, 2])), None);
        assert_eq!(kind(&frame(2, [224, 0, 0, 22])), Some(Kind::Groups));
    }
}
