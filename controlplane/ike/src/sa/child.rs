//! One CHILD_SA, as the IKE side knows it.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::core::Core;
use crate::config::{ChildConfig, EspProposal};
use crate::crypto::{self, Nonces, Secret};
use crate::manager::command::{ChildKeys, Encap, EspSuite, InstallChild, Owner, RequestId, SaCommand, Spi};
use crate::manager::context::Ctx;
use crate::manager::event::{ChildSaStatus, ChildState};
use crate::time::Time;
use crate::v2::collision;
use crate::v2::fault::Fault;
use crate::v2::narrow::covers;
use crate::wire::{Nonce, TrafficSelector};

/// A replaced CHILD_SA whose peer does not delete it is deleted by us after this.
const REPLACED_FOR: Duration = Duration::from_secs(60);

/// A rekey is not tried again sooner even where the lifetime is about to end.
const LEAST_RETRY: Duration = Duration::from_secs(1);

/// ```text
/// Installing ──Installed──▶ Installed ──replacement up──▶ Replaced ─┐
///     │                        └──────────────delete────────────────┴──▶ Deleting ──response──▶ gone
///     └──Failed──▶ Deleting
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ChildPhase {
    /// The data plane has not answered yet: the command with the keys is kept, to be repeated after a
    /// restart.
    Installing(Box<InstallChild>),
    /// In use.
    Installed,
    /// Another one took its place; whoever replaced it will delete it.
    Replaced,
    /// We asked the peer to delete it.
    Deleting,
}

/// Timers of a CHILD_SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChildTimer {
    /// Replace it.
    Rekey,
    /// Its lifetime ends.
    Expire,
}

/// A pair of ESP SAs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChildSa {
    /// Our inbound SPI.
    pub(crate) spi: Spi,
    pub(crate) peer_spi: Spi,
    pub(crate) phase: ChildPhase,
    /// Whether we send on it.
    pub(crate) active: bool,
    pub(crate) suite: EspSuite,
    /// What was negotiated, for the offer that replaces it.
    pub(crate) proposal: EspProposal,
    pub(crate) local_ts: Vec<TrafficSelector>,
    pub(crate) remote_ts: Vec<TrafficSelector>,
    pub(crate) udp_encap: bool,
    /// Whether we initiated the exchange that created it.
    pub(crate) ours: bool,
    /// Stands for it where both ends replaced the same child (RFC 7296 section 2.8.1).
    pub(crate) lowest_nonce: Nonce,
    /// The CHILD_SA this one replaced.
    pub(crate) replaces: Option<Spi>,
    pub(crate) installed: Time,
    pub(crate) rekey_at: Option<Time>,
    pub(crate) expire_at: Option<Time>,
    /// The outbound half was not used from the beginning: it was switched on later.
    switched: bool,
    /// Of two crossing replacements it is the redundant one: it will be deleted, and not be replaced before.
    redundant: Option<Redundant>,
}

/// Why a child is redundant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Redundant {
    /// What was made at the same time, and stays.
    winner: Spi,
    /// What both replace.
    replaces: Option<Spi>,
}

/// What both sides agreed on, before it has an SPI of ours or keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Agreed {
    pub(crate) proposal: EspProposal,
    pub(crate) peer_spi: Spi,
    pub(crate) local_ts: Vec<TrafficSelector>,
    pub(crate) remote_ts: Vec<TrafficSelector>,
    pub(crate) nonces: Nonces,
    /// Of the exchange's own key exchange.
    pub(crate) shared: Option<Secret>,
    /// Whether we initiated the exchange.
    pub(crate) initiator: bool,
    pub(crate) replaces: Option<Spi>,
    /// The peer did not say ESP_TFC_PADDING_NOT_SUPPORTED.
    pub(crate) takes_tfc: bool,
}

/// What an install needs besides what was agreed.
#[derive(Debug)]
pub(crate) struct Installer<'a> {
    pub(crate) core: &'a Core,
    pub(crate) prf: crypto::Prf,
    pub(crate) sk_d: &'a Secret,
    pub(crate) generation: u32,
    /// Nothing else carries its packets meanwhile.
    pub(crate) first: bool,
    /// Its IKE SA is about to be deleted.
    pub(crate) leaving: bool,
    pub(crate) config: &'a ChildConfig,
}

