//! Why a transaction is refused.

use api::{PendingConfirmation, Problem};
use store::StoreError;

pub(super) fn no_revision(number: u64) -> Problem {
    let problem = Problem::not_found(format!("there is no revision {number}, or it is too old"));
    problem.fix("`esplanade config history` lists what is kept")
}

pub(super) fn confirm_first(pending: PendingConfirmation) -> Problem {
    let PendingConfirmation { revision, fallback, left_secs } = pending;
    let detail = format!("revision {revision} waits for its confirmation, for {left_secs} s more");
    Problem::new(409, "ConfirmationPending", "Another commit is not confirmed", detail).fix(format!(
        "`esplanade config confirm` keeps it, `esplanade config rollback` returns to revision {fallback}"
    ))
}

/// What the store says.
pub(super) fn of_store(error: &StoreError) -> Problem {
    match error {
        StoreError::NothingPending => {
            Problem::new(409, "NothingPending", "Nothing to confirm", error.to_string())
        }
        StoreError::Pending(_) | StoreError::NothingToReturnTo => {
            Problem::new(409, "ConfirmationPending", "Another commit is not confirmed", error.to_string())
        }
        error => {
            tracing::error!(%error, "the store");
            Problem::new(500, "Store", "The store failed", error.to_string())
        }
    }
}
