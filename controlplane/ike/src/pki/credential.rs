//! Our own certificate with its private key.

use zeroize::Zeroizing;

use super::{Certificate, PkiError};
use crate::crypto::{RsaPadding, Secret, SigningKey};

/// Our certificate, the intermediates that lead to a CA, and the private key. `Debug` shows no key.
#[derive(Debug)]
pub struct Credential {
    chain: Vec<Certificate>,
    key: SigningKey,
    padding: RsaPadding,
}

impl Credential {
    /// `chain`: in DER, our own certificate first. `pkcs8`: its private key, unencrypted.
    ///
    /// # Errors
    /// What cannot be read, or a key of another certificate.
    pub fn new(chain: &[Vec<u8>], pkcs8: Zeroizing<Vec<u8>>, padding: RsaPadding) -> Result<Self, PkiError> {
        let chain = super::trust::read_all(chain)?;
        let own = &chain[0];
        let unsupported =
            || PkiError::Certificate { index: 1, why: "its key is of no supported kind".to_owned() };
        let public = own.public_key().ok_or_else(unsupported)?;
        let pkcs8 = Secret::from(&pkcs8[..]);
        let key = SigningKey::from_pkcs8(public.kind, &pkcs8).ok_or(PkiError::Key(public.kind))?;
        if !key.fits(public) {
            return Err(PkiError::KeyMismatch(own.subject().to_string()));
        }
        Ok(Self { chain, key, padding })
    }

    /// With a key that belongs to nobody in the place of the private key.
    ///
    /// # Errors
    /// What cannot be read, or a kind of key that we do not have.
    pub(crate) fn stand_in(chain: &[Vec<u8>], padding: RsaPadding) -> Result<Self, PkiError> {
        let chain = super::trust::read_all(chain)?;
        let key = chain[0].public_key().and_then(|public| SigningKey::generate(public.kind));
        let why = "its key is of no supported kind".to_owned();
        Ok(Self { key: key.ok_or(PkiError::Certificate { index: 1, why })?, chain, padding })
    }

    /// Our own certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.chain[0]
    }

    /// Our own certificate, then the intermediates.
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    pub(crate) fn key(&self) -> &SigningKey {
        &self.key
    }

    pub(crate) fn padding(&self) -> RsaPadding {
        self.padding
    }
}

/// A certificate stands for its private key.
impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain && self.padding == other.padding
    }
}

impl Eq for Credential {}
