//! Narrowing of traffic selectors (RFC 7296 section 2.9).

use std::net::IpAddr;

use crate::manager::command::Flow;
use crate::wire::{PortRange, TrafficSelector, TsPayload};

/// Most selectors of one side that we install.
const MAX_SELECTORS: usize = 64;

/// As responder: the packets that both the offer and our policy describe, in the order of the offer.
///
/// The first offered selector may be the packet that triggered the negotiation; what it intersects comes
/// first, and every other common subset is kept too.
pub(crate) fn narrow(ours: &[TrafficSelector], offered: &TsPayload) -> Vec<TrafficSelector> {
    let common =
        offered.selectors.iter().flat_map(|theirs| ours.iter().filter_map(|mine| mine.intersection(theirs)));
    let mut kept: Vec<TrafficSelector> = Vec::new();
    for selector in common {
        if kept.iter().any(|other| other.contains(&selector)) {
            continue;
        }
        kept.retain(|other| !selector.contains(other));
        kept.push(selector);
    }
    kept.truncate(MAX_SELECTORS);
    kept
}

/// As initiator: whether the responder's choice is not empty and lies within what we offered.
pub(crate) fn is_narrowed(offered: &[TrafficSelector], chosen: &TsPayload) -> bool {
    !chosen.selectors.is_empty()
        && chosen.unknown.is_empty()
        && chosen.selectors.len() <= MAX_SELECTORS
        && covers(offered, &chosen.selectors)
}

/// Whether each of `some` lies within one of `all`.
pub(crate) fn covers(all: &[TrafficSelector], some: &[TrafficSelector]) -> bool {
    some.iter().all(|one| all.iter().any(|other| other.contains(one)))
}

/// Both sides' selectors of an offer, led by the packet that triggered it, if any and if it is one of ours.
pub(crate) fn offer(
    local: &[TrafficSelector],
    remote: &[TrafficSelector],
    flow: Option<&Flow>,
) -> (Vec<TrafficSelector>, Vec<TrafficSelector>) {
    let lead = flow.and_then(|f| {
        let src = exact(f.protocol, f.src_port, f.src)?;
        let dst = exact(f.protocol, f.dst_port, f.dst)?;
        let ours = local.iter().any(|ts| ts.contains(&src)) && remote.iter().any(|ts| ts.contains(&dst));
        ours.then_some((src, dst))
    });
    let with = |lead: Option<TrafficSelector>, rest: &[TrafficSelector]| {
        lead.into_iter().chain(rest.iter().copied()).collect::<Vec<_>>()
    };
    (with(lead.map(|l| l.0), local), with(lead.map(|l| l.1), remote))
}

fn exact(protocol: u8, port: u16, addr: IpAddr) -> Option<TrafficSelector> {
    let ports = if port == 0 { PortRange::ANY } else { PortRange::new(port, port).ok()? };
    TrafficSelector::new(protocol, ports, addr, addr).ok()
}

/// Selectors as text.
pub(crate) fn describe(selectors: &[TrafficSelector]) -> String {
    selectors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ts(text: &str) -> TrafficSelector {
        let (addr, len) = text.split_once('/').unwrap();
        TrafficSelector::from_network(addr.parse().unwrap(), len.parse().unwrap()).unwrap()
    }

    fn flow(src: &str, dst: &str) -> Flow {
        let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
        Flow { src, dst, protocol: 6, src_port: 40_000, dst_port: 443 }
    }

    #[test]
    fn the_narrower_side_wins_whichever_it_is() {
        let offered = TsPayload::new(vec![ts("0.0.0.0/0")]);
        assert_eq!(
            narrow(&[ts("10.1.0.0/24"), ts("10.3.0.0/16")], &offered),
            [ts("10.1.0.0/24"), ts("10.3.0.0/16")]
        );
        let offered = TsPayload::new(vec![ts("10.1.0.128/25")]);
        assert_eq!(narrow(&[ts("10.1.0.0/24")], &offered), [ts("10.1.0.128/25")]);
        assert_eq!(narrow(&[ts("10.9.0.0/24")], &offered), []);
    }

    #[test]
    fn a_leading_packet_is_absorbed_by_its_network() {
        let (local, remote) = ([ts("10.1.0.0/24")], [ts("10.2.0.0/24")]);
        let (tsi, tsr) = offer(&local, &remote, Some(&flow("10.1.0.7", "10.2.0.9")));
        assert_eq!((tsi.len(), tsr.len()), (2, 2));
        assert_eq!(narrow(&local, &TsPayload::new(tsi)), local);
        assert!(is_narrowed(&tsr, &TsPayload::new(vec![ts("10.2.0.9/32")])));
    }

    #[test]
    fn a_packet_outside_the_policy_does_not_lead() {
        let (tsi, _) = offer(&[ts("10.1.0.0/24")], &[ts("10.2.0.0/24")], Some(&flow("10.7.0.7", "10.2.0.9")));
        assert_eq!(tsi, [ts("10.1.0.0/24")]);
    }

    #[test]
    fn an_answer_wider_than_the_offer_is_refused() {
        let offered = [ts("10.1.0.0/24")];
        assert!(!is_narrowed(&offered, &TsPayload::new(vec![ts("10.0.0.0/8")])));
        assert!(!is_narrowed(&offered, &TsPayload::new(vec![])));
    }

    #[test]
    fn one_network_covers_those_within_it_only() {
        let all = [ts("10.1.0.0/24"), ts("10.2.0.0/16")];
        assert!(covers(&all, &[ts("10.2.9.0/24"), ts("10.1.0.7/32")]));
        assert!(!covers(&all, &[ts("10.2.9.0/24"), ts("10.3.0.0/24")]));
    }
}
