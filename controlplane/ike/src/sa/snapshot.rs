//! An IKE SA as bytes, and back: what a new process needs to carry on where the old one ended.
//!
//! A snapshot is taken before the datagrams and SA commands that depend on it leave. It holds the message
//! IDs, the request in flight, the last response, exchanges half done, and keys: it is as secret as they are.
//! AEAD IVs are safe even if the last snapshots were lost, because a range of them is marked as used ahead.

use zeroize::Zeroizing;

use super::IkeSa;
use super::timer::Timer;
use crate::manager::context::Ctx;

/// Changes whenever the meaning of the bytes does.
const VERSION: u8 = 12;

/// Why bytes are not a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error("version {0}, {VERSION} expected")]
    Version(u8),
    #[error("no bytes")]
    Empty,
    #[error(transparent)]
    Postcard(#[from] postcard::Error),
}

impl IkeSa {
    /// The bytes to keep; `None` once it is over.
    pub(crate) fn snapshot(&self) -> Option<Zeroizing<Vec<u8>>> {
        // The exact size first: growing would leave copies of keys behind.
        let size = postcard::experimental::serialized_size(self).ok()?;
        let mut bytes = Zeroizing::new(vec![0; size + 1]);
        bytes[0] = VERSION;
        postcard::to_slice(self, &mut bytes[1..]).ok()?;
        Some(bytes)
    }

    /// Takes an IKE SA back, as it was.
    pub(crate) fn from_snapshot(bytes: &[u8]) -> Result<Self, SnapshotError> {
        match bytes.split_first() {
            None => Err(SnapshotError::Empty),
            Some((&VERSION, body)) => Ok(postcard::from_bytes(body)?),
            Some((other, _)) => Err(SnapshotError::Version(*other)),
        }
    }

    /// Carries on: leaves out IVs that may be used, asks the data plane again, repeats the request in flight
    /// soon (its response may be on the way, or lost with the old process).
    pub(crate) fn resume(&mut self, cx: &mut Ctx<'_>) {
        use super::Phase;
        if self.core.window.in_flight().is_some() {
            self.core.timers.set(Timer::Retransmit, cx.now + cx.config.retransmit.first / 4);
        }
        match &mut self.phase {
            Phase::Init(_) | Phase::Closed(_) => {}
            Phase::Auth(task) => {
                task.protection.skip_reserved_ivs();
                if task.reserving.is_some() {
                    task.reserve(&self.core, cx);
                    self.core.timers.set(Timer::DataPlane, cx.now + cx.config.install_timeout);
                }
            }
            Phase::HalfOpen(half) => half.protection.skip_reserved_ivs(),
            Phase::Established(sa) => {
                sa.protection.skip_reserved_ivs();
                sa.repeat_commands(&self.core, cx);
                sa.repeat_settings(&self.core, cx);
                // Silence while no process listened says nothing about the peer.
                let connection = cx.connection(self.core.key);
                sa.heard(&mut self.core, connection, cx);
                self.core.window.excuse(cx.now);
                if self.core.timers.at(Timer::DataPlane).is_some() {
                    self.core.timers.set(Timer::DataPlane, cx.now + cx.config.install_timeout);
                }
            }
        }
    }
}
