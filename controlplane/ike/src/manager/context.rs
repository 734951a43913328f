//! What an IKE SA may use while it handles one input, and what it leaves behind.

use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use std::collections::VecDeque;
use std::time::Duration;

use super::command::{Datagram, IkeSaId, RequestId, SaCommand};
use super::connections::Connections;
use super::event::{Counters, Event, Gone};
use super::index::Index;
use crate::config::{Config, Connection, ConnectionKey};
use crate::crypto::{CryptoError, Group, KeyExchange};
use crate::diagnosis::Diagnosis;
use crate::record::What;
use crate::record::tape::Tape;
use crate::sa::IkeSa;
use crate::sa::core::Core;
use crate::sa::established::Estate;
use crate::time::Time;
use crate::wire::{IkeSpi, Nonce};

/// Length of our nonces in bytes: half the longest prf key at least (RFC 7296 section 2.10).
const NONCE_LEN: usize = 32;

/// Numbers that are never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ids {
    pub(crate) ike_sa: u64,
    pub(crate) request: u64,
}

/// Queues that the manager's `poll_*` drain.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    pub(crate) transmits: VecDeque<Datagram>,
    pub(crate) commands: VecDeque<SaCommand>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) effects: VecDeque<Effect>,
    pub(crate) counters: Counters,
}

/// What one IKE SA wants done to others or to its connection.
#[derive(Debug)]
pub(crate) enum Effect {
    /// An IKE SA that replaces the one at work.
    Spawn(Box<IkeSa>),
    /// Children, and what is still to be done with them, move to another IKE SA.
    Adopt { to: IkeSaId, estate: Estate },
    /// The peer uses the IKE SA `to`, so it took over what `from` has; then comes the request that showed it.
    Claim { from: IkeSaId, to: IkeSaId, request: Datagram },
    /// Both sides are authenticated, and the first child is settled: no other IKE SA of the connection is
    /// needed any more.
    Ready { key: ConnectionKey, ike_sa: IkeSaId, peer_restarted: bool },
    /// The peer has shown that it has this IKE SA too.
    Shared { key: ConnectionKey, ike_sa: IkeSaId },
    /// It is time for a new proof of who is there.
    Reauthenticate(ConnectionKey),
    /// A negotiation of the connection failed: try again later, later each time.
    Failed(ConnectionKey),
    /// A CHILD_SA came up: the connection works.
    ChildUp(ConnectionKey),
    /// A CHILD_SA went away without replacement.
    ChildLost(ConnectionKey, Gone),
    /// An IKE SA of the connection ended.
    Closed(ConnectionKey, Gone),
}

/// The surroundings of one call.
#[derive(Debug)]
pub(crate) struct Ctx<'a> {
    pub(crate) now: Time,
    /// The wall clock at `now`, since the Unix epoch: what certificates are valid by.
    pub(crate) wall: Duration,
    pub(crate) config: &'a Config,
    pub(crate) connections: &'a Connections,
    pub(crate) rng: &'a mut ChaCha20Rng,
    pub(crate) ids: &'a mut Ids,
    pub(crate) out: &'a mut Outputs,
    pub(crate) tape: &'a mut Tape,
    /// As all IKE SAs were before this input.
    pub(crate) index: &'a Index,
}

impl<'a> Ctx<'a> {
    pub(crate) fn connection(&self, key: Option<ConnectionKey>) -> Option<&'a Connection> {
        self.connections.get(key?)
    }

    /// Whether another IKE SA of the same connection has a child.
    pub(crate) fn is_carried_elsewhere(&self, core: &Core) -> bool {
        core.key.is_some_and(|key| self.index.has_child_beside(key, core.id))
    }

    pub(crate) fn random(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    pub(crate) fn nonce(&mut self) -> Nonce {
        Nonce::new(self.random(NONCE_LEN)).expect("32 bytes are a nonce")
    }

    /// A random SPI for an IKE SA; not zero.
    pub(crate) fn ike_spi(&mut self) -> IkeSpi {
        IkeSpi(self.rng.next_u64().max(1))
    }

    /// The same for one that begins by IKE_SA_INIT, where a recording counts.
    pub(crate) fn first_spi(&mut self) -> IkeSpi {
        let drawn = self.ike_spi();
        self.tape.spi(drawn)
    }

    pub(crate) fn key_exchange(&mut self, group: Group) -> Result<KeyExchange, CryptoError> {
        let random = zeroize::Zeroizing::new(self.random(group.random_len()));
        KeyExchange::new(group, &random)
    }

    pub(crate) fn ike_sa_id(&mut self) -> IkeSaId {
        self.ids.ike_sa += 1;
        IkeSaId(self.ids.ike_sa)
    }

    pub(crate) fn request_id(&mut self) -> RequestId {
        self.ids.request += 1;
        RequestId(self.ids.request)
    }

    /// A random share of `span`, up to `percent` of it.
    pub(crate) fn jitter(&mut self, span: Duration, percent: u32) -> Duration {
        let bound = span * percent / 100;
        let share = u32::try_from(self.rng.next_u64() >> 33).unwrap_or(0);
        bound.mul_f64(f64::from(share) / f64::from(1_u32 << 31))
    }

    pub(crate) fn transmit(&mut self, datagram: Datagram) {
        self.out.counters.sent += 1;
        self.tape.note(|| What::Sent(datagram.clone()));
        self.out.transmits.push_back(datagram);
    }

    pub(crate) fn command(&mut self, command: SaCommand) {
        self.out.commands.push_back(command);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.tape.event(&event);
        self.out.events.push_back(event);
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.out.effects.push_back(effect);
    }

    pub(crate) fn diagnose(&mut self, diagnosis: Diagnosis) {
        if let Some(key) = diagnosis.connection {
            self.effect(Effect::Failed(key));
        }
        self.event(Event::Failed(diagnosis));
    }
}
