//! What every engine offers.

use std::fmt;

use crate::{
    job::Job,
    key::{Key, KeyError, KeyMaterial},
    memory::KeyMemory,
    suite::Suite,
};

/// An engine: expands keys and makes contexts. One per process, shared by agent and workers.
pub trait Backend: fmt::Debug + Send + Sync {
    /// Its name in the configuration: `portable` or `ipsec-mb`.
    fn name(&self) -> &'static str;

    /// One line for the operator: library, version, instruction set.
    fn describe(&self) -> String;

    /// Expands a key into `memory`. Off the hot path.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when the material has the wrong length or there is no room.
    fn expand(&self, suite: Suite, material: &KeyMaterial<'_>, memory: &KeyMemory) -> Result<Key, KeyError>;

    /// The state of one worker.
    ///
    /// # Errors
    ///
    /// [`BackendError`] when the engine cannot make another.
    fn context(&self) -> Result<Box<dyn Context>, BackendError>;
}

/// An engine in the hands of one worker.
///
/// Both calls process every job that is [`Pending`](crate::Status::Pending), of any mixture of
/// suites and any number, and return when all are complete. They neither allocate nor panic.
pub trait Context: fmt::Debug + Send {
    /// Encrypts and authenticates; writes the tags.
    fn seal(&mut self, jobs: &mut [Job<'_>]);

    /// Checks the tags, in constant time, and decrypts.
    fn open(&mut self, jobs: &mut [Job<'_>]);
}

/// The engine's library failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// It was not built in.
    #[error("{0} was not found when this program was built")]
    NotBuilt(&'static str),
    /// It could not be set up.
    #[error("ipsec-mb cannot be set up: {0}")]
    Setup(String),
}
