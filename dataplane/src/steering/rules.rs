//! A rule for each SA in each device that takes some: made when the SA is installed, removed when its SPI is freed.
//!
//! Calls of drivers may take long, so few are made at a time. What a device refuses is handed over, and counted.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use dpdk::{FlowError, FlowMatch, FlowRule, FlowTarget, Port};
use packet::esp::{Encap, OuterEndpoints};
use packet::{PortId, Spi};

use super::hash::Prophet;
use super::plan::{Form, Pattern, RuleForms};

/// Rules in one port: devices have a few hundred to some ten thousand.
const RULES_MAX: usize = 4096;
/// Calls of drivers at a time.
const CALLS: usize = 16;

/// What an SA's packets look like, and where they may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Our inbound SPI.
    pub spi: Spi,
    /// The outer addresses.
    pub outer: OuterEndpoints,
    /// The outside ports of the SA's VRF.
    pub ports: Vec<PortId>,
}

/// Leads packets of SAs to their owners. Nothing here fails: what is not led is handed over.
pub trait Steer {
    /// The worker to which the packets of an SA come without a rule of its own, if all its ports agree.
    fn foretell(&self, peer: &Peer) -> Option<u16>;

    /// From soon on the packets of the SA are to come to `worker`; replaces what was wanted for it before.
    fn lead(&mut self, peer: Peer, worker: u16);

    /// The SA is gone.
    fn release(&mut self, spi: Spi);

    /// Does some of what is left to do; returns how much that was.
    fn work(&mut self) -> usize;

    /// Rules in all devices now, and how often one was refused.
    fn figures(&self) -> (u64, u64);
}

/// Makes rules in devices.
pub trait MakeRules {
    /// A rule that is in force until it is dropped.
    type Rule;

    /// Leads what matches to `queue`.
    ///
    /// # Errors
    /// The device refused it.
    fn make(&self, port: PortId, what: &FlowMatch, whole: bool, queue: u16) -> Result<Self::Rule, FlowError>;
}

impl MakeRules for Rc<Vec<Port>> {
    type Rule = FlowRule;

    fn make(&self, port: PortId, what: &FlowMatch, whole: bool, queue: u16) -> Result<FlowRule, FlowError> {
        let port = self
            .get(port.index())
            .ok_or_else(|| FlowError { reason: "no such port".to_owned(), none: true })?;
        port.rule(what, whole, FlowTarget::Queue(queue))
    }
}

/// A rule, and how many SAs it serves: behind a NAT all SAs of a peer come from one address and port.
struct Shared<R> {
    rule: R,
    queue: u16,
    users: usize,
}

/// One device.
struct Device<R> {
    forms: RuleForms,
    prophet: Option<Prophet>,
    rules: BTreeMap<FlowMatch, Shared<R>>,
    /// It refused a rule, and none was removed since.
    full: bool,
}

/// What is wanted for an SA.
struct Wanted {
    peer: Peer,
    worker: u16,
    /// It was this SA's turn.
    tried: bool,
    made: Vec<(PortId, FlowMatch)>,
}

/// See the [module](self).
pub struct Rules<M: MakeRules> {
    // Before the maker: rules are gone before their ports.
    devices: Vec<Device<M::Rule>>,
    leaving: Vec<M::Rule>,
    wanted: BTreeMap<Spi, Wanted>,
    pending: VecDeque<Spi>,
    refused: u64,
    maker: M,
}

impl<M: MakeRules> Rules<M> {
    /// No rule yet. For each port the kinds of rules that it takes, and what foretells its hash.
    pub fn new(maker: M, ports: impl IntoIterator<Item = (RuleForms, Option<Prophet>)>) -> Self {
        let device = |(forms, prophet)| Device { forms, prophet, rules: BTreeMap::new(), full: false };
        Self {
            devices: ports.into_iter().map(device).collect(),
            leaving: Vec::new(),
            wanted: BTreeMap::new(),
            pending: VecDeque::new(),
            refused: 0,
            maker,
        }
    }

