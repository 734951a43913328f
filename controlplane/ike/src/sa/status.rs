//! An IKE SA as people see it.

use super::established::Status;
use super::timer::Timer;
use super::{IkeSa, Phase};
use crate::config::{Connection, IkeProposal};
use crate::crypto::IkeSuite;
use crate::manager::event::{IkeSaStatus, IkeState};
use crate::wire::iana::IntegId;

impl IkeSa {
    /// `connection`: its own, for the identities of a handshake.
    pub(crate) fn status(&self, connection: Option<&Connection>) -> IkeSaStatus {
        let core = &self.core;
        let (state, suite, identities) = match &self.phase {
            Phase::Init(_) | Phase::Closed(_) => (IkeState::Connecting, None, None),
            Phase::Auth(task) => (IkeState::Connecting, Some(task.protection.suite), None),
            Phase::HalfOpen(half) => (IkeState::Connecting, Some(half.protection.suite), None),
            Phase::Established(sa) => {
                let state = match sa.status {
                    Status::Open => IkeState::Established,
                    Status::Replaced => IkeState::Rekeyed,
                    Status::Deleting => IkeState::Deleting,
                };
                (state, Some(sa.protection.suite), Some((sa.local_id.to_string(), sa.remote_id.to_string())))
            }
        };
        let configured = || {
            let names = |c: &Connection| (c.local_id.to_string(), c.remote_id.to_string());
            connection.map(names).unwrap_or_default()
        };
        let (local_id, remote_id) = identities.unwrap_or_else(configured);
        let children = self
            .established()
            .into_iter()
            .flat_map(|sa| sa.children.iter().map(|child| child.status(sa.is_rekeying(child.spi))));
        IkeSaStatus {
            id: core.id,
            key: core.key,
            state,
            initiator: core.initiator,
            initiator_spi: core.spis.initiator,
            responder_spi: core.spis.responder,
            local: core.path.local,
            remote: core.path.remote,
            local_id,
            remote_id,
            nat: (core.path.nat.local, core.path.nat.remote),
            suite: suite.as_ref().map(proposal),
            established: self.established().map(|sa| sa.since),
            rekey_at: core.timers.at(Timer::Rekey),
            reauth_at: core.timers.at(Timer::Reauth),
            expires_at: core.timers.at(Timer::Expire),
            children: children.collect(),
        }
    }
}

fn proposal(suite: &IkeSuite) -> IkeProposal {
    IkeProposal {
        encryption: suite.encr.id(),
        key_bits: suite.encr.key_bits().unwrap_or(0),
        integrity: suite.integ.map_or(IntegId::NONE, crate::crypto::Integ::id),
        prf: suite.prf.id(),
        group: suite.group.id(),
    }
}
