//! The tunnels as the API shows them, and what each has carried over all its SAs.

use std::collections::{BTreeMap, BTreeSet};

use api::{Connection, NegotiationStatus, Tunnel, TunnelState, TunnelTraffic};
use gateway::model::RoutingMode;
use gateway::plan::TunnelPlan;
use ike::{IkeState, Time};
use shm::counters::CountersReader;
use shm::message::{OwnerTag, SaDeleted, SaTotals, Spi};

use super::view::totals;
use super::{Engine, State};
use crate::convert;

/// What outlives the SAs of a tunnel.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// What SAs that are gone have carried, by tunnel.
    gone: BTreeMap<u32, TunnelTraffic>,
    /// SAs that still take late packets, with their tunnels.
    lingering: BTreeMap<Spi, u32>,
    /// Since when a tunnel carries traffic.
    up: BTreeMap<u32, Time>,
}

impl Ledger {
    /// An SA is no longer used; its final counters will come.
    pub(super) fn lingers(&mut self, spi: Spi, owner: OwnerTag) {
        self.lingering.insert(spi, owner.tunnel.0);
    }

    /// The final counters of an SA came.
    pub(super) fn settle(&mut self, deleted: &SaDeleted) {
        self.lingering.remove(&deleted.spi);
        add(self.gone.entry(deleted.owner.tunnel.0).or_default(), &deleted.totals);
    }

    /// A session ended: final counters that have not come will not come.
    pub(super) fn disconnected(&mut self) {
        self.lingering.clear();
    }

    /// A tunnel carries traffic since `now`, unless it did before.
    pub(super) fn came_up(&mut self, tunnel: u32, now: Time) {
        self.up.entry(tunnel).or_insert(now);
    }

    /// A tunnel carries nothing any more.
    pub(super) fn went_down(&mut self, tunnel: u32) {
        self.up.remove(&tunnel);
    }

    /// Forgets the tunnels that are no longer configured.
    pub(super) fn keep(&mut self, tunnels: &BTreeSet<u32>) {
        self.gone.retain(|tunnel, _| tunnels.contains(tunnel));
        self.up.retain(|tunnel, _| tunnels.contains(tunnel));
    }
}

impl Engine {
    pub(super) fn view_connections(&self, figures: Option<&CountersReader>, now: Time) -> Vec<Connection> {
        let text = |nets: &[ipnet::IpNet]| nets.iter().map(ToString::to_string).collect();
        let mut plans: BTreeMap<&str, Vec<&TunnelPlan>> = BTreeMap::new();
        for plan in &self.document.plan.tunnels {
            plans.entry(&plan.connection).or_default().push(plan);
        }
        let traffic = figures.map(|figures| self.traffic(figures));
        let tunnel = |(plan, customer_gateway): (&&TunnelPlan, &str)| {
            let traffic = traffic.as_ref().map(|all| all.get(&plan.id).copied().unwrap_or_default());
            self.tunnel(plan, customer_gateway, traffic, now)
        };
        let connection = |c: &gateway::model::Connection| Connection {
            name: c.name.clone(),
            routing_mode: match c.routing_mode {
                RoutingMode::Destination => "destination".to_owned(),
                RoutingMode::ProtectedDataFlows => "protected-data-flows".to_owned(),
            },
            local_networks: text(&c.local_networks),
            remote_networks: text(&c.remote_networks),
            resource_group: c.labels.resource_group.clone(),
            tags: c.labels.tags.clone(),
            tunnels: plans
                .get(&*c.name)
                .into_iter()
                .flatten()
                .zip(c.tunnels.iter().map(|tunnel| &*tunnel.customer_gateway))
                .map(tunnel)
                .collect(),
        };
        self.document.desired.connections.iter().map(connection).collect()
    }

    /// Whether the data plane has what the document says.
    #[must_use]
    pub fn state_of_configuration(&self) -> TunnelState {
        let in_force = self.state == State::Ready && !self.link.is_configuring();
        if in_force { TunnelState::Active } else { TunnelState::Updating }
    }

    /// Whether a configuration is on its way to the data plane.
    #[must_use]
    pub fn is_configuring(&self) -> bool {
        self.state != State::Away && self.link.is_configuring()
    }

    /// By tunnel, what its SAs carry and carried.
    fn traffic(&self, figures: &CountersReader) -> BTreeMap<u32, TunnelTraffic> {
        let mut all = self.ledger.gone.clone();
        let installed = self.installed.iter().map(|(spi, owner)| (*spi, owner.tunnel.0));
        let lingering = self.ledger.lingering.iter().map(|(spi, tunnel)| (*spi, *tunnel));
        for (spi, tunnel) in installed.chain(lingering) {
            if let Some(totals) = totals(figures, spi.value()) {
                add(all.entry(tunnel).or_default(), &totals);
            }
        }
        all
    }

    fn tunnel(
        &self,
        plan: &TunnelPlan,
        customer_gateway: &str,
        traffic: Option<TunnelTraffic>,
        now: Time,
    ) -> Tunnel {
        let key = convert::key(plan);
        let established = || self.manager.ike_sas_of(key).any(|sa| sa.state == IkeState::Established);
        let status = match self.children.contains_key(&plan.id) {
            true => NegotiationStatus::IpsecSaEstablished,
            false if established() => NegotiationStatus::IpsecSaNotEstablished,
            false => NegotiationStatus::IkeSaNotEstablished,
        };
        Tunnel {
            id: plan.id,
            name: plan.name(),
            index: plan.index,
            role: if plan.index == 1 { "Primary" } else { "Secondary" }.to_owned(),
            gateway_ip: plan.local,
            customer_gateway: customer_gateway.to_owned(),
            customer_gateway_ip: plan.remote,
            state: self.state_of_configuration(),
            status,
            up_secs: self.ledger.up.get(&plan.id).map(|since| now.since(*since).as_secs()),
            failure: self.diagnoses.code(key).map(|code| format!("{code:?}")),
            traffic,
        }
    }
}

fn add(sum: &mut TunnelTraffic, totals: &SaTotals) {
    sum.in_packets += totals.in_packets;
    sum.in_bytes += totals.in_bytes;
    sum.out_packets += totals.out_packets;
    sum.out_bytes += totals.out_bytes;
    sum.in_policed += totals.in_policed;
    sum.out_policed += totals.out_policed;
    sum.auth_failures += totals.auth_failures;
    sum.replays += totals.replays;
    sum.selector_failures += totals.selector_failures;
    sum.other_drops += totals.other_drops;
}
