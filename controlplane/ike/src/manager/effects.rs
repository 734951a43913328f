//! What one IKE SA means for others and for its connection.

use super::IkeManager;
use super::command::{Flow, IkeSaId, SaCommand};
use super::context::{Ctx, Effect};
use super::event::{Event, Gone};
use crate::config::ConnectionKey;
use crate::pki::Refusal;
use crate::record::What;
use crate::sa::established::{Established, Estate, Origin, Status};
use crate::sa::{IkeSa, Phase};
use crate::time::Time;
use crate::v2::collision;
use crate::v2::fault::{Fault, Stage};
use crate::v2::informational::DeleteReason;
use std::time::Duration;

/// Two IKE SAs established within this, one by each side, crossed each other.
const CROSSING: Duration = Duration::from_secs(10);
/// Within this a tunnel whose peer died is tried again for the first time.
const SPREAD: Duration = Duration::from_secs(1);
/// IKE SAs of a connection with an authenticated peer: the one in use, and those that it takes the place of.
const MAX_ESTABLISHED: usize = 9;

impl IkeManager {
    pub(super) fn apply_effects(&mut self, now: Time) {
        while let Some(effect) = self.out.effects.pop_front() {
            match effect {
                Effect::Spawn(sa) => {
                    let (id, key) = (sa.core.id, sa.core.key);
                    self.sas.insert(id, *sa);
                    self.touch(id, now, |sa, cx| sa.with_established(cx, |_, _, _| {}));
                    key.into_iter().for_each(|key| self.forget_oldest(key, now));
                }
                Effect::Adopt { to, estate } => self.adopt(to, estate, now),
                Effect::Claim { from, to, request } => {
                    self.touch(from, now, |sa, cx| {
                        sa.with_established(cx, |sa, core, cx| sa.hand_over(to, core, cx));
                    });
                    self.dispatch(&request, now);
                }
                Effect::Ready { key, ike_sa, peer_restarted } => {
                    self.pacing.succeeded(key);
                    self.make_unique(key, ike_sa, peer_restarted, now);
                    self.forget_oldest(key, now);
                }
                Effect::Shared { key, ike_sa } => self.supersede(key, ike_sa, now),
                Effect::Reauthenticate(key) => self.reauthenticate(key, now),
                Effect::Failed(key) => self.back_off(key, now),
                Effect::ChildUp(key) => self.pacing.succeeded(key),
                Effect::ChildLost(key, why) | Effect::Closed(key, why) => {
                    self.carry_on(key, now);
                    self.lost(key, why, now);
                }
            }
        }
    }

    /// Children move to another IKE SA; if that is gone meanwhile, so are they.
    fn adopt(&mut self, to: IkeSaId, estate: Estate, now: Time) {
        if self.sas.get(&to).is_some_and(|sa| sa.established().is_some()) {
            return self.touch(to, now, |sa, cx| sa.with_established(cx, |sa, _, _| sa.inherit(estate)));
        }
        for child in estate.children.iter().filter(|child| !child.is_deleting()) {
            let linger = self.config.linger;
            self.out.commands.push_back(SaCommand::DeleteChild { spi: child.spi, linger });
        }
    }

    /// One IKE SA per connection: a new one ends the others.
    fn make_unique(&mut self, key: ConnectionKey, new: IkeSaId, peer_restarted: bool, now: Time) {
        let Some(origin) = self.sas.get(&new).and_then(origin).cloned() else { return };
        let others: Vec<_> =
            self.of_connection(key).filter(|sa| sa.core.id != new).map(|sa| sa.core.id).collect();
        for id in others {
            let Some(sa) = self.sas.get(&id) else { continue };
            if matches!(sa.phase, Phase::Init(_)) && !origin.initiator {
                self.touch(id, now, |sa, cx| sa.drop_silently(Gone::Replaced, cx));
                continue;
            }
            let Some(other) = self::origin(sa) else { continue };
            let apart = origin.since.since(other.since).max(other.since.since(origin.since));
            if origin.initiator != other.initiator && apart < CROSSING {
                // Both sides began at once: whoever made the redundant one deletes it.
                let redundant = collision::is_redundant(&origin.lowest_nonce, &other.lowest_nonce);
                let (loser, ours) = if redundant { (new, origin.initiator) } else { (id, other.initiator) };
                if ours {
                    self.touch(loser, now, |sa, cx| sa.delete(DeleteReason::Replaced, cx));
                }
            } else if peer_restarted {
                self.touch(id, now, |sa, cx| sa.drop_silently(Gone::PeerRestarted, cx));
            } else if origin.initiator {
                self.touch(id, now, |sa, cx| sa.delete(DeleteReason::Replaced, cx));
            }
        }
    }

