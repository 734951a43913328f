//! A worker that is behind chooses what it drops, instead of leaving that to chance and a full receive queue.
//!
//! ```text
//!  rx queues ─┐              ┌─► hold ──► a burst of each round
//!  handoff ───┴─► batch ─────┤
//!                 fair share └─► dropped before anything is decrypted
//! ```
//!
//! It is behind when a queue gave full bursts many rounds in a row. From then on it empties its queues, which
//! costs far less than what follows, into a hold. What the hold has no place for is dropped by
//! [`packet::fair`]: a flood, not whoever shares the queue with it. Not behind, all this is one branch a round.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use arrayvec::ArrayVec;
use packet::fair::{Account, BATCH, FairShare, Stranger};
use packet::headers::ethernet::{EtherType, Ethernet};
use packet::tables::Role;
use packet::{DropReason, InterfaceId, PortId};
use std::net::IpAddr;

use super::buffer::Buffer;
use super::burst::{Arrival, BURST};
use super::counters::Figure;
use super::pipeline::Pipeline;
use crate::journey::Step;
use crate::shared::{Handoff, HandoffWork, Tables};

/// Packets that wait for their burst: what a queue of the device holds, so that a burst of traffic is no overload.
pub const HOLD: usize = 512;
/// Rounds with full queues, one after the other, after which a worker is behind.
const BEHIND_AFTER: u32 = 8;
/// Rounds without, after which it is no more.
const CAUGHT_UP_AFTER: u32 = 32;
/// Packets of other workers in one batch: the rest of it is for the receive queues.
pub(super) const HANDOFF_BATCH: usize = BATCH / 4;
/// How many packets ahead the headers are fetched.
const AHEAD: usize = 4;
/// The source of what has none.
const NOBODY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// What a worker needs when it is behind. All is allocated at the start.
#[derive(Debug)]
pub(super) struct Overload<B> {
    behind: bool,
    /// Full queues are no sign of it.
    endless: bool,
    /// Rounds that speak for a change of `behind`.
    rounds: u32,
    fair: FairShare,
    batch: Vec<Arrival<B>>,
    /// Where each packet of the batch came in.
    from: Vec<Option<InterfaceId>>,
    hold: VecDeque<Arrival<B>>,
}

impl<B: Buffer> Overload<B> {
    pub(super) fn new(ticks_per_ms: u64) -> Self {
        Self {
            behind: false,
            endless: false,
            rounds: 0,
            fair: FairShare::new(RandomState::new().hash_one(0), ticks_per_ms),
            batch: Vec::with_capacity(BATCH),
            from: Vec::with_capacity(BATCH),
            hold: VecDeque::with_capacity(HOLD + BURST),
        }
    }

    #[inline]
    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    /// Adds to the batch of this round what there is room for, and says how much that was.
    pub(super) fn stage(&mut self, arrivals: impl Iterator<Item = Arrival<B>>) -> usize {
        let before = self.batch.len();
        self.batch.extend(arrivals.take(BATCH - before));
        self.batch.len() - before
    }

    /// Takes note of a round: whether some queue gave all that was asked for.
    #[inline]
    fn note(&mut self, full: bool) {
        let speaks_for_change = (full && !self.endless) != self.behind;
        self.rounds = if speaks_for_change { self.rounds + 1 } else { 0 };
        let enough = if self.behind { CAUGHT_UP_AFTER } else { BEHIND_AFTER };
        if self.rounds >= enough {
            self.behind = !self.behind;
            self.rounds = 0;
        }
    }
}