    /// Makes or shares a rule in every port of the SA.
    fn make(&mut self, spi: Spi) {
        let Some(Wanted { peer, worker, tried, made }) = self.wanted.get_mut(&spi) else { return };
        if std::mem::replace(tried, true) {
            return;
        }
        for port in &peer.ports {
            let Some(device) = self.devices.get_mut(port.index()) else { continue };
            let Some((what, form)) = device.forms.rule_for(peer) else { continue };
            if let Some(shared) = device.rules.get_mut(&what) {
                shared.users += 1;
            } else if device.full || device.rules.len() >= RULES_MAX {
                self.refused += 1;
                continue;
            } else {
                match self.maker.make(*port, &what, form.whole, *worker) {
                    Ok(rule) => {
                        device.rules.insert(what, Shared { rule, queue: *worker, users: 1 });
                    }
                    Err(error) => {
                        tracing::warn!(
                            port = port.0,
                            rules = device.rules.len(),
                            %error,
                            "no rule for an SA: its packets are handed over, as are those of others until a rule is removed"
                        );
                        device.full = true;
                        self.refused += 1;
                        continue;
                    }
                }
            }
            made.push((*port, what));
        }
    }
}

impl<R> Device<R> {
    /// The queue of what has no rule of its own, or shares one.
    fn foretell(&self, peer: &Peer) -> Option<u16> {
        match self.forms.rule_for(peer) {
            Some((_, Form { pattern: Pattern::Spi, .. })) => None,
            Some((what, _)) if self.rules.contains_key(&what) => {
                self.rules.get(&what).map(|shared| shared.queue)
            }
            // It gets a rule that leads wherever its owner is.
            Some(_) if !self.full => None,
            _ => self.prophet.as_ref()?.queue(peer.spi, &peer.outer),
        }
    }
}

impl<M: MakeRules> Steer for Rules<M> {
    fn foretell(&self, peer: &Peer) -> Option<u16> {
        let mut ports = peer.ports.iter().filter_map(|port| self.devices.get(port.index()));
        let first = ports.next()?.foretell(peer)?;
        ports.all(|device| device.foretell(peer) == Some(first)).then_some(first)
    }

    fn lead(&mut self, peer: Peer, worker: u16) {
        let spi = peer.spi;
        if self.wanted.get(&spi).is_some_and(|wanted| wanted.peer == peer && wanted.worker == worker) {
            return;
        }
        self.release(spi);
        let mut devices = peer.ports.iter().filter_map(|port| self.devices.get(port.index()));
        if devices.any(|device| device.forms.rule_for(&peer).is_some()) {
            self.wanted.insert(spi, Wanted { peer, worker, tried: false, made: Vec::new() });
            self.pending.push_back(spi);
        }
    }

    fn release(&mut self, spi: Spi) {
        let Some(Wanted { made, .. }) = self.wanted.remove(&spi) else { return };
        for (port, what) in made {
            let Some(device) = self.devices.get_mut(port.index()) else { continue };
            let Some(shared) = device.rules.get_mut(&what) else { continue };
            shared.users -= 1;
            if shared.users == 0 {
                self.leaving.extend(device.rules.remove(&what).map(|shared| shared.rule));
                device.full = false;
            }
        }
    }

    fn work(&mut self) -> usize {
        let leaving = self.leaving.len().min(CALLS);
        self.leaving.truncate(self.leaving.len() - leaving);
        let pending = self.pending.len().min(CALLS - leaving);
        for _ in 0..pending {
            if let Some(spi) = self.pending.pop_front() {
                self.make(spi);
            }
        }
        leaving + pending
    }

    fn figures(&self) -> (u64, u64) {
        let rules: usize = self.devices.iter().map(|device| device.rules.len()).sum();
        (u64::try_from(rules).unwrap_or(u64::MAX), self.refused)
    }
}

impl RuleForms {
    /// The rule for the packets of an SA.
    fn rule_for(&self, peer: &Peer) -> Option<(FlowMatch, Form)> {
        let OuterEndpoints { local, remote, encap, .. } = peer.outer;
        let (spi, ipv6) = (peer.spi.value(), local.is_ipv6());
        let family = usize::from(ipv6);
        let (what, form) = match encap {
            Encap::Native => (FlowMatch::Esp { spi, ipv6 }, self.native[family]?),
            Encap::Udp { local_port, remote_port } => {
                let form = self.in_udp[family]?;
                let what = match form.pattern {
                    Pattern::Spi => FlowMatch::EspInUdp { spi, ipv6 },
                    Pattern::Ports => FlowMatch::Udp {
                        remote: SocketAddr::new(remote, remote_port),
                        local: SocketAddr::new(local, local_port),
                    },
                };
                (what, form)
            }
        };
        Some((what, form))
    }
}

impl<M: MakeRules> fmt::Debug for Rules<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rules, refused) = self.figures();
        f.debug_struct("Rules").field("rules", &rules).field("refused", &refused).finish_non_exhaustive()
    }
}
