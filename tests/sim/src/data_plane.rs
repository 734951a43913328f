//! A model of the data plane: the SAD, and ESP packets as the keys they were sealed with.

use ike::{Command, ConnectionKey, Encap, InstallChild, Limits, Outer, SaCommand, SaReply, Spi, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use crate::{Invariant, Random, Tally};

/// Bytes that a packet counts for.
const PACKET_LEN: u64 = 100;
/// Sequence numbers that are left when control is told to rekey.
const SEQUENCE_RESERVE: u64 = 400;
/// Between two reports that a peer was heard on an SA.
const HEARD_PAUSE: Duration = Duration::from_secs(2);

/// A CHILD_SA in the model.
#[derive(Debug, Clone)]
pub struct InstalledSa {
    /// As it was installed, keys included.
    pub install: Rc<InstallChild>,
    /// Whether we send on it; `None` once the outbound half is deleted.
    pub active: Option<bool>,
    /// When the inbound half goes, once it is deleted.
    pub until: Option<Time>,
    /// In order of installation.
    order: u64,
    used: bool,
    heard: Time,
    /// Packets sent, and packets opened.
    packets: [u64; 2],
}

/// A packet in flight.
#[derive(Debug, Clone)]
pub struct EspPacket {
    spi: Spi,
    sealed_with: Rc<InstallChild>,
    /// Whose address it goes to.
    pub(crate) to: IpAddr,
    /// Source and destination of the UDP header, where there is one.
    pub(crate) udp: Option<(SocketAddr, SocketAddr)>,
}

impl EspPacket {
    /// The tunnel at the end that sent it.
    pub(crate) fn sender(&self) -> ConnectionKey {
        self.sealed_with.owner.key
    }
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
    /// Packets that one SA may send before its sequence numbers are used up; 0: more than it ever will.
    pub(crate) sequence_space: u64,
    pub(crate) tally: Tally,
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
                let known = self.reserved.remove(&spi) || self.inherited.remove(&spi) || self.lost;
                self.fits(known, || format!("{spi:08x} is released but not reserved"));
                None
            }
            SaCommand::InstallChild(install) => Some(self.install(*install)),
            SaCommand::ActivateOutbound { spi } => {
                let deleted = self.known(spi)?.active.is_none();
                self.fits(!deleted, || format!("{spi:08x} is activated after its deletion"));
                self.sas.get_mut(&spi)?.active = Some(true);
                None
            }
            SaCommand::DeleteChild { spi, linger } => {
                let sa = self.known(spi)?;
                sa.active = None;
                sa.until = Some(now + linger);
                None
            }
            SaCommand::UpdateOuter { spi, outer } => {
                Rc::make_mut(&mut self.known(spi)?.install).outer = outer;
                None
            }
        }
    }

    fn fits(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        self.tally.check(Invariant::CommandsFit, holds, otherwise);
    }

    /// An SA that a command names. Only a data plane that lost its SAs may not know it.
    fn known(&mut self, spi: Spi) -> Option<&mut InstalledSa> {
        let known = self.sas.contains_key(&spi) || self.lost;
        self.fits(known, || format!("{spi:08x} is named but not installed"));
        self.sas.get_mut(&spi)
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

    /// Another control process took over.
    pub(crate) fn control_restarted(&mut self) {
        self.inherited.append(&mut self.reserved);
    }

    /// Lets go of what the present control process does not know: commands that its predecessor did not come
    /// to give, or everything if the journal was lost.
    pub(crate) fn remove_strays(&mut self, known: &BTreeSet<Spi>, linger: Duration, now: Time) {
        for (_, sa) in self.sas.iter_mut().filter(|(spi, _)| !known.contains(spi)) {
            sa.active = None;
            sa.until = Some(sa.until.unwrap_or(now + linger));
        }
        self.inherited.retain(|spi| known.contains(spi));
    }

    fn install(&mut self, install: InstallChild) -> SaReply {
        let (spi, request) = (install.spi, install.request);
        if let Some(sa) = self.sas.get(&spi) {
            // A restarted control process says again what it does not know was done.
            let same = sa.install.owner == install.owner && sa.install.inbound == install.inbound;
            self.fits(same, || format!("{spi:08x} is installed for another owner, or with other keys"));
            return SaReply::Installed { request };
        }
        if !self.reserved.remove(&spi) && !self.inherited.remove(&spi) {
            let lost = self.lost;
            self.fits(lost, || format!("{spi:08x} is installed but not reserved"));
            return SaReply::Failed { request, code: Self::NOT_RESERVED };
        }
        let towards = |sa: &InstalledSa| (sa.install.peer_spi, sa.install.outer.remote);
        let mut sending = self.sas.values().filter(|sa| sa.active.is_some());
        let unique = !sending.any(|sa| towards(sa) == (install.peer_spi, install.outer.remote));
        self.tally
            .check(Invariant::SpisDiffer, unique, || format!("two SAs send with {:08x}", install.peer_spi));
        self.installed += 1;
        let sa = InstalledSa {
            active: Some(install.active),
            install: Rc::new(install),
            until: None,
            order: self.installed,
            used: false,
            heard: Time::default(),
            packets: [0; 2],
        };
        self.sas.insert(spi, sa);
        SaReply::Installed { request }
    }

    fn expire(&mut self, now: Time) {
        self.sas.retain(|_, sa| sa.until.is_none_or(|until| now < until));
    }

    /// The newest SA of a connection that may send.
    fn outbound(&self, key: ConnectionKey) -> Option<&InstalledSa> {
        let active = self.sas.values().filter(|sa| sa.active == Some(true) && sa.install.owner.key == key);
        active.max_by_key(|sa| sa.order)
    }

    /// The SPI at the peer that packets of a connection go to.
    pub(crate) fn sends_to(&self, key: ConnectionKey) -> Option<Spi> {
        self.outbound(key).map(|sa| sa.install.peer_spi)
    }

    /// Whether packets with this SPI are opened.
    pub(crate) fn opens(&self, spi: Spi, now: Time) -> bool {
        self.sas.get(&spi).is_some_and(|sa| sa.until.is_none_or(|until| now < until))
    }

    /// Seals a packet of a connection, if an SA may; tells control of limits that are passed.
    pub(crate) fn send(&mut self, key: ConnectionKey) -> (Option<EspPacket>, Option<Command>) {
        let space = self.sequence_space;
        let Some(spi) = self.outbound(key).map(|sa| sa.install.spi) else { return (None, None) };
        let Some(sa) = self.sas.get_mut(&spi) else { return (None, None) };
        sa.packets[0] += 1;
        let news = passed(&sa.install, sa.packets[0], space);
        if let Some(Command::HardLimit(_)) = news {
            return (None, news);
        }
        let (to, udp) = (sa.install.outer.remote, udp(&sa.install.outer));
        let packet = EspPacket { spi: sa.install.peer_spi, sealed_with: sa.install.clone(), to, udp };
        (Some(packet), news)
    }

    /// Opens a packet, if its SPI is there; gives what control is told of it.
    pub(crate) fn receive(&mut self, packet: &EspPacket, now: Time) -> Option<Vec<Command>> {
        self.expire(now);
        let spi = packet.spi;
        let sa = self.sas.get_mut(&spi)?;
        let (ours, theirs) = (&sa.install, &packet.sealed_with);
        let same = ours.peer_spi == theirs.spi
            && ours.inbound == theirs.outbound
            && (ours.suite, ours.esn) == (theirs.suite, theirs.esn)
            && (&ours.local_ts, &ours.remote_ts) == (&theirs.remote_ts, &theirs.local_ts);
        self.tally.check(Invariant::KeysAgree, same, || format!("{spi:08x}: {ours:x?} and {theirs:x?}"));
        sa.packets[1] += 1;
        let mut news: Vec<Command> = passed(&sa.install, sa.packets[1], 0).into_iter().collect();
        if news.contains(&Command::HardLimit(spi)) {
            return Some(news);
        }
        if !std::mem::replace(&mut sa.used, true) {
            news.push(Command::FirstUse(spi));
        }
        if now.since(sa.heard) >= HEARD_PAUSE {
            sa.heard = now;
            news.push(Command::Heard { spi, at: now });
        }
        let source = packet.udp.map(|(source, _)| source);
        let moved = source.filter(|source| udp(&sa.install.outer).is_some_and(|(_, known)| known != *source));
        news.extend(moved.map(|remote| Command::PeerMoved { spi, remote }));
        Some(news)
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
        let Self { sequence_space, tally, .. } = *self;
        *self = Self { lost: true, sequence_space, tally, ..Self::default() };
    }
}

/// What control is told when an SA has carried this many packets, each limit once.
fn passed(install: &InstallChild, packets: u64, sequence_space: u64) -> Option<Command> {
    let Limits { soft_bytes, hard_bytes, soft_packets, hard_packets } = install.limits;
    // Each limit as the number of the first packet beyond it.
    let beyond = |limit: u64, unit: u64| (limit != 0).then(|| limit / unit + 1);
    let hard = [beyond(hard_bytes, PACKET_LEN), beyond(hard_packets, 1), beyond(sequence_space, 1)];
    let soft = [
        beyond(soft_bytes, PACKET_LEN),
        beyond(soft_packets, 1),
        beyond(sequence_space.saturating_sub(SEQUENCE_RESERVE), 1),
    ];
    if hard.into_iter().flatten().any(|limit| packets >= limit) {
        return Some(Command::HardLimit(install.spi));
    }
    soft.into_iter()
        .flatten()
        .min()
        .is_some_and(|limit| packets == limit)
        .then_some(Command::SoftLimit(install.spi))
}
