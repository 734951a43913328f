//! ECN and DSCP through the tunnel (RFC 6040): what the kernel and we make of each codepoint inside, marked on the way or not.
//!
//! The guest's own queueing rules are the congested router: they mark ESP as it leaves and as it arrives.

use super::packets::{Seen, Tunnel};
use anyhow::{Context, Result, ensure};
use api::DropCounter;
use esplanade::lab::{Capture, Guest, each_frame};
use std::collections::BTreeMap;
use std::time::Duration;

const NOT_ECT: u8 = 0;
const ECT_1: u8 = 1;
const ECT_0: u8 = 2;
const CE: u8 = 3;
/// AF11, in its place in the TOS or traffic class octet.
const AF11: u8 = 10 << 2;
/// EF, as a number and in its place.
const EF: u8 = 46;
/// Where the guest writes what it sees, and the payload of an echo of no row.
const INNER: &str = "/run/inner.pcap";
const SIZE: u16 = 120;

/// One echo request: its payload's length names it.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// ECN field of the inner packet.
    inner: u8,
    /// What the router writes into the outer one.
    mark: Option<u8>,
    /// Payload of the request from our host, and of that from the guest.
    sizes: [u16; 2],
}

/// What was seen of echo requests: traffic class by payload length.
type Classes = BTreeMap<u16, u8>;
/// What was seen outside: traffic class by sender (we or not) and packet length.
type Outer = BTreeMap<(bool, u16), u8>;

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for mark in [None, Some(ECT_1), Some(CE)] {
        for inner in [NOT_ECT, ECT_1, ECT_0, CE] {
            let size = 200 + 32 * u16::try_from(rows.len()).unwrap_or_default();
            rows.push(Row { inner, mark, sizes: [size, size + 16] });
        }
    }
    rows
}

impl Row {
    /// At the guest: the kernel copies congestion to what can carry it, and lets pass what cannot.
    fn at_guest(self) -> Option<u8> {
        match (self.inner, self.mark) {
            (ECT_0 | ECT_1, Some(CE)) => Some(CE),
            (inner, _) => Some(inner),
        }
    }

    /// At our host: figure 4 of RFC 6040.
    fn at_host(self) -> Option<u8> {
        match (self.inner, self.mark) {
            (NOT_ECT, Some(CE)) => None,
            (ECT_0 | ECT_1, Some(CE)) => Some(CE),
            (ECT_0, Some(ECT_1)) => Some(ECT_1),
            (inner, _) => Some(inner),
        }
    }
}

pub(super) fn check(tunnel: &Tunnel<'_>) -> Result<String> {
    let (guest, rows) = (tunnel.guest()?, rows());
    let outside = tunnel.outside("ecn-outside")?;
    let site = &tunnel.scene.site;
    let inside = Capture::start(tunnel.scene.lab, &site.host, &site.lan(), "ecn-inside")?;
    watch(guest)?;
    for row in &rows {
        mark(tunnel, row.mark)?;
        let class = (AF11 | row.inner).to_string();
        tunnel.ping(1, row.sizes[0], &["-Q", &class, "-W", "1"])?;
        tunnel.ping_back(1, row.sizes[1], &format!("-Q {class}"))?;
    }
    mark(tunnel, None)?;
    let (mut here, mut there, mut outer) = (Classes::new(), Classes::new(), Outer::new());
    inside.each(|frame| note_request(&mut here, frame))?;
    each_frame(&*guest.read(INNER)?, |frame| note_request(&mut there, frame))?;
    outside.each(|frame| note_outer(&mut outer, frame))?;
    for row in &rows {
        let class = |seen: Option<u8>| seen.map(|ecn| AF11 | ecn);
        let arrived = [there.get(&row.sizes[0]).copied(), here.get(&row.sizes[1]).copied()];
        let expected = [row.at_guest(), row.at_host()].map(class);
        ensure!(
            arrived == expected,
            "{row:?}: at the guest and at our host {arrived:02x?}, not {expected:02x?}"
        );
        // We copy the class, congestion included; what the guest sent shows that the router did its work.
        let sent = |ours, size| outer.get(&(ours, tunnel.outer_length(size))).copied();
        ensure!(sent(true, row.sizes[0]) == class(Some(row.inner)), "{row:?}: we sent {outer:02x?}");
        let marked = row.mark.is_none() || sent(false, row.sizes[1]) == class(row.mark);
        ensure!(marked, "{row:?}: the guest sent {outer:02x?}");
    }
    let errors: Vec<DropCounter> = site.gateway.client().get(api::path::ERRORS)?;
    let refused = errors.iter().find(|reason| reason.name == "ecn_not_capable").map(|reason| reason.count);
    ensure!(refused == Some(2), "marked, but not capable: a request and a reply, not {refused:?}");
    fixed_dscp(tunnel)?;
    Ok(format!("{} ECN rows, DSCP copied and set", rows.len() * 2))
}