    /// The peer began another IKE SA beside those that there are (reauthentication, or it forgot them), and has it:
    /// it deletes the others, or we do. Before, nothing was certain: it may never have had our response.
    fn supersede(&mut self, key: ConnectionKey, new: IkeSaId, now: Time) {
        let Some(origin) = self.sas.get(&new).and_then(origin).filter(|new| !new.initiator) else { return };
        let is_older = |sa: &&IkeSa| {
            self::origin(sa).is_some_and(|other| {
                let crossed = other.initiator && origin.since.since(other.since) < CROSSING;
                other.since < origin.since && !crossed
            })
        };
        let older: Vec<_> = self.of_connection(key).filter(is_older).map(|sa| sa.core.id).collect();
        for id in older {
            self.touch(id, now, |sa, cx| sa.with_established(cx, |sa, core, cx| sa.supersede(core, cx)));
        }
    }

    /// A new IKE SA with all proofs takes the place of the one there is, once it is there.
    fn reauthenticate(&mut self, key: ConnectionKey, now: Time) {
        let connecting = |sa: &IkeSa| matches!(sa.phase, Phase::Init(_) | Phase::Auth(_));
        if !self.of_connection(key).any(connecting) && self.pacing.may_try(key, now) {
            self.negotiate(key, None, now);
        }
    }

    /// An SA of the connection is gone: if nothing is left to send on, a child that waits for a sign of the peer is
    /// used, before what is gone leaves the data plane.
    fn carry_on(&mut self, key: ConnectionKey, now: Time) {
        let carries = |sa: &IkeSa| sa.established().is_some_and(Established::carries);
        let Some(heir) = self.of_connection(key).filter(|sa| sa.established().is_some()).last() else {
            return;
        };
        let id = heir.core.id;
        if self.of_connection(key).any(carries) {
            return;
        }
        let before = self.out.commands.len();
        self.touch(id, now, |sa, cx| sa.with_established(cx, |sa, _, cx| sa.activate_answered(cx)));
        let added = self.out.commands.len() - before;
        self.out.commands.rotate_right(added);
    }

    /// A peer that makes new IKE SAs faster than the old ones go does not have us keep them all.
    fn forget_oldest(&mut self, key: ConnectionKey, now: Time) {
        let established = |sa: &&IkeSa| sa.established().is_some();
        let all: Vec<_> = self.of_connection(key).filter(established).map(|sa| sa.core.id).collect();
        for id in &all[..all.len().saturating_sub(MAX_ESTABLISHED)] {
            self.touch(*id, now, |sa, cx| sa.drop_silently(Gone::Replaced, cx));
        }
    }

    /// IKE SAs whose peer proved itself by a certificate that is revoked now do not go on.
    pub(super) fn end_revoked(&mut self, key: ConnectionKey, now: Time) {
        let Some(connection) = self.connections.get(key) else { return };
        let Some(trust) = connection.remote_auth.trust() else { return };
        let is_revoked = |sa: &&IkeSa| sa.established().is_some_and(|sa| trust.has_revoked(&sa.origin.shown));
        let doomed: Vec<_> = self.of_connection(key).filter(is_revoked).map(|sa| sa.core.id).collect();
        let told = self.of_connection(key).find(is_revoked).and_then(IkeSa::established).map(|sa| {
            let subject = sa.remote_id.to_string();
            let fault = Fault::Certificate(Refusal::Revoked { subject });
            fault.diagnosis(Stage::Auth, Some(key), Some(connection))
        });
        told.into_iter().for_each(|diagnosis| self.raise(Event::Failed(diagnosis)));
        for id in doomed {
            self.touch(id, now, |sa, cx| sa.delete(DeleteReason::Command, cx));
        }
    }

