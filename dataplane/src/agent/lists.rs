//! Answers to `List`: pages of records from the newest tables.

use std::net::IpAddr;
use std::ops::ControlFlow;

use crypto::Key;
use packet::sad::{SaState, SadEntry};
use packet::tables::{RouteTarget, Tunnel};
use packet::{InterfaceId, Prefix, TunnelId, VrfId};
use shm::message as contract;
use shm::message::{
    Completion, Label, List, ListEnd, ListInterface, ListKind, ListNeighbour, ListPort, ListRoute, ListSa,
    ListTunnel, NeighbourRecord, OutboundRecord, PortRecord, RequestId, SaRecord,
};

use super::environment::Environment;
use super::neighbours::{Facts, State};
use super::{Agent, convert, sas};

/// Records of one page.
const PAGE: usize = 256;

/// Collects the page that starts at a cursor: the number of records that were listed before. Records that
/// come or go between two pages may be missed or seen twice, which their readers can bear.
struct Page {
    skip: u64,
    seen: u64,
    records: Vec<Completion>,
}

impl Page {
    fn new(cursor: u64) -> Self {
        Self { skip: cursor, seen: 0, records: Vec::new() }
    }

    /// Counts a record, and makes it only where it belongs to the page.
    fn offer<T: Into<Completion>>(&mut self, make: impl FnOnce() -> T) {
        if self.seen >= self.skip && self.records.len() < PAGE {
            self.records.push(make().into());
        }
        self.seen += 1;
    }

    /// The page that starts where another one ended: what lies before is not offered again.
    fn resumed(cursor: u64) -> Self {
        Self { seen: cursor, ..Self::new(cursor) }
    }

    /// True once more was offered than the page takes.
    fn is_over(&self) -> bool {
        self.records.len() == PAGE && self.next() != 0
    }

    /// Where the next page starts; 0 = this was the last.
    fn next(&self) -> u64 {
        let end = self.skip + u64::try_from(self.records.len()).unwrap_or(0);
        if end < self.seen { end } else { 0 }
    }
}

impl<E: Environment> Agent<E> {
    pub(super) fn list(&mut self, list: &List) {
        let request = list.request;
        let mut page = Page::new(list.cursor);
        match list.kind {
            ListKind::Sas => return self.list_sas(request, list.cursor),
            ListKind::Tunnels => return self.list_tunnels(request, list.cursor),
            ListKind::Neighbours => self.list_neighbours(request, &mut page),
            ListKind::Ports => self.list_ports(request, &mut page),
            ListKind::Interfaces => {
                for interface in self.tables.interfaces() {
                    page.offer(|| ListInterface {
                        request,
                        interface: convert::contract_interface(interface),
                    });
                }
            }
            ListKind::Routes => page = self.list_routes(request, list.cursor),
        }
        let next = page.next();
        page.records.into_iter().for_each(|record| self.control.answer(record));
        self.control.answer(ListEnd { request, next });
    }

    /// The cursor is a slot: an SA that goes between two pages makes no other one be missed.
    fn list_sas(&mut self, request: RequestId, cursor: u64) {
        let bits = self.tables.sad().bits();
        let slot = |entry: &SadEntry<Key>| u64::try_from(entry.spi.slot(bits)).unwrap_or(u64::MAX);
        let mut rest = self.tables.sad().iter_from(usize::try_from(cursor).unwrap_or(usize::MAX));
        let page: Vec<_> = rest.by_ref().take(PAGE).map(|entry| self.sa_record(entry)).collect();
        let next = rest.next().map_or(0, slot);
        for sa in page {
            self.control.answer(ListSa { request, sa });
        }
        self.control.answer(ListEnd { request, next });
    }

    fn sa_record(&self, entry: &SadEntry<Key>) -> SaRecord {
        let book = self.sas.book(entry.spi);
        let age = book.map(|book| self.environment.now().saturating_sub(book.since)).unwrap_or_default();
        let outer = entry.template.as_ref().map(|t| convert::contract_outer(&t.endpoints));
        let inbound = entry.inbound.as_deref();
        let peer_spi = |value| contract::Spi::new(value);
        SaRecord {
            spi: convert::contract_spi(entry.spi),
            state: match entry.state {
                SaState::Reserved => contract::SaState::Reserved,
                SaState::Installed => contract::SaState::Installed,
                SaState::Lingering => contract::SaState::Lingering,
            },
            owner: match inbound {
                Some(sa) => convert::contract_owner(sa.config.owner_tag),
                None => book.map(|book| book.owner).unwrap_or_default(),
            },
            tunnel: contract::TunnelId(entry.tunnel.0),
            suite: book.and_then(|book| book.suite).unwrap_or(contract::Suite {
                encryption: 0,
                key_bits: 0,
                integrity: 0,
            }),
            esn: inbound.is_some_and(|sa| sa.config.esn),
            replay_window: inbound.map_or(0, |sa| u16::try_from(sa.replay.size()).unwrap_or(u16::MAX)),
            worker: inbound.map_or(0, |sa| sa.owner()),
            age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            outer,
            outbound: entry.outbound.as_deref().zip(outer).and_then(|(sa, outer)| {
                let peer_spi = peer_spi(sa.config.peer_spi)?;
                Some(OutboundRecord { peer_spi, outer, active: entry.active })
            }),
            totals: sas::totals(entry, book, self.ticks()),
        }
    }

