//! How long what the tables said may be remembered.
//!
//! Where a packet goes depends on interfaces, addresses, next hops, routes, policies, tunnels and neighbours: a change
//! of any of them ends all that was remembered. It also depends on which SAs of one tunnel send, and what they carry:
//! a change of that ends what was remembered of these SAs. Both say in which version that was last, so that whoever
//! remembers notes the version that told, and nobody needs to be notified. The rest is asked for each packet.

use super::Tables;
use super::change::Change;
use crate::ids::{InterfaceId, Spi, TunnelId};
use crate::neighbour::Neighbour;
use std::net::IpAddr;

/// With more SAs in a tunnel than these, to forget everything is the shorter way.
const MAX_CHILDREN: usize = 64;

impl<K> Change<K> {
    /// True if packets that have nothing to do with one SA may go elsewhere.
    fn is_about_ways(&self) -> bool {
        match self {
            Self::PutInterface { .. }
            | Self::DeleteInterface(_)
            | Self::PutAddress { .. }
            | Self::DeleteAddress { .. }
            | Self::PutHostAddress { .. }
            | Self::DeleteHostAddress { .. }
            | Self::PutNextHop(_)
            | Self::DeleteNextHop(_)
            | Self::PutRoute { .. }
            | Self::DeleteRoute { .. }
            | Self::PutPolicyRoute { .. }
            | Self::DeletePolicyRoute { .. }
            | Self::PutSpdEntry { .. }
            | Self::DeleteSpdEntry { .. }
            | Self::PutTunnel(_)
            | Self::DeleteTunnel(_) => true,
            // Noted where it is known what they change.
            Self::InstallInbound(_)
            | Self::InstallOutbound(_)
            | Self::AddSelector { .. }
            | Self::ActivateOutbound(_)
            | Self::UpdateOuter { .. }
            | Self::PutNeighbour { .. }
            | Self::DeleteNeighbour { .. } => false,
            // An SA that does not send any more is not found; limits and sizes are those of the packet's moment.
            Self::Reserve(_)
            | Self::DeleteOutbound(_)
            | Self::DeleteInbound(_)
            | Self::FreeSpi(_)
            | Self::PutPolicer { .. }
            | Self::DeletePolicer { .. }
            | Self::PutPathMtu { .. }
            | Self::DeletePathMtu { .. } => false,
        }
    }
}

impl<K> Tables<K> {
    /// What an older version said of any packet may not hold any more; of one that an SA carries, see also
    /// [`SadEntry::since`](crate::sad::SadEntry::since).
    #[inline]
    #[must_use]
    pub fn since(&self) -> u64 {
        self.since
    }

    /// The version that the transaction at hand will have.
    pub(super) fn next_version(&self) -> u64 {
        self.version + 1
    }

    pub(super) fn note_change(&mut self, change: &Change<K>) {
        if change.is_about_ways() {
            self.since = self.next_version();
        }
    }

    /// An SA came under this SPI, which another may have had, or its packets go elsewhere.
    pub(super) fn note_sa(&mut self, spi: Spi) {
        let version = self.next_version();
        if let Some(entry) = self.sad.entry_mut(spi) {
            entry.since = version;
        }
    }

    /// An SA sends from now on, or carries more: what others of its tunnel have carried may be for it.
    pub(super) fn note_sender(&mut self, spi: Spi) {
        let Some(tunnel) = self.child(spi).map(|child| child.entry.tunnel) else { return };
        if self.children(tunnel).len() > MAX_CHILDREN {
            self.since = self.next_version();
        } else {
            self.note_senders(tunnel);
        }
    }

    fn note_senders(&mut self, tunnel: TunnelId) {
        let version = self.next_version();
        let is_older = |spi: &Spi| self.child(*spi).is_some_and(|child| child.entry.since != version);
        let older: Vec<Spi> = self.children(tunnel).iter().copied().filter(is_older).collect();
        older.into_iter().for_each(|spi| self.note_sa(spi));
    }

    /// Puts a neighbour, or removes it. Only addresses that could be sent to are remembered.
    pub(super) fn change_neighbour(
        &mut self,
        interface: InterfaceId,
        address: IpAddr,
        neighbour: Option<Neighbour>,
    ) {
        let before = self.neighbours.reachable(interface, address);
        match neighbour {
            Some(neighbour) => self.neighbours.insert(interface, address, neighbour),
            None => self.neighbours.remove(interface, address),
        };
        if before.is_some() && self.neighbours.reachable(interface, address) != before {
            self.since = self.next_version();
        }
    }
}

#[cfg(test)]
mod tests;