impl Installer<'_> {
    /// Derives the keys and hands the CHILD_SA to the data plane.
    pub(crate) fn install(&self, spi: Spi, agreed: Agreed, cx: &mut Ctx<'_>) -> Result<ChildSa, Fault> {
        let command = self.command(spi, &agreed, cx.request_id())?;
        cx.command(SaCommand::InstallChild(Box::new(command.clone())));
        Ok(ChildSa::new(command, agreed, self.config, cx))
    }

    fn command(&self, spi: Spi, agreed: &Agreed, request: RequestId) -> Result<InstallChild, Fault> {
        let suite =
            agreed.proposal.suite().ok_or(Fault::Internal("an algorithm we do not have was chosen"))?;
        let keys =
            crypto::ChildKeys::derive(self.prf, self.sk_d, &suite, agreed.shared.as_ref(), &agreed.nonces);
        let from_initiator = child_keys(&keys.encr_i, &keys.integ_i);
        let from_responder = child_keys(&keys.encr_r, &keys.integ_r);
        let (outbound, inbound) = if agreed.initiator {
            (from_initiator, from_responder)
        } else {
            (from_responder, from_initiator)
        };
        let key = self.core.key.ok_or(Fault::Internal("a CHILD_SA without connection"))?;
        Ok(InstallChild {
            request,
            spi,
            peer_spi: agreed.peer_spi,
            owner: Owner { key, ike_sa: self.core.id, generation: self.generation },
            suite: esp_suite(&agreed.proposal),
            esn: agreed.proposal.esn,
            inbound,
            outbound,
            local_ts: agreed.local_ts.clone(),
            remote_ts: agreed.remote_ts.clone(),
            outer: self.core.path.outer(self.config.keepalive_secs),
            follow_nat: self.core.path.nat.remote,
            // As responder the old outbound SA stays in use until the peer has the new inbound.
            active: (agreed.initiator || self.first) && !self.leaving,
            replay_window: self.config.replay_window,
            limits: self.config.limits,
            replaces: agreed.replaces,
            tfc: if agreed.takes_tfc { self.config.tfc } else { 0 },
        })
    }
}

fn child_keys(encryption: &Secret, integrity: &Secret) -> ChildKeys {
    ChildKeys { encryption: encryption.expose().to_vec(), integrity: integrity.expose().to_vec() }
}

fn esp_suite(proposal: &EspProposal) -> EspSuite {
    EspSuite {
        encryption: proposal.encryption.0,
        key_bits: proposal.key_bits,
        integrity: proposal.integrity.0,
    }
}

impl ChildSa {
    fn new(command: InstallChild, agreed: Agreed, config: &ChildConfig, cx: &mut Ctx<'_>) -> Self {
        let (rekey_at, expire_at) = lifetime(config.lifetime, cx);
        Self {
            spi: command.spi,
            peer_spi: agreed.peer_spi,
            active: command.active,
            suite: command.suite,
            proposal: agreed.proposal,
            local_ts: agreed.local_ts,
            remote_ts: agreed.remote_ts,
            udp_encap: command.outer.encap != Encap::Native,
            ours: agreed.initiator,
            lowest_nonce: collision::lowest_nonce(&agreed.nonces.initiator, &agreed.nonces.responder),
            replaces: agreed.replaces,
            phase: ChildPhase::Installing(Box::new(command)),
            installed: cx.now,
            rekey_at,
            expire_at,
            switched: false,
            redundant: None,
        }
    }

    /// Whether the data plane was told separately that the outbound half is used.
    pub(crate) fn was_switched(&self) -> bool {
        self.switched
    }

    /// The request that its install waits for.
    pub(crate) fn install_request(&self) -> Option<RequestId> {
        match &self.phase {
            ChildPhase::Installing(command) => Some(command.request),
            ChildPhase::Installed | ChildPhase::Replaced | ChildPhase::Deleting => None,
        }
    }

    /// The data plane has it: the keys are forgotten.
    pub(crate) fn set_installed(&mut self) {
        self.phase = ChildPhase::Installed;
    }

    /// Another CHILD_SA took its place.
    pub(crate) fn set_replaced(&mut self) {
        if !matches!(self.phase, ChildPhase::Deleting) {
            self.phase = ChildPhase::Replaced;
            self.rekey_at = None;
        }
    }

    /// Whether it is redundant because of that one.
    pub(crate) fn yields_to(&self, winner: Spi) -> bool {
        self.redundant.is_some_and(|redundant| redundant.winner == winner)
    }

    /// Nothing is in its place any more; gives whether something was.
    pub(crate) fn restore(&mut self) -> bool {
        if let Some(redundant) = self.redundant.take_if(|_| !matches!(self.phase, ChildPhase::Deleting)) {
            self.replaces = redundant.replaces;
            return true;
        }
        let replaced = self.was_replaced();
        if replaced {
            self.phase = ChildPhase::Installed;
        }
        replaced
    }

    /// Both ends have what replaces it: whoever is to delete it does so soon, or we do.
    pub(crate) fn set_dispensable(&mut self, now: Time) {
        let expire_at = self.expire_at.unwrap_or(Time::NEVER).min(now + REPLACED_FOR);
        self.expire_at = self.was_replaced().then_some(expire_at).or(self.expire_at);
    }

    /// Of two crossing replacements it is the redundant one (RFC 7296 section 2.8.1).
    pub(crate) fn set_redundant(&mut self, winner: Spi, now: Time) {
        self.redundant = Some(Redundant { winner, replaces: self.replaces.take() });
        self.rekey_at = None;
        self.expire_at = Some(self.expire_at.unwrap_or(Time::NEVER).min(now + REPLACED_FOR));
    }

    /// We ask, or asked, the peer to delete it: nothing is sent on it any more.
    pub(crate) fn set_deleting(&mut self, cx: &mut Ctx<'_>) {
        let known = !matches!(self.phase, ChildPhase::Deleting);
        self.phase = ChildPhase::Deleting;
        (self.rekey_at, self.expire_at) = (None, None);
        if known {
            // The peer sends on it until our request arrives, which may be lost several times.
            let linger = cx.config.linger.max(REPLACED_FOR);
            cx.command(SaCommand::DeleteChild { spi: self.spi, linger });
        }
    }

