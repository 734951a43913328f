//! The choice of an engine at start.

use std::sync::Arc;

use crate::{
    backend::{Backend, BackendError},
    portable::Portable,
    selftest::{SelfTestError, wrong_ciphers},
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

/// Chooses an engine; each is tested with every suite before it is given out.
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
    let wrong = wrong_ciphers(&Portable)?;
    if !wrong.is_empty() {
        return Err(SelfTestError::WrongAnswers { backend: Portable.name(), wrong }.into());
    }
    Ok(Selection::of(Portable))
}

#[cfg(ipsec_mb)]
fn ipsec_mb() -> Result<Selection, SelectError> {
    Ok(Selection::of(crate::ipsec_mb::IpsecMb::new()?))
}

#[cfg(not(ipsec_mb))]
fn ipsec_mb() -> Result<Selection, SelectError> {
    Err(BackendError::NotBuilt("ipsec-mb").into())
}

impl Selection {
    fn of(backend: impl Backend + 'static) -> Selection {
        let description = backend.describe();
        Selection { backend: Arc::new(backend), description }
    }
}
