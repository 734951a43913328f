//! What the kernel's ESP and ours make of each other's packets: both families inside and outside, native ESP and ESP in UDP.

use super::{ecn, fragments};
use crate::Scenario;
use crate::scenarios::families::Families;
use crate::scene::{Initiator, Scene, With};
use anyhow::{Result, bail, ensure};
use esplanade::lab::{Capture, Devices, Guest, GuestOptions, Lab, Peer, Ping, SiteOptions, SwanOptions};
use std::time::Duration;

pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for families in Families::ALL {
        for (udp, form) in [(false, "native"), (true, "udp")] {
            all.push(Scenario::new(format!("linux/packet/{}/{form}", families.name), move |lab| {
                every_packet(lab, families, udp)
            }));
        }
    }
    all[0].chosen = true;
    all
}

/// A tunnel with the guest.
pub(super) struct Tunnel<'a> {
    pub(super) scene: Scene<'a>,
    pub(super) families: Families,
    /// ESP is in UDP.
    pub(super) udp: bool,
}

fn every_packet(lab: &Lab, families: Families, udp: bool) -> Result<String> {
    // net_af_packet would put fragments together before we see them.
    let site = SiteOptions { devices: Devices::Tap, ..families.site() };
    let encap = if udp { "encap = yes" } else { "" };
    let swan = SwanOptions { connection_lines: encap.into(), ..families.swan() };
    let guest = GuestOptions { swan, dual_stack: true, ..GuestOptions::default() };
    let scene = Scene::set(lab, &site, &With::Linux(Box::new(guest)))?;
    scene.establish(Initiator::Us)?;
    let sa = scene.only_sa()?;
    ensure!(sa.children.iter().all(|child| child.encap == udp), "ESP in UDP: {udp} expected: {sa:?}");
    let tunnel = Tunnel { scene, families, udp };
    let fragments = fragments::check(&tunnel);
    let fragments = tunnel.scene.explain(fragments)?;
    let classes = ecn::check(&tunnel);
    let classes = tunnel.scene.explain(classes)?;
    let after = fragments::after_encryption(&tunnel);
    tunnel.scene.explain(after)?;
    tunnel.scene.finish()?;
    Ok(format!("{fragments}, {classes}"))
}

impl Tunnel<'_> {
    pub(super) fn guest(&self) -> Result<&Guest> {
        match &self.scene.peer {
            Peer::Linux(guest) => Ok(guest),
            Peer::Esplanade(_) | Peer::StrongSwan(..) => bail!("not the peer that was asked for"),
        }
    }

    /// The inner addresses of our host and of the guest.
    pub(super) fn ends(&self) -> [String; 2] {
        [self.families.host(1, 2), self.families.host(2, 1)]
    }

    /// Pings from our host to the guest.
    pub(super) fn ping(&self, count: u32, payload: u16, more: &[&str]) -> Result<Ping> {
        let [ours, theirs] = self.ends();
        let host = &self.scene.site.host;
        Ping::with(host, &ours, &theirs, count, Duration::from_millis(50), payload, more)
    }

    /// Pings from the guest to our host.
    pub(super) fn ping_back(&self, count: u32, payload: u16, more: &str) -> Result<Ping> {
        let [ours, theirs] = self.ends();
        let said = self.guest()?.shell(&format!(
            "ping -q -n -c {count} -i 0.05 -W 1 -s {payload} {more} -I {theirs} {ours} 2>&1"
        ))?;
        Ping::read(&said).ok_or_else(|| anyhow::anyhow!("ping in the guest: {said}"))
    }

    /// Length of the outer packet around an echo of this payload: AES-GCM-16, in tunnel mode.
    pub(super) fn outer_length(&self, payload: u16) -> u16 {
        let outer = if self.families.outer_v6 { 40 } else { 20 } + if self.udp { 8 } else { 0 };
        let (esp_and_iv, trailer, tag) = (16, 2, 16);
        let encrypted = (payload + self.families.echo_headers() + trailer).next_multiple_of(4);
        outer + esp_and_iv + encrypted + tag
    }

    /// A capture of the outside link, beside that of the scene.
    pub(super) fn outside(&self, name: &str) -> Result<Capture> {
        Capture::start(self.scene.lab, &self.scene.wan, "br0", name)
    }
}

/// What a captured frame says of its IP packet, of either family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    /// TOS or traffic class octet.
    pub(super) class: u8,
    /// Protocol or next header.
    pub(super) protocol: u8,
    /// Bytes of the packet with its header, and what follows that.
    pub(super) length: u16,
    pub(super) payload: &'a [u8],
    /// Part of a packet.
    pub(super) fragment: bool,
    source: &'a [u8],
}

impl<'a> Seen<'a> {
    pub(super) fn read(frame: &'a [u8]) -> Option<Self> {
        let packet = frame.get(14..)?;
        let word = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
        let [protocol4, protocol6] = [*packet.get(9)?, *packet.get(6)?];
        Some(match frame.get(12..14)? {
            [0x08, 0x00] => Self {
                class: *packet.get(1)?,
                protocol: protocol4,
                length: word(2)?,
                payload: packet.get(usize::from(packet.first()? & 15) * 4..)?,
                fragment: word(6)? & 0x3fff != 0,
                source: packet.get(12..16)?,
            },
            [0x86, 0xdd] => Self {
                class: u8::try_from(word(0)? >> 4 & 0xff).ok()?,
                protocol: protocol6,
                length: word(4)?.checked_add(40)?,
                payload: packet.get(40..)?,
                fragment: protocol6 == 44,
                source: packet.get(8..24)?,
            },
            _ => return None,
        })
    }

    /// Its outer source is our gateway.
    pub(super) fn is_ours(&self) -> bool {
        self.source.last() == Some(&1)
    }
}
