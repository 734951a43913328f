//! Journeys in words.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use packet::InterfaceId;
use packet::decide::{Ingress, Verdict};
use packet::flow::Flow;
use packet::headers::protocol;
use shm::counters::InterfaceDescription;
use shm::inspect::{self as contract, Stage};

use super::super::sas::Ticks;
use crate::journey::{Journey, Noted, Step};
use crate::shared::{AgentWork, ExceptionKind};

/// What it takes to put a journey into words: names, and the time.
pub(super) struct Teller<'a> {
    pub(super) described: &'a BTreeMap<InterfaceId, InterfaceDescription>,
    pub(super) ticks: Ticks,
    /// At these ticks, nanoseconds since 1970.
    pub(super) unix_nanos: u64,
}

impl Teller<'_> {
    pub(super) fn journey(&self, journey: &Journey) -> contract::Journey {
        let reason = journey.drop_reason();
        contract::Journey {
            id: journey.id,
            piece: journey.piece,
            stages: journey.steps.iter().map(|noted| self.stage(noted)).collect(),
            left_out: journey.untold,
            spis: journey.wire_spis().collect(),
            drop_reason: reason.map(|reason| reason.name().to_owned()),
            help: reason.map(|reason| reason.help().to_owned()),
        }
    }

    fn stage(&self, noted: &Noted) -> Stage {
        let (at, worker) = (self.unix_nanos(noted.at), noted.worker);
        Stage { at, worker, stage: word(&noted.step).to_owned(), found: self.found(&noted.step) }
    }

    /// When a worker's clock showed `ticks`.
    pub(super) fn unix_nanos(&self, ticks: u64) -> u64 {
        let ago = u128::from(self.ticks.now.saturating_sub(ticks)) * 1_000_000_000;
        let ago = ago / u128::from(self.ticks.per_second.max(1));
        self.unix_nanos.saturating_sub(u64::try_from(ago).unwrap_or(u64::MAX))
    }

    /// The name of an interface, or its number if it is gone.
    pub(super) fn interface(&self, id: InterfaceId) -> String {
        let name = self.described.get(&id).map(|what| what.name.as_str().to_owned());
        name.unwrap_or_else(|| format!("interface {id}"))
    }

    fn found(&self, step: &Step) -> String {
        match *step {
            Step::Received { interface: None, len } => format!("{len} bytes, for no interface"),
            Step::Received { interface: Some(id), len } => format!("{len} bytes on {}", self.interface(id)),
            Step::FromAgent(work) => self.agent_work(work),
            Step::Whole { fragments } => format!("made of {fragments} fragments"),
            Step::Header(flow) => header(&flow),
            Step::Outside(verdict) => self.verdict(&verdict),
            Step::Waits { spi } => format!("waits for the keys of SA {spi:08x}"),
            Step::Again => "looked at again".to_owned(),
            Step::Collected => "waits for the other fragments of its packet".to_owned(),
            Step::HandedOver { to } => format!("to worker {to}, which owns the SA"),
            Step::TakenOver => "taken over".to_owned(),
            Step::Sa { spi, seq } => format!("SA {spi}: sequence number {} is new", seq.0),
            Step::Opened { spi } => format!("authentic, decrypted with SA {spi}"),
            Step::Decided { vrf, ingress, verdict } => {
                let whence = match ingress {
                    Ingress::Inside => "from an inside interface".to_owned(),
                    Ingress::Outside => "from an outside interface".to_owned(),
                    Ingress::Tunnel(id) => format!("out of tunnel {id}"),
                    Ingress::Own => "from ourselves".to_owned(),
                };
                format!("VRF {vrf}, {whence}: {}", self.verdict(&verdict))
            }
            Step::Sealed { spi, peer_spi, seq, len } => {
                format!("with SA {spi}: SPI {peer_spi:08x}, sequence number {}, {len} bytes", seq.0)
            }
            Step::Split { pieces } => format!("into {pieces} pieces"),
            Step::Merged => "part of a whole packet that goes on".to_owned(),
            Step::Sent { interface, len } => format!("{len} bytes on {}", self.interface(interface)),
            Step::Left(kind) => self.exception(kind),
            Step::Dropped(reason) => format!("{}: {}", reason.name(), reason.help()),
        }
    }

    /// As the verdict says it, with the name of the interface.
    fn verdict(&self, verdict: &Verdict) -> String {
        match *verdict {
            Verdict::Forward { interface, neighbour } => {
                format!("sent in clear on {} to {neighbour}", self.interface(interface))
            }
            Verdict::FragmentForward { mtu, interface } => {
                let name = self.interface(interface);
                format!("split into fragments of {mtu} bytes, sent in clear on {name}")
            }
            _ => verdict.to_string(),
        }
    }

    fn agent_work(&self, work: AgentWork) -> String {
        match work {
            AgentWork::Frame { interface } => format!("a frame of ours for {}", self.interface(interface)),
            AgentWork::Neighbour { interface, neighbour } => {
                format!("waited for neighbour {neighbour} on {}", self.interface(interface))
            }
            AgentWork::Own { vrf } => format!("a packet of ours, in clear by the routes of VRF {vrf}"),
            AgentWork::Forward { vrf } => format!("a packet of ours in VRF {vrf}"),
            AgentWork::Probe { spi } => format!("a probe of the path MTU of SA {spi}"),
        }
    }

    fn exception(&self, kind: ExceptionKind) -> String {
        match kind {
            ExceptionKind::Arp => "left to the agent: ARP".to_owned(),
            ExceptionKind::Ndp => "left to the agent: neighbour discovery".to_owned(),
            ExceptionKind::LinkLocalEcho => "left to the agent: a ping to a link-local address".to_owned(),
            ExceptionKind::Ike { .. } => "left to the agent: IKE".to_owned(),
            ExceptionKind::Icmp => "left to the agent: ICMP for us".to_owned(),
            ExceptionKind::Local { .. } => "left to the agent: for an address of ours".to_owned(),
            ExceptionKind::Neighbour { egress, neighbour, .. } => {
                let name = self.interface(egress);
                format!("left to the agent until neighbour {neighbour} on {name} is known")
            }
            ExceptionKind::TooBig { .. }
            | ExceptionKind::Unreachable { .. }
            | ExceptionKind::ReassemblyTimeExceeded { .. }
            | ExceptionKind::TimeExceeded { .. } => "left to the agent, which answers with ICMP".to_owned(),
        }
    }
}

