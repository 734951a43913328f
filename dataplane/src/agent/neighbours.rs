//! The neighbours of all interfaces: resolving, ageing, and the packets that wait for an answer.
//!
//! ```text
//!             want                  answer
//!   (none) ─────────► Incomplete ───────────► Reachable ◄────────┐
//!                        │ 3 requests unanswered  │ age          │ answer
//!                        ▼                        ▼              │
//!   (none) ◄─────────  Failed  ◄──────────────  Probe ───────────┘
//!           pause                 3 unanswered
//! ```
//!
//! A probed neighbour still carries traffic. Time is an argument; what is to be sent or changed is returned
//! as [`Action`]s, so that the machine knows neither ports nor tables.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use packet::{InterfaceId, MacAddr};

/// Unanswered requests before a neighbour counts as failed (RFC 4861 section 10, used for ARP too).
const MAX_REQUESTS: u8 = 3;
/// Between requests (RFC 4861: RETRANS_TIMER).
const REQUEST_INTERVAL: Duration = Duration::from_secs(1);
/// How long packets for a failed neighbour are dropped before it is asked for again.
const FAILED_PAUSE: Duration = Duration::from_secs(3);

/// Bounds of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Entries in all.
    pub(super) entries: usize,
    /// How long an answer is trusted.
    pub(super) reachable: Duration,
    /// Packets held per neighbour.
    pub(super) hold: usize,
    /// Packets held in all.
    pub(super) hold_total: usize,
}

/// Names a neighbour.
pub(super) type Key = (InterfaceId, IpAddr);

/// Where a neighbour is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Asked for; no answer yet.
    Incomplete,
    /// Answered lately.
    Reachable,
    /// In use, being asked again.
    Probe,
    /// Did not answer.
    Failed,
}

/// What the caller has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action<B> {
    /// Ask for the address: at `mac` if it is known, else everybody.
    Request {
        /// Whom.
        key: Key,
        /// The address it had.
        mac: Option<MacAddr>,
    },
    /// Publish that it has this address.
    Publish {
        /// Whom.
        key: Key,
        /// Its address.
        mac: MacAddr,
    },
    /// Publish that it does not answer.
    PublishFailed {
        /// Whom.
        key: Key,
    },
    /// Publish that nothing is known of it.
    Withdraw {
        /// Whom.
        key: Key,
    },
    /// Its address is known: send this packet that waited (or came too late to wait).
    Release {
        /// To whom.
        key: Key,
        /// The packet.
        packet: B,
    },
    /// Drop a packet that waited in vain.
    Unreachable {
        /// For whom.
        key: Key,
        /// The packet.
        packet: B,
    },
    /// Drop a packet for which there is no room.
    NoRoom {
        /// For whom.
        key: Key,
        /// The packet.
        packet: B,
    },
}

#[derive(Debug)]
struct Entry<B> {
    state: State,
    mac: MacAddr,
    /// When the last answer came.
    confirmed: Duration,
    /// When something is due.
    due: Duration,
    /// Requests sent since the last answer.
    requests: u8,
    held: VecDeque<B>,
}

/// What is known of a neighbour, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Where it is in its life.
    pub(super) state: State,
    /// Its address; zero while incomplete.
    pub(super) mac: MacAddr,
    /// Packets that wait.
    pub(super) held: usize,
    /// When the last answer came.
    pub(super) confirmed: Duration,
}

/// The cache. `B` is a packet.
#[derive(Debug)]
pub(super) struct Neighbours<B> {
    limits: Limits,
    entries: BTreeMap<Key, Entry<B>>,
    held: usize,
    next_due: Duration,
}