    /// The next attempt comes later, each time twice as late, with jitter.
    fn back_off(&mut self, key: ConnectionKey, now: Time) {
        let (first, max) = self.config.retry;
        let doubled =
            first.saturating_mul(1_u32.checked_shl(self.pacing.count_failure(key)).unwrap_or(u32::MAX));
        let pause = doubled.min(max);
        let jitter = self.context(now).jitter(pause, 25);
        self.pacing.hold_back(key, now + pause + jitter);
    }

    /// A CHILD_SA or IKE SA ended: a connection that shall be up is looked at again.
    fn lost(&mut self, key: ConnectionKey, why: Gone, now: Time) {
        let pause = match why {
            Gone::Replaced | Gone::PeerRestarted => Duration::from_secs(1),
            Gone::Command | Gone::Expired => Duration::ZERO,
            // Not all tunnels of a peer at the same moment.
            Gone::PeerDead => self.context(now).jitter(SPREAD, 100),
            Gone::Peer | Gone::Failed => {
                let first = self.config.retry.0;
                first + self.context(now).jitter(first, 50)
            }
        };
        self.pacing.retry(key, now + pause);
    }

    /// Tells what happened.
    pub(super) fn raise(&mut self, event: Event) {
        self.tape.event(&event);
        self.out.events.push_back(event);
    }

    pub(super) fn context(&mut self, now: Time) -> Ctx<'_> {
        let wall = self.wall_clock(now);
        let Self { connections, config, rng, ids, out, index, tape, .. } = self;
        Ctx { now, wall, config, connections, rng, ids, out, index, tape }
    }

    /// Negotiates what a connection lacks: an IKE SA, or a CHILD_SA.
    pub(crate) fn bring_up(&mut self, key: ConnectionKey, flow: Option<Flow>, now: Time) {
        let open = |sa: &&IkeSa| sa.established().is_some_and(|sa| sa.status == Status::Open);
        let established = self.of_connection(key).find(open).map(|sa| sa.core.id);
        if let Some(id) = established {
            return self.touch(id, now, |sa, cx| {
                cx.tape.note(|| What::Wanted { key, flow });
                sa.ensure_child(flow, cx);
            });
        }
        let connecting = |sa: &IkeSa| matches!(sa.phase, Phase::Init(_) | Phase::Auth(_));
        if self.of_connection(key).any(connecting) {
            return;
        }
        self.negotiate(key, flow, now);
    }

    /// Begins an IKE SA, whatever there is.
    pub(crate) fn negotiate(&mut self, key: ConnectionKey, flow: Option<Flow>, now: Time) {
        let Some(connection) = self.connections.get(key).filter(|c| c.remote.is_some()).cloned() else {
            return;
        };
        let first = self.of_connection(key).next().is_none();
        self.tape.attend_connection(&connection, now);
        self.tape.note(|| What::Begun { key, flow });
        match IkeSa::initiate(&connection, flow, first, &mut self.context(now)) {
            Ok(sa) => {
                let id = sa.core.id;
                self.tape.began(id);
                self.sas.insert(id, sa);
                self.sync(id);
            }
            Err(fault) => {
                let diagnosis = fault.diagnosis(Stage::Init, Some(key), Some(&connection));
                self.raise(Event::Failed(diagnosis));
                self.back_off(key, now);
            }
        }
    }
}

/// Of an open IKE SA.
fn origin(sa: &IkeSa) -> Option<&Origin> {
    let open = sa.established().filter(|sa| sa.status == Status::Open)?;
    Some(&open.origin)
}
