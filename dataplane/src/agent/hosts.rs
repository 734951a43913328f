//! Host addresses: what comes from and goes to the programs of this machine.

use packet::flow::Flow;
use packet::{DropReason, InterfaceId, VrfId};

use super::Agent;
use super::environment::{Environment, Programs};
use super::figures::AgentFigure;
use super::tun::HostAddresses;
use crate::shared::AgentWork;

/// Packets of programs in one turn.
const BURST: usize = 64;

impl<E: Environment> Agent<E> {
    /// Gives the programs the host addresses of the newest tables.
    pub(super) fn serve_hosts(&mut self) {
        let with_hosts = self.tables.vrfs().filter(|(_, vrf)| !vrf.hosts().is_empty());
        let wanted: HostAddresses = with_hosts.map(|(id, vrf)| (id, vrf.hosts().to_vec())).collect();
        // The first time, even of none: a data plane before this one may have left some.
        if self.hosts.as_ref() != Some(&wanted) {
            self.set_hosts(&wanted);
            self.hosts = Some(wanted);
        }
    }

    /// Tries again what could not be done, and makes again what an operator removed.
    pub(super) fn retry_hosts(&mut self) {
        if let Some(hosts) = self.hosts.take_if(|hosts| !hosts.is_empty()) {
            self.set_hosts(&hosts);
            self.hosts = Some(hosts);
        }
    }

    fn set_hosts(&mut self, wanted: &HostAddresses) {
        let missing = self.environment.programs().set(wanted);
        self.figures().set(AgentFigure::HostsMissing, u64::try_from(missing).unwrap_or(u64::MAX));
    }

    /// Takes what programs sent: only from a host address of the VRF whose device it came by.
    pub(super) fn take_from_programs(&mut self) -> usize {
        if self.hosts.as_ref().is_none_or(HostAddresses::is_empty) {
            return 0;
        }
        // The buffer for control's packets, between which this runs.
        let mut buffer = std::mem::replace(&mut self.inject, Box::new([0; shm::message::MAX_PACKET_LEN]));
        let mut count = 0;
        while count < BURST {
            let Some((vrf, len)) = self.environment.programs().receive(&mut buffer[..]) else { break };
            self.take_from_program(vrf, buffer.get(..len).unwrap_or_default());
            count += 1;
        }
        self.inject = buffer;
        count
    }

    fn take_from_program(&mut self, vrf: VrfId, packet: &[u8]) {
        let allowed = Flow::parse(packet).is_ok_and(|flow| {
            usize::from(flow.len) == packet.len()
                && self.tables.vrf(vrf).is_some_and(|tables| tables.is_host(flow.src))
        });
        if !allowed {
            self.figures().add(AgentFigure::HostRefused, 1);
        } else if self.send(packet, AgentWork::Forward { vrf }) {
            self.figures().add(AgentFigure::HostReceived, 1);
        }
    }

    /// Whether a packet that ends here is a program's.
    pub(super) fn is_for_host(&self, vrf: VrfId, packet: &[u8]) -> bool {
        let tables = self.tables.vrf(vrf).filter(|tables| !tables.hosts().is_empty());
        tables.is_some_and(|tables| Flow::parse(packet).is_ok_and(|flow| tables.is_host(flow.dst)))
    }

    /// Leaves a packet to the kernel, which answers or gives it to a program.
    pub(super) fn deliver_to_host(&mut self, vrf: VrfId, interface: Option<InterfaceId>, packet: &[u8]) {
        if self.environment.programs().send(vrf, packet) {
            self.figures().add(AgentFigure::HostDelivered, 1);
        } else {
            self.counters.drop(interface, DropReason::HostUnserved);
        }
    }
}
