//! Finding out what a started port does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use dpdk::{Capabilities, FlowError, FlowMatch, FlowRule, FlowTarget, HashFields, Port};

use super::plan::{Form, Found, Pattern, RuleForms};

/// An SPI for which rules are tried before there is any SA.
const SPI: u32 = 0x5eed_0001;
/// IKE and ESP behind NAT (RFC 3948).
const PORT: u16 = 4500;

/// What a port was asked to hash, and what came of it.
#[derive(Debug, Clone)]
pub struct Hashing {
    /// What it hashes.
    pub fields: HashFields,
    /// What it answered to better ones.
    pub refused: Option<String>,
}

/// What a port with a queue for each of several workers takes, with the rules that stay for good.
#[must_use]
pub fn probe(port: &Port, able: &Capabilities, queues: u16, hashing: Hashing) -> (Found, Vec<FlowRule>) {
    let mut found = Found {
        driver: able.driver.clone(),
        queues,
        offered: super::plan::believed(&able.driver, able.hash),
        hashing: hashing.fields,
        hash_refused: hashing.refused,
        rules: RuleForms::default(),
        rule_refused: None,
        spread_by_spi: false,
    };
    if queues < 2 {
        return (found, Vec::new());
    }
    // Not the first queue: a device that ignores rules would not be told apart by a test.
    let target = FlowTarget::Queue(queues - 1);
    let mut first = None;
    for (family, ipv6) in [false, true].into_iter().enumerate() {
        let (esp, in_udp, ports) = samples(ipv6);
        let take = |what: &FlowMatch, pattern| best(port, what, pattern, target);
        match take(&esp, Pattern::Spi) {
            Ok(form) => found.rules.native[family] = Some(form),
            Err(error) if error.none => return (found, Vec::new()),
            Err(error) => _ = first.get_or_insert(error.reason),
        }
        let by_spi = take(&in_udp, Pattern::Spi);
        found.rules.in_udp[family] = by_spi.or_else(|_| take(&ports, Pattern::Ports)).ok();
    }
    found.rule_refused = first.filter(|_| found.rules.native[0].is_none());
    let mut spreading = Vec::new();
    if found.rules.native[0].is_none() && !found.hashing.spi {
        spreading = spread(port);
        found.spread_by_spi = !spreading.is_empty();
    }
    (found, spreading)
}

/// ESP, ESP in UDP, and the UDP flow of a peer.
fn samples(ipv6: bool) -> (FlowMatch, FlowMatch, FlowMatch) {
    let addresses: [IpAddr; 2] = if ipv6 {
        [1, 2].map(|host| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host).into())
    } else {
        [1, 2].map(|host| Ipv4Addr::new(192, 0, 2, host).into())
    };
    let [remote, local] = addresses.map(|address| SocketAddr::new(address, PORT));
    (
        FlowMatch::Esp { spi: SPI, ipv6 },
        FlowMatch::EspInUdp { spi: SPI, ipv6 },
        FlowMatch::Udp { remote, local },
    )
}

/// A rule that leaves fragments out, else one that may not.
fn best(port: &Port, what: &FlowMatch, pattern: Pattern, to: FlowTarget) -> Result<Form, FlowError> {
    let form = |whole| port.try_rule(what, whole, to).map(|()| Form { pattern, whole });
    form(true).or_else(|_| form(false))
}

/// Rules that spread ESP by its SPI, for drivers that hash it only by a rule: ice and iavf do (`eth_ipv4_esp_tmplt`
/// in ice_hash.c), i40e with a DDP profile that knows ESP. Kept for as long as the port runs.
fn spread(port: &Port) -> Vec<FlowRule> {
    let all = [false, true].into_iter();
    let kinds = all.flat_map(|ipv6| [FlowMatch::Esp { spi: 0, ipv6 }, FlowMatch::EspInUdp { spi: 0, ipv6 }]);
    let mut rules = Vec::new();
    for kind in kinds {
        match port.rule(&kind, false, FlowTarget::BySpi) {
            Ok(rule) => rules.push(rule),
            // Over IPv4 without UDP first: who refuses that is not asked for more.
            Err(_) if rules.is_empty() => break,
            Err(_) => {}
        }
    }
    rules
}