impl<B> Neighbours<B> {
    /// An empty cache.
    #[must_use]
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, entries: BTreeMap::new(), held: 0, next_due: Duration::MAX }
    }

    /// A packet needs `key`: holds it and asks, or says what else becomes of it.
    pub(super) fn want(&mut self, key: Key, packet: B, now: Duration, mut act: impl FnMut(Action<B>)) {
        if !self.entries.contains_key(&key) {
            if self.entries.len() >= self.limits.entries && !self.evict(&mut act) {
                return act(Action::NoRoom { key, packet });
            }
            self.entries.insert(key, Entry::incomplete(now));
            self.next_due = self.next_due.min(now + REQUEST_INTERVAL);
            act(Action::Request { key, mac: None });
        }
        let Some(entry) = self.entries.get_mut(&key) else { return };
        match entry.state {
            State::Reachable | State::Probe => act(Action::Release { key, packet }),
            State::Failed => act(Action::Unreachable { key, packet }),
            State::Incomplete => {
                let full = entry.held.len() >= self.limits.hold;
                if !full && self.held >= self.limits.hold_total {
                    return act(Action::NoRoom { key, packet });
                }
                // The newest packets are worth most: a retransmission replaces its original.
                if full && let Some(oldest) = entry.held.pop_front() {
                    self.held -= 1;
                    act(Action::NoRoom { key, packet: oldest });
                }
                entry.held.push_back(packet);
                self.held += 1;
            }
        }
    }

    /// `key` says it has `mac`, by an answer to us or by asking for us. With `create` false only a
    /// neighbour that is known already is taken over (RFC 826's merge flag).
    pub(super) fn confirm(
        &mut self,
        key: Key,
        mac: MacAddr,
        create: bool,
        now: Duration,
        mut act: impl FnMut(Action<B>),
    ) {
        if !self.entries.contains_key(&key) {
            if !create || (self.entries.len() >= self.limits.entries && !self.evict(&mut act)) {
                return;
            }
            self.entries.insert(key, Entry::incomplete(now));
        }
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let published = matches!(entry.state, State::Reachable | State::Probe) && entry.mac == mac;
        entry.state = State::Reachable;
        entry.mac = mac;
        entry.confirmed = now;
        entry.requests = 0;
        entry.due = now + self.limits.reachable;
        self.next_due = self.next_due.min(entry.due);
        if !published {
            act(Action::Publish { key, mac });
        }
        self.held -= entry.held.len();
        for packet in entry.held.drain(..) {
            act(Action::Release { key, packet });
        }
    }

    /// Does what is due: repeats requests, ages, gives up.
    pub(super) fn poll(&mut self, now: Duration, mut act: impl FnMut(Action<B>)) {
        if now < self.next_due {
            return;
        }
        let mut gone = Vec::new();
        let mut next_due = Duration::MAX;
        for (key, entry) in &mut self.entries {
            if entry.due <= now {
                let before = entry.held.len();
                if !entry.expire(*key, now, &mut act) {
                    gone.push(*key);
                    continue;
                }
                self.held -= before - entry.held.len();
            }
            next_due = next_due.min(entry.due);
        }
        for key in gone {
            self.entries.remove(&key);
        }
        self.next_due = next_due;
    }

    /// Forgets the neighbours for which `keep` is false.
    pub(super) fn retain(&mut self, keep: impl Fn(&Key) -> bool, mut act: impl FnMut(Action<B>)) {
        let held = &mut self.held;
        self.entries.retain(|key, entry| {
            let keep = keep(key);
            if !keep {
                *held -= entry.held.len();
                entry.held.drain(..).for_each(|packet| act(Action::Unreachable { key: *key, packet }));
                act(Action::Withdraw { key: *key });
            }
            keep
        });
    }

    /// Every neighbour after `after`, in order.
    pub(super) fn iter_after(&self, after: Option<Key>) -> impl Iterator<Item = (Key, Facts)> + '_ {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = after.map_or(Unbounded, Excluded);
        self.entries.range((start, Unbounded)).map(|(key, entry)| {
            let Entry { state, mac, confirmed, .. } = *entry;
            (*key, Facts { state, mac, held: entry.held.len(), confirmed })
        })
    }

    /// Known neighbours.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if no neighbour is known.
    #[must_use]
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Packets that wait for any neighbour.
    #[must_use]
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Makes room for one entry: a failed one first, else the one confirmed longest ago. False if every
    /// entry is being resolved.
    fn evict(&mut self, act: &mut impl FnMut(Action<B>)) -> bool {
        let settled = self.entries.iter().filter(|(_, entry)| entry.state != State::Incomplete);
        let victim = settled.min_by_key(|(_, entry)| (entry.state != State::Failed, entry.confirmed));
        let Some((&key, _)) = victim else { return false };
        self.entries.remove(&key);
        act(Action::Withdraw { key });
        true
    }
}

impl<B> Entry<B> {
    fn incomplete(now: Duration) -> Self {
        Self {
            state: State::Incomplete,
            mac: MacAddr::default(),
            confirmed: now,
            due: now + REQUEST_INTERVAL,
            requests: 1,
            held: VecDeque::new(),
        }
    }

    /// The timer ran out. False when the entry is to be forgotten.
    fn expire(&mut self, key: Key, now: Duration, act: &mut impl FnMut(Action<B>)) -> bool {
        match self.state {
            State::Reachable => {
                self.state = State::Probe;
                self.requests = 0;
                self.request(key, now, Some(self.mac), act);
            }
            State::Incomplete | State::Probe if self.requests < MAX_REQUESTS => {
                let mac = (self.state == State::Probe).then_some(self.mac);
                self.request(key, now, mac, act);
            }
            State::Incomplete | State::Probe => {
                self.state = State::Failed;
                self.due = now + FAILED_PAUSE;
                act(Action::PublishFailed { key });
                self.held.drain(..).for_each(|packet| act(Action::Unreachable { key, packet }));
            }
            State::Failed => {
                act(Action::Withdraw { key });
                return false;
            }
        }
        true
    }

    fn request(&mut self, key: Key, now: Duration, mac: Option<MacAddr>, act: &mut impl FnMut(Action<B>)) {
        self.requests += 1;
        self.due = now + REQUEST_INTERVAL;
        act(Action::Request { key, mac });
    }
}

#[cfg(test)]
mod tests;