    /// Whether traffic may rely on it.
    pub(crate) fn is_usable(&self) -> bool {
        matches!(self.phase, ChildPhase::Installing(_) | ChildPhase::Installed) && self.redundant.is_none()
    }

    /// Whether this one and a new one were made for the same purpose.
    pub(crate) fn is_twin(&self, new: &Self) -> bool {
        let selectors = |c: &Self| (c.local_ts.clone(), c.remote_ts.clone());
        let in_place = if new.replaces.is_some() { !self.is_deleting() } else { self.is_usable() };
        in_place && self.replaces == new.replaces && selectors(self) == selectors(new)
    }

    /// Whether packets go through it until the peer has the new one: that replaces it, or has no packets of its own.
    pub(crate) fn stands_in_for(&self, new: &Agreed) -> bool {
        let same_packets =
            || covers(&self.local_ts, &new.local_ts) && covers(&self.remote_ts, &new.remote_ts);
        self.active && self.is_usable() && (new.replaces == Some(self.spi) || same_packets())
    }

    /// Whether our delete of it is on its way.
    pub(crate) fn is_deleting(&self) -> bool {
        matches!(self.phase, ChildPhase::Deleting)
    }

    /// Whether another one took its place.
    pub(crate) fn was_replaced(&self) -> bool {
        matches!(self.phase, ChildPhase::Replaced)
    }

    /// The outbound half is used from now on.
    pub(crate) fn activate(&mut self, cx: &mut Ctx<'_>) {
        if !self.active {
            (self.active, self.switched) = (true, true);
            cx.command(SaCommand::ActivateOutbound { spi: self.spi });
        }
    }

    /// The earliest deadline.
    pub(crate) fn next_timer(&self) -> Option<Time> {
        [self.rekey_at, self.expire_at].into_iter().flatten().min()
    }

    /// Takes out a timer that is due; the end of life comes first.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<ChildTimer> {
        let slots = [(&mut self.expire_at, ChildTimer::Expire), (&mut self.rekey_at, ChildTimer::Rekey)];
        let (slot, timer) = slots.into_iter().find(|(at, _)| at.is_some_and(|at| at <= now))?;
        *slot = None;
        Some(timer)
    }

    pub(crate) fn status(&self, rekeying: bool) -> ChildSaStatus {
        let state = match &self.phase {
            ChildPhase::Installing(_) => ChildState::Installing,
            ChildPhase::Installed if rekeying => ChildState::Rekeying,
            ChildPhase::Installed => ChildState::Installed,
            ChildPhase::Replaced => ChildState::Rekeyed,
            ChildPhase::Deleting => ChildState::Deleting,
        };
        ChildSaStatus {
            spi: self.spi,
            peer_spi: self.peer_spi,
            state,
            active: self.active,
            suite: self.suite,
            esn: self.proposal.esn,
            udp_encap: self.udp_encap,
            local_ts: self.local_ts.clone(),
            remote_ts: self.remote_ts.clone(),
            installed: self.installed,
            rekey_at: self.rekey_at,
            expires_at: self.expire_at,
        }
    }
}

/// When an SA of this lifetime is replaced, and when it ends: 85 to 95 % and 100 % of it. The spread keeps
/// both ends from rekeying at the same moment (RFC 7296 section 2.8).
pub(crate) fn lifetime(lifetime: Option<Duration>, cx: &mut Ctx<'_>) -> (Option<Time>, Option<Time>) {
    let Some(lifetime) = lifetime else { return (None, None) };
    (Some(cx.now + renewal(lifetime, cx)), Some(cx.now + lifetime))
}

/// When a rekey is tried again: after one to two times `pause`, but well before the end of the lifetime, if it has one.
pub(crate) fn retry(pause: Duration, end: Option<Time>, cx: &mut Ctx<'_>) -> Time {
    let left = end.unwrap_or(Time::NEVER).since(cx.now);
    cx.now + (pause + cx.jitter(pause, 100)).min(left / 3).max(LEAST_RETRY)
}

/// 85 to 95 % of a span after which something must have been renewed.
pub(crate) fn renewal(span: Duration, cx: &mut Ctx<'_>) -> Duration {
    let early = span * 5 / 100 + cx.jitter(span, 10);
    span.saturating_sub(early)
}

/// The owner of an IKE SA's SPI that is not agreed on yet.
pub(crate) fn owner(core: &Core, generation: u32) -> Option<Owner> {
    Some(Owner { key: core.key?, ike_sa: core.id, generation })
}

/// Asks the data plane for an SPI.
pub(crate) fn reserve_spi(core: &Core, generation: u32, cx: &mut Ctx<'_>) -> Option<RequestId> {
    let request = cx.request_id();
    let owner = owner(core, generation)?;
    cx.command(SaCommand::ReserveSpi { request, owner, outer_vrf: core.path.vrf });
    Some(request)
}