/// Notes the traffic class of an echo request.
fn note_request(seen: &mut Classes, frame: &[u8]) {
    let Some(packet) = Seen::read(frame) else { return };
    let headers = match (packet.protocol, packet.payload.first()) {
        (1, Some(8)) => 28,
        (58, Some(128)) => 48,
        _ => return,
    };
    seen.insert(packet.length.saturating_sub(headers), packet.class);
}

/// Notes the traffic class of an ESP packet.
fn note_outer(seen: &mut Outer, frame: &[u8]) {
    if let Some(packet) = Seen::read(frame).filter(|packet| matches!(packet.protocol, 17 | 50)) {
        seen.entry((packet.is_ours(), packet.length)).or_insert(packet.class);
    }
}

/// Starts to capture, in the guest, what comes out of its decryption.
fn watch(guest: &Guest) -> Result<()> {
    let said = guest.shell(&format!(
        "tcpdump -U --immediate-mode -i wan -w {INNER} 'icmp or icmp6' </dev/null >/dev/null 2>/run/tcpdump.log &
         for i in $(seq 50); do grep -q listening /run/tcpdump.log && break; sleep 0.1; done; cat /run/tcpdump.log"
    ))?;
    said.contains("listening").then_some(()).context(said)
}

/// Lets the guest's queueing rules write this ECN field into every ESP packet, arriving and leaving.
fn mark(tunnel: &Tunnel<'_>, value: Option<u8>) -> Result<()> {
    let protocol = if tunnel.udp { 17 } else { 50 };
    let mut script = String::from("tc qdisc replace dev wan clsact\n");
    for hook in ["ingress", "egress"] {
        script += &format!("tc filter delete dev wan {hook}\n");
        script += &match (value, tunnel.families.outer_v6) {
            (None, _) => String::new(),
            (Some(ecn), false) => format!(
                "tc filter add dev wan {hook} protocol ip u32 match ip protocol {protocol} 0xff \
                 action pedit ex munge ip tos set {ecn} retain 3 pipe action csum ip4h\n"
            ),
            (Some(ecn), true) => format!(
                "tc filter add dev wan {hook} protocol ipv6 u32 match u8 {protocol} 0xff at 6 \
                 action pedit munge offset 0 u16 set {:#06x} retain 0x0030\n",
                u16::from(ecn) << 4
            ),
        };
    }
    let said = tunnel.guest()?.shell(&format!("exec 2>&1\n{script}"))?;
    said.is_empty().then_some(()).with_context(|| format!("tc in the guest: {said}"))
}

/// With a DSCP of the connection's own, that is outside whatever is inside; ECN stays a copy, and the inner DSCP arrives.
fn fixed_dscp(tunnel: &Tunnel<'_>) -> Result<()> {
    let gateway = &tunnel.scene.site.gateway;
    let more = format!("effective-immediately = false\ndscp = {EF}");
    gateway.reconfigure("effective-immediately = false", &more)?;
    let expected = Some(EF << 2 | ECT_0);
    tunnel.scene.lab.wait_for("the connection's own DSCP outside", Duration::from_secs(10), || {
        let outside = tunnel.outside("dscp-outside")?;
        let ping = tunnel.ping(1, SIZE, &["-Q", &(AF11 | ECT_0).to_string(), "-W", "1"])?;
        let mut outer = Outer::new();
        outside.each(|frame| note_outer(&mut outer, frame))?;
        let sent = outer.get(&(true, tunnel.outer_length(SIZE))).copied();
        Ok((ping.received == 1 && sent == expected).then_some(()))
    })
}
