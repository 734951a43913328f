//! Exit statuses: stable, the same for every command; docs/operations.md has the same table.

use esplanade::client::CallError;
use shm::ConnectError;
use shm::inspect::InspectError;
use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was done, or all is well.
    Done = 0,
    /// It was not done, or something is not as it should be.
    Failed = 1,
    /// A tunnel is down: its negotiation failed, or it did not come up in time.
    Down = 2,
    /// There is no resource of that name.
    NotFound = 3,
    /// The control plane or the data plane does not answer.
    Away = 4,
    /// The command line is not understood (`EX_USAGE` of sysexits.h).
    Usage = 64,
}

/// There is no resource of the name that was given.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotFound(pub(crate) String);

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// What an error means.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(Self::of_cause).unwrap_or(Self::Failed)
    }

    fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if cause.is::<NotFound>() {
            return Some(Self::NotFound);
        }
        let inspection = cause.downcast_ref::<InspectError>().map(|error| match error {
            InspectError::Connect(ConnectError::NotRunning { .. }) | InspectError::Gone => Self::Away,
            _ => Self::Failed,
        });
        let call = cause.downcast_ref::<CallError>().map(|error| match error {
            CallError::Unreachable { .. } | CallError::Refused { status: 503 | 504, .. } => Self::Away,
            CallError::Refused { status: 404, .. } => Self::NotFound,
            CallError::Refused { code, .. } if code == "NotEstablished" => Self::Down,
            CallError::Refused { .. } | CallError::Untrusted { .. } => Self::Failed,
        });
        inspection.or(call)
    }

    /// The one of a tunnel that is or is not up.
    pub(crate) fn up(is_up: bool) -> Self {
        if is_up { Self::Done } else { Self::Down }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn errors_are_told_apart_by_what_caused_them() {
        let refused = |status, code: &str| {
            let error = CallError::Refused { status, code: code.into(), message: "no".into() };
            Exit::of(&anyhow::Error::from(error).context("showing hq"))
        };
        assert_eq!(refused(404, "NotFound"), Exit::NotFound);
        assert_eq!(refused(503, "DataplaneAway"), Exit::Away);
        assert_eq!(refused(409, "NotEstablished"), Exit::Down);
        assert_eq!(refused(409, "Conflict"), Exit::Failed);
        let socket = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let unreachable = Err::<(), _>(CallError::Unreachable { at: "/run/x".into(), source: socket() });
        assert_eq!(Exit::of(&unreachable.context("listing").expect_err("an error")), Exit::Away);
        let dataplane = ConnectError::NotRunning { path: "/run/x".into(), source: socket() };
        assert_eq!(Exit::of(&InspectError::from(dataplane).into()), Exit::Away);
        assert_eq!(Exit::of(&NotFound("there is no tunnel x/1".into()).into()), Exit::NotFound);
        assert_eq!(Exit::of(&anyhow::anyhow!("anything else")), Exit::Failed);
    }
}
