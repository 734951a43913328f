//! The choice of an engine at start.

use std::sync::Arc;

use crate::{
    backend::{Backend, BackendError},
    portable::Portable,
    selftest::{SelfTestError, self_test},
};

/// What the configuration asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preference {
    /// The fastest that passes its tests.
    #[default]
    Auto,
    /// ipsec-mb or nothing.
    IpsecMb,
    /// RustCrypto.
    Portable,
}

/// The engine to use.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Shared by the agent and the workers.
    pub backend: Arc<dyn Backend>,
    /// One line to print: what was chosen, and why not another.
    pub description: String,
}

/// The engine asked for cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// It cannot be set up.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// It gives wrong answers.
    #[error(transparent)]
    SelfTest(#[from] SelfTestError),
}

/// Chooses an engine; each is tested with known answers for every suite before it is given out.
///
/// # Errors
///
/// [`SelectError`] when the preferred engine is not usable, or with [`Preference::Auto`] none is.
pub fn select(preference: Preference) -> Result<Selection, SelectError> {
    match preference {
        Preference::Portable => portable(),
        Preference::IpsecMb => ipsec_mb(),
        Preference::Auto => ipsec_mb().or_else(|reason| {
            let mut selection = portable()?;
            selection.description.push_str(&format!("; ipsec-mb is not used: {reason}"));
            Ok(selection)
        }),
    }
}

fn portable() -> Result<Selection, SelectError> {
    tested(Arc::new(Portable))
}

#[cfg(ipsec_mb)]
fn ipsec_mb() -> Result<Selection, SelectError> {
    tested(Arc::new(crate::ipsec_mb::IpsecMb::new()?))
}

#[cfg(not(ipsec_mb))]
fn ipsec_mb() -> Result<Selection, SelectError> {
    Err(BackendError::NotBuilt("ipsec-mb").into())
}

fn tested(backend: Arc<dyn Backend>) -> Result<Selection, SelectError> {
    self_test(&*backend)?;
    let description = backend.describe();
    Ok(Selection { backend, description })
}
