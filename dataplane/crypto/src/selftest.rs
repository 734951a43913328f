//! What an engine must get right before it is used, at every start.
//!
//! [`known`] compares one packet of every suite with what OpenSSL made of it; [`lanes`] compares whole
//! batches with the portable engine, since multi-buffer engines also go wrong between packets:
//! ipsec-mb 2.0 lays the output of one DES packet into another's buffer with AVX-512
//! (intel/intel-ipsec-mb issue 169).

mod answers;
mod known;
mod lanes;

use crate::{
    backend::{Backend, BackendError},
    key::KeyError,
    suite::{Cipher, Suite},
};

/// An engine that must not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelfTestError {
    /// It gives wrong answers.
    #[error("{backend} fails the self-test of {}", names(wrong))]
    WrongAnswers {
        /// The engine.
        backend: &'static str,
        /// The ciphers with a suite that fails.
        wrong: Vec<Cipher>,
    },
    /// A test key could not be expanded.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No context could be made.
    #[error(transparent)]
    Context(#[from] BackendError),
}

/// The ciphers of which any suite fails a test.
///
/// # Errors
///
/// [`SelfTestError`] when the tests cannot be run.
pub(crate) fn wrong_ciphers(backend: &dyn Backend) -> Result<Vec<Cipher>, SelfTestError> {
    let mut wrong: Vec<Cipher> = known::wrong(backend)?.into_iter().map(Suite::cipher).collect();
    for suite in Suite::all() {
        if !wrong.contains(&suite.cipher()) && !lanes::agrees(backend, suite)? {
            wrong.push(suite.cipher());
        }
    }
    wrong.dedup();
    Ok(wrong)
}

/// The ciphers in one line.
pub(crate) fn names(ciphers: &[Cipher]) -> String {
    ciphers.iter().map(Cipher::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Portable, Preference, select};

    #[test]
    fn the_portable_engine_passes() {
        assert_eq!(wrong_ciphers(&Portable), Ok(vec![]));
    }

    #[test]
    fn the_fastest_engine_is_chosen() {
        let selection = select(Preference::Auto).expect("an engine");
        let expected = if cfg!(ipsec_mb) { "ipsec-mb" } else { "portable" };
        assert_eq!(selection.backend.name(), expected, "{}", selection.description);
        assert!(selection.description.starts_with(expected), "{}", selection.description);
    }
}