impl<B: Buffer> Pipeline<B> {
    /// True if more comes than can be handled: take packets in with [`Pipeline::stage`] and
    /// [`Pipeline::choose`], and as many as there is room for.
    #[inline]
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.overload.behind
    }

    /// For a benchmark whose source never pauses: always as much as can be handled, and never behind.
    #[must_use]
    pub fn with_endless_source(mut self) -> Self {
        self.overload.endless = true;
        self
    }

    /// Takes note of a round of polling that was not staged: whether some queue gave all that was asked for.
    #[inline]
    pub fn note_load(&mut self, full: bool) {
        self.overload.note(full);
    }

    /// Packets that [`Pipeline::stage`] still takes in this round.
    #[must_use]
    pub fn staging_room(&self) -> usize {
        BATCH - self.overload.batch.len()
    }

    /// Adds frames to the batch of this round, no more than there is room for.
    pub fn stage(&mut self, port: PortId, frames: impl Iterator<Item = B>) {
        self.overload.stage(frames.map(|frame| Arrival::Frame { port, frame }));
    }

    /// Takes the batch into the hold, as far as it has places, and fills the burst from it; `full` as for
    /// [`Pipeline::note_load`].
    pub fn choose(
        &mut self,
        tables: &Tables,
        arrivals: &mut ArrayVec<Arrival<B>, BURST>,
        full: bool,
        now: u64,
    ) {
        let places = (HOLD + arrivals.remaining_capacity()).saturating_sub(self.overload.hold.len());
        if self.overload.batch.len() > places {
            self.counters.add(Figure::Overloaded, 1);
            self.shed(tables, places, now);
        }
        let Overload { batch, hold, .. } = &mut self.overload;
        hold.extend(batch.drain(..));
        let count = arrivals.remaining_capacity().min(hold.len());
        arrivals.extend(hold.drain(..count));
        let full = full || !self.overload.hold.is_empty();
        self.overload.note(full);
    }

    /// Drops all of the batch but `places` packets.
    fn shed(&mut self, tables: &Tables, places: usize, now: u64) {
        self.charge_batch(tables, now);
        self.overload.fair.decide(places);
        let mut batch = std::mem::take(&mut self.overload.batch);
        for (place, arrival) in (0..).zip(batch.drain(..)) {
            if self.overload.fair.goes_on(place) {
                self.overload.hold.push_back(arrival);
            } else {
                self.shed_one(arrival, self.overload.from[usize::from(place)]);
            }
        }
        self.overload.batch = batch;
    }

    fn charge_batch(&mut self, tables: &Tables, now: u64) {
        let Overload { fair, batch, from, .. } = &mut self.overload;
        fair.begin(now);
        from.clear();
        for (place, arrival) in batch.iter().enumerate() {
            if let Some(ahead) = batch.get(place + AHEAD) {
                ahead.prefetch();
            }
            let (account, interface, len) = match arrival {
                Arrival::Frame { port, frame } => {
                    let (account, interface) = account_of_frame(tables, *port, frame.data());
                    (account, interface, frame.len())
                }
                Arrival::Handoff(handoff) => {
                    (account_of_handoff(tables, handoff), handoff.interface, handoff.packet.len())
                }
                // Few, and not staged.
                Arrival::Agent(_) | Arrival::Early(_) => {
                    (Account::Stranger(Stranger::Inside, NOBODY), None, 0)
                }
            };
            fair.offer(&account, len);
            from.push(interface);
        }
    }

    fn shed_one(&mut self, arrival: Arrival<B>, from: Option<InterfaceId>) {
        let packet = match arrival {
            Arrival::Frame { mut frame, .. } => {
                let len = frame.len();
                self.counters.rx(from, len);
                self.scribe.begin(&mut frame, || Step::Received { interface: from, len });
                frame
            }
            Arrival::Handoff(Handoff { mut packet, journey, .. }) => {
                self.counters.add(Figure::TakenOver, 1);
                self.scribe.attach(&mut packet, journey);
                packet
            }
            Arrival::Agent(from_agent) => {
                self.counters.add(Figure::FromAgent, 1);
                from_agent.packet
            }
            Arrival::Early(early) => early.packet,
        };
        self.drop(packet, from, DropReason::OverloadFairShare);
    }
}

/// The account of a frame, and the interface it came in on, as far as its bytes tell.
#[inline]
fn account_of_frame(tables: &Tables, port: PortId, frame: &[u8]) -> (Account, Option<InterfaceId>) {
    let unknown = Account::Stranger(Stranger::Outside, NOBODY);
    let Ok((ethernet, offset)) = Ethernet::parse(frame) else { return (unknown, None) };
    let Some(interface) = tables.interface_on(port, ethernet.vlan) else { return (unknown, None) };
    let account = match ethernet.ethertype {
        EtherType::Arp => Account::Discovery(interface.id),
        EtherType::Ipv6 if ethernet.dst.is_multicast() => Account::Discovery(interface.id),
        EtherType::Ipv4 | EtherType::Ipv6 => Account::of_packet(tables, interface, &frame[offset..]),
    };
    (account, Some(interface.id))
}

#[inline]
fn account_of_handoff<B: Buffer>(tables: &Tables, handoff: &Handoff<B>) -> Account {
    let unknown = Account::Stranger(Stranger::Inside, NOBODY);
    match (handoff.work, handoff.interface.and_then(|id| tables.interface(id))) {
        (HandoffWork::Seal { spi, .. } | HandoffWork::Probe { spi }, _) => {
            tables.sad().entry(spi).map_or(unknown, |entry| Account::ToTunnel(entry.tunnel))
        }
        (HandoffWork::Open { .. }, Some(interface)) if interface.role == Role::Outside => {
            Account::of_packet(tables, interface, handoff.packet.data())
        }
        (HandoffWork::Open { .. }, _) => unknown,
    }
}