    fn list_neighbours(&self, request: RequestId, page: &mut Page) {
        let now = self.environment.now();
        for ((interface, ip), facts) in self.neighbours.iter_after(None) {
            let age = now.saturating_sub(facts.confirmed);
            page.offer(|| {
                let neighbour = neighbour_record(interface, ip, &facts, age);
                ListNeighbour { request, neighbour }
            });
        }
    }

    fn list_ports(&self, request: RequestId, page: &mut Page) {
        for (index, (port, link)) in self.shared.ports.iter().zip(&self.links).enumerate() {
            page.offer(|| ListPort {
                request,
                port: PortRecord {
                    id: contract::PortId(u16::try_from(index).unwrap_or(u16::MAX)),
                    name: Label::new(&port.name),
                    driver: Label::new(&port.driver),
                    mac: port.mac.0,
                    link_up: link.up,
                    speed_mbit: link.speed_mbit,
                    queues: port.queues,
                    mtu: port.mtu,
                    offloads: convert::contract_offloads(port.offloads),
                    steering: convert::contract_steering(&port.steering),
                },
            });
        }
    }

    /// Configured routes only: those of addresses follow from the interfaces. A page goes on where the one before
    /// it ended, which is remembered of the last one: the many routes before are not walked again.
    fn list_routes(&mut self, request: RequestId, cursor: u64) -> Page {
        let resumed = self.listed_routes.filter(|listed| listed.next == cursor);
        let mut page = resumed.map_or_else(|| Page::new(cursor), |listed| Page::resumed(listed.next));
        let mut last = resumed.map(|listed| listed.last);
        let first = last.map_or(VrfId(0), |(vrf, _)| vrf);
        for (vrf, table) in self.tables.vrfs().skip_while(|(vrf, _)| *vrf < first) {
            let after = last.and_then(|(of, prefix)| (of == vrf).then_some(prefix));
            let walked = table.try_for_each_target_after(after, |prefix, target| {
                let RouteTarget::NextHop(next_hop) = target else { return ControlFlow::Continue(()) };
                let Some(contract) = convert::contract_prefix(prefix) else {
                    return ControlFlow::Continue(());
                };
                let key = contract::RouteKey { vrf: contract::VrfId(vrf.0), prefix: contract };
                let route = contract::Route { key, next_hop: contract::NextHopId(next_hop.0) };
                page.offer(|| ListRoute { request, route });
                if page.is_over() {
                    return ControlFlow::Break(());
                }
                last = Some((vrf, prefix));
                ControlFlow::Continue(())
            });
            if walked.is_break() {
                break;
            }
        }
        let next = page.next();
        self.listed_routes = last.filter(|_| next != 0).map(|last| ListedRoutes { next, last });
        page
    }

    /// The cursor is an identifier, as that of SAs is a slot.
    fn list_tunnels(&mut self, request: RequestId, cursor: u64) {
        let first = TunnelId(u32::try_from(cursor).unwrap_or(u32::MAX));
        let mut rest = self.tables.tunnels_from(first);
        let page: Vec<_> =
            rest.by_ref().take(PAGE).map(|tunnel| self.tunnel_record(request, tunnel)).collect();
        let next = rest.next().map_or(0, |tunnel| tunnel.id.0.into());
        page.into_iter().for_each(|record| self.control.answer(record));
        self.control.answer(ListEnd { request, next });
    }

    fn tunnel_record(&self, request: RequestId, tunnel: &Tunnel) -> ListTunnel {
        let children = self.tables.children(tunnel.id);
        let active = children.iter().filter(|spi| self.tables.child(**spi).is_some()).count();
        ListTunnel {
            request,
            tunnel: convert::contract_tunnel(tunnel),
            active_children: u32::try_from(active).unwrap_or(u32::MAX),
            path: self.probing.record(tunnel),
        }
    }
}

/// Where the last page of routes ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListedRoutes {
    /// The cursor of the page that follows.
    next: u64,
    /// The last route of the page.
    last: (VrfId, Prefix),
}

fn neighbour_record(
    interface: InterfaceId,
    ip: IpAddr,
    facts: &Facts,
    age: std::time::Duration,
) -> NeighbourRecord {
    NeighbourRecord {
        interface: contract::InterfaceId(interface.0),
        ip,
        mac: facts.mac.0,
        state: match facts.state {
            State::Incomplete => contract::NeighbourState::Incomplete,
            State::Reachable => contract::NeighbourState::Reachable,
            State::Probe => contract::NeighbourState::Probe,
            State::Failed => contract::NeighbourState::Failed,
        },
        held: u16::try_from(facts.held).unwrap_or(u16::MAX),
        age_ms: u32::try_from(age.as_millis()).unwrap_or(u32::MAX),
    }
}