/// One word for the stage.
fn word(step: &Step) -> &'static str {
    match step {
        Step::Received { .. } => "receive",
        Step::FromAgent(_) | Step::Left(_) => "agent",
        Step::Whole { .. } | Step::Collected | Step::Merged => "reassemble",
        Step::Header(_) => "header",
        Step::Outside(_) => "classify",
        Step::Waits { .. } | Step::Again => "hold",
        Step::HandedOver { .. } | Step::TakenOver => "hand-over",
        Step::Sa { .. } => "sa",
        Step::Opened { .. } => "open",
        Step::Decided { .. } => "decide",
        Step::Sealed { .. } => "seal",
        Step::Split { .. } => "fragment",
        Step::Sent { .. } => "send",
        Step::Dropped(_) => "drop",
    }
}

/// `10.1.0.9 port 40000 to 10.2.0.9 port 443, TCP, 60 bytes, hop limit 64, DF`.
fn header(flow: &Flow) -> String {
    let Flow { src, dst, ports, len, hop_limit, .. } = flow;
    let mut text = match (flow.protocol, ports) {
        (protocol::ICMP | protocol::ICMPV6, Some(ports)) => {
            format!("{src} to {dst}, {} type {} code {}", name(flow), ports.src >> 8, ports.src & 0xff)
        }
        (_, Some(ports)) => {
            format!("{src} port {} to {dst} port {}, {}", ports.src, ports.dst, name(flow))
        }
        (_, None) => format!("{src} to {dst}, {}", name(flow)),
    };
    // Writing to a String cannot fail.
    let _ = write!(text, ", {len} bytes, hop limit {hop_limit}");
    if flow.dont_fragment && src.is_ipv4() {
        text.push_str(", DF");
    }
    if flow.fragment {
        text.push_str(", a fragment");
    }
    text
}

fn name(flow: &Flow) -> String {
    match flow.protocol {
        protocol::ICMP => "ICMP".to_owned(),
        protocol::TCP => "TCP".to_owned(),
        protocol::UDP => "UDP".to_owned(),
        protocol::ESP => "ESP".to_owned(),
        protocol::ICMPV6 => "ICMPv6".to_owned(),
        other => format!("protocol {other}"),
    }
}
