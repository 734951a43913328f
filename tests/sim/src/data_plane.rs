//! A model of the data plane: the SAD, and ESP packets as the keys they were sealed with.

use ike::{Encap, InstallChild, Outer, SaCommand, SaReply, Spi, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::Random;

/// A CHILD_SA in the model.
#[derive(Debug, Clone)]
pub struct InstalledSa {
    /// As it was installed, keys included.
    pub install: InstallChild,
    /// Whether we send on it; `None` once the outbound half is deleted.
    pub active: Option<bool>,
    /// When the inbound half goes, once it is deleted.
    pub until: Option<Time>,
    /// In order of installation.
    order: u64,
    used: bool,
}

/// A packet in flight.
#[derive(Debug, Clone)]
pub struct EspPacket {
    spi: Spi,
    sealed_with: InstallChild,
    /// Source and destination of the UDP header, where there is one.
    pub(crate) udp: Option<(SocketAddr, SocketAddr)>,
}

/// What a packet that was opened tells.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) spi: Spi,
    /// It is the first on its SA.
    pub(crate) first: bool,
    /// It came from another address than the outer header has.
    pub(crate) moved: Option<SocketAddr>,
}

fn udp(outer: &Outer) -> Option<(SocketAddr, SocketAddr)> {
    let Encap::Udp { local_port, remote_port } = outer.encap else { return None };
    Some((SocketAddr::new(outer.local, local_port), SocketAddr::new(outer.remote, remote_port)))
}

/// The model. It survives restarts of its gateway's control process.
#[derive(Debug, Default)]
pub struct DataPlane {
    sas: BTreeMap<Spi, InstalledSa>,
    /// Handed out to the present control process.
    reserved: BTreeSet<Spi>,
    /// Handed out to an earlier one, which may or may not have journaled them.
    inherited: BTreeSet<Spi>,
    installed: u64,
    /// It has forgotten everything at least once.
    lost: bool,
}

impl DataPlane {
    /// Its reason to refuse an SPI that it did not hand out.
    const NOT_RESERVED: u32 = 1;

    /// Does what it is told; gives the answer, if the command has one.
    pub(crate) fn execute(&mut self, command: SaCommand, random: &mut Random, now: Time) -> Option<SaReply> {
        self.expire(now);
        match command {
            SaCommand::ReserveSpi { request, .. } => {
                let spi = self.fresh_spi(random);
                self.reserved.insert(spi);
                Some(SaReply::SpiReserved { request, spi })
            }
            SaCommand::ReleaseSpi { spi } => {
                assert!(self.take_reserved(spi) || self.lost, "{spi:08x} is released but not reserved");
                None
            }
            SaCommand::InstallChild(install) => Some(self.install(*install)),
            SaCommand::ActivateOutbound { spi } => {
                let sa = self.known(spi)?;
                assert!(sa.active.is_some(), "{spi:08x} is activated after its deletion");
                sa.active = Some(true);
                None
            }
            SaCommand::DeleteChild { spi, linger } => {
                let sa = self.known(spi)?;
                sa.active = None;
                sa.until = Some(now + linger);
                None
            }
            SaCommand::UpdateOuter { spi, outer } => {
                self.known(spi)?.install.outer = outer;
                None
            }
        }
    }

    /// An SA that a command names. Only a data plane that lost its SAs may not know it.
    fn known(&mut self, spi: Spi) -> Option<&mut InstalledSa> {
        let sa = self.sas.get_mut(&spi);
        assert!(sa.is_some() || self.lost, "{spi:08x} is named but not installed");
        sa
    }

    fn fresh_spi(&self, random: &mut Random) -> Spi {
        loop {
            let spi = u32::try_from(random.below(1 << 32)).expect("32 bits");
            let known = self.reserved.contains(&spi) || self.inherited.contains(&spi);
            if spi > 255 && !known && !self.sas.contains_key(&spi) {
                return spi;
            }
        }
    }

    fn take_reserved(&mut self, spi: Spi) -> bool {
        self.reserved.remove(&spi) || self.inherited.remove(&spi)
    }

    /// Another control process took over.
    pub(crate) fn control_restarted(&mut self) {
        self.inherited.append(&mut self.reserved);
    }

    fn install(&mut self, install: InstallChild) -> SaReply {
        let (spi, request) = (install.spi, install.request);
        if let Some(sa) = self.sas.get(&spi) {
            // A restarted control process says again what it does not know was done.
            assert_eq!(sa.install.owner, install.owner, "{spi:08x} is installed for another owner");
            assert_eq!(sa.install.inbound, install.inbound, "{spi:08x} is installed with other keys");
            return SaReply::Installed { request };
        }
        if !self.take_reserved(spi) {
            assert!(self.lost, "{spi:08x} is installed but not reserved");
            return SaReply::Failed { request, code: Self::NOT_RESERVED };
        }
        self.installed += 1;
        let active = Some(install.active);
        self.sas
            .insert(spi, InstalledSa { install, active, until: None, order: self.installed, used: false });
        SaReply::Installed { request }
    }

    fn expire(&mut self, now: Time) {
        self.sas.retain(|_, sa| sa.until.is_none_or(|until| now < until));
    }

    /// Seals a packet with the newest SA that may send.
    pub(crate) fn send(&self) -> Option<EspPacket> {
        let active = self.sas.values().filter(|sa| sa.active == Some(true));
        let sa = active.max_by_key(|sa| sa.order)?;
        let (spi, udp) = (sa.install.peer_spi, udp(&sa.install.outer));
        Some(EspPacket { spi, sealed_with: sa.install.clone(), udp })
    }

    /// Opens a packet, if its SPI is there.
    pub(crate) fn receive(&mut self, packet: &EspPacket, now: Time) -> Option<Opened> {
        self.expire(now);
        let name = packet.spi;
        let sa = self.sas.get_mut(&name)?;
        let (ours, theirs) = (&sa.install, &packet.sealed_with);
        assert_eq!(ours.peer_spi, theirs.spi, "the pair of {name:08x}");
        assert_eq!(ours.inbound, theirs.outbound, "keys of {name:08x}");
        assert_eq!((ours.suite, ours.esn), (theirs.suite, theirs.esn), "suite of {name:08x}");
        assert_eq!((&ours.local_ts, &ours.remote_ts), (&theirs.remote_ts, &theirs.local_ts), "selectors");
        let first = !std::mem::replace(&mut sa.used, true);
        let moved = packet.udp.map(|(source, _)| source);
        let moved = moved.filter(|source| udp(&sa.install.outer).is_some_and(|(_, known)| known != *source));
        Some(Opened { spi: name, first, moved })
    }

    /// SAs that are not deleted, by our inbound SPI.
    pub fn live(&self) -> BTreeMap<Spi, &InstalledSa> {
        let live = self.sas.iter().filter(|(_, sa)| sa.until.is_none());
        live.map(|(spi, sa)| (*spi, sa)).collect()
    }

    /// SPIs handed out to the present control process and neither installed nor released.
    pub fn reserved(&self) -> &BTreeSet<Spi> {
        &self.reserved
    }

    /// Forgets everything, as a data plane that was restarted.
    pub fn lose_everything(&mut self) {
        *self = Self { lost: true, ..Self::default() };
    }
}
