//! `esplanade explain`: the decision of the running tables about a packet that somebody thinks of.

use std::net::IpAddr;

use packet::decide::explain::Step;
use packet::decide::{Explanation, Ingress, Verdict, explain_inner, explain_outside};
use packet::flow::Flow;
use packet::headers::ipv4::{self, Ipv4Repr};
use packet::headers::ipv6::{self, Ipv6Repr};
use packet::headers::{protocol, udp};
use packet::tables::{Interface, Role};
use packet::{DropReason, VrfId};
use shm::inspect::{self as contract, Arrival, Explain, Explained, InterfaceName, PassedOver};
use shm::message::MAX_PACKET_LEN;

use crate::agent::Agent;
use crate::agent::environment::Environment;

/// Losing candidates that one step names, and the length of each, bytes: an answer must fit its message.
const MAX_CANDIDATES: usize = 24;
const MAX_CANDIDATE_LEN: usize = 200;
/// What a packet is filled with: neither a zero marker nor a NAT keepalive (RFC 3948 section 2), so that UDP on
/// port 4500 is ESP, and no reserved SPI.
const FILLER: u8 = 0x55;

impl<E: Environment> Agent<E> {
    /// The error is for people.
    pub(super) fn explain(&self, what: &Explain) -> Result<Explained, String> {
        let packet = synthesize(what)?;
        let interface = self.arrival_interface(what);
        let vrf = what.vrf.map(VrfId).or(interface.map(|interface| interface.vrf));
        let vrf = vrf.ok_or("no interface of that role is configured")?;
        let explanation = match (Flow::parse(&packet), what.arrival) {
            (Err(reason), _) => Explanation { steps: Vec::new(), verdict: Verdict::Drop(reason) },
            (Ok(flow), Arrival::Inside) => explain_inner(&self.tables, vrf, &flow, Ingress::Inside),
            (Ok(flow), Arrival::Outside) => {
                let interface = interface.ok_or(format!("VRF {vrf} has no outside interface"))?;
                explain_outside(&self.tables, interface, &packet, &flow)
            }
        };
        let name = |interface: &Interface| InterfaceName {
            id: interface.id.0,
            name: self
                .described
                .get(&interface.id)
                .map(|what| what.name.as_str().to_owned())
                .unwrap_or_default(),
        };
        Ok(Explained {
            tables: self.tables.version(),
            vrf: vrf.0,
            interfaces: self.tables.interfaces().map(name).collect(),
            steps: explanation.steps.iter().map(step).collect(),
            verdict: verdict(explanation.verdict),
        })
    }

    /// Of the role and VRF that were asked for: one with the destination's own address (outside) or in the
    /// source's subnet (inside) before any other.
    fn arrival_interface(&self, what: &Explain) -> Option<&Interface> {
        let role = match what.arrival {
            Arrival::Inside => Role::Inside,
            Arrival::Outside => Role::Outside,
        };
        let fits = |interface: &&Interface| {
            interface.addresses.iter().any(|address| match what.arrival {
                Arrival::Inside => address.subnet().contains(what.src),
                Arrival::Outside => address.address == what.dst,
            })
        };
        let of_role = || {
            let in_vrf = |interface: &Interface| what.vrf.is_none_or(|vrf| interface.vrf.0 == vrf);
            self.tables.interfaces().filter(move |i| i.role == role && in_vrf(i))
        };
        of_role().find(fits).or_else(|| of_role().next())
    }
}

/// A valid packet with these headers.
fn synthesize(what: &Explain) -> Result<Vec<u8>, String> {
    if usize::from(what.len) > MAX_PACKET_LEN {
        return Err(format!("a packet has at most {MAX_PACKET_LEN} bytes"));
    }
    let header_len = if what.src.is_ipv4() { ipv4::MIN_HEADER_LEN } else { ipv6::HEADER_LEN };
    let payload = payload(what, usize::from(what.len).saturating_sub(header_len));
    let payload_len = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    match (what.src, what.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let dont_fragment = what.dont_fragment;
            let (tos, identification, ttl, protocol) = (0, 0, 64, what.protocol);
            let repr = Ipv4Repr { tos, identification, dont_fragment, ttl, protocol, src, dst, payload_len };
            Ok([&repr.emit()[..], &payload].concat())
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let (traffic_class, hop_limit, next_header) = (0, 64, what.protocol);
            let repr = Ipv6Repr { traffic_class, next_header, hop_limit, src, dst, payload_len };
            Ok([&repr.emit()[..], &payload].concat())
        }
        _ => Err("source and destination are of different families".into()),
    }
}

/// At least the header of the protocol.
fn payload(what: &Explain, len: usize) -> Vec<u8> {
    let min = match what.protocol {
        protocol::TCP => 20,
        protocol::ESP => 32,
        _ => 8,
    };
    let mut payload = vec![FILLER; len.max(min)];
    let (src_port, dst_port) = what.ports;
    match what.protocol {
        protocol::UDP => {
            // Never too long: that was checked.
            let _ = udp::emit(&mut payload, what.src, what.dst, src_port, dst_port);
        }
        protocol::ICMP => payload[..2].copy_from_slice(&[8, 0]),
        protocol::ICMPV6 => payload[..2].copy_from_slice(&[128, 0]),
        protocol::ESP => {}
        _ => {
            payload[..2].copy_from_slice(&src_port.to_be_bytes());
            payload[2..4].copy_from_slice(&dst_port.to_be_bytes());
        }
    }
    payload
}

fn step(step: &Step) -> contract::Step {
    let mut candidates = step.losers();
    let more = candidates.len().saturating_sub(MAX_CANDIDATES);
    candidates.truncate(MAX_CANDIDATES);
    candidates.iter_mut().for_each(|text| text.truncate(text.floor_char_boundary(MAX_CANDIDATE_LEN)));
    contract::Step {
        stage: step.stage().to_owned(),
        found: step.to_string(),
        passed_over: PassedOver { candidates, more },
    }
}

fn verdict(verdict: Verdict) -> contract::Verdict {
    let reason = match verdict {
        Verdict::Drop(reason) => Some(reason),
        Verdict::Acquire(_) => Some(DropReason::AwaitingSa),
        Verdict::TimeExceeded => Some(DropReason::TtlExpired),
        Verdict::TooBig { .. } => Some(DropReason::NeedsFragmentation),
        _ => None,
    };
    contract::Verdict {
        text: verdict.to_string(),
        drop_reason: reason.map(|reason| reason.name().to_owned()),
        help: reason.map(|reason| reason.help().to_owned()),
    }
}
