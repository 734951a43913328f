//! What each tunnel proves itself with and asks of its peer: keys and certificates, from their files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use gateway::model::{Authority, LocalAuth, OwnCertificate, PskSource, RemoteAuth, RsaPadding};
use gateway::plan::TunnelPlan;
use gateway::psk::Psk;
use ike::pki::{Credential, PkiError, Trust};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use zeroize::{Zeroize, Zeroizing};

use crate::document::{LoadError, private, read};

/// Largest file of a pre-shared key: the longest key and a line end.
const MAX_PSK_LEN: u64 = 1 << 10;
/// Largest file of certificates or of a private key, bytes.
const MAX_CERTIFICATES_LEN: u64 = 1 << 20;
/// Largest file of a revocation list, bytes.
const MAX_CRL_LEN: u64 = 64 << 20;
/// How a PEM file begins; another one is DER.
const PEM: &[u8] = b"-----BEGIN";

/// The authentication of one tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelAuth {
    pub local: ike::LocalAuth,
    pub remote: ike::RemoteAuth,
}

impl TunnelAuth {
    /// One pre-shared key for both ends.
    #[must_use]
    pub fn psk(psk: &Psk) -> Self {
        let psk = ike::Psk::new(psk.expose());
        Self { local: ike::LocalAuth::Psk(psk.clone()), remote: ike::RemoteAuth::Psk(psk) }
    }
}

/// A file of certificates or keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    #[error("no PEM block of a {wanted} in it")]
    NoPem { wanted: &'static str },
    #[error("{0}")]
    Pem(String),
    #[error("the key is in an old form: openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW  converts it")]
    OldKey,
    #[error(transparent)]
    Pki(#[from] PkiError),
    #[error("the certificate is for {names}, not for local-id {id}: set local-id to one of those")]
    NotForUs { id: String, names: String },
    #[error("{id} is no identity: {source}")]
    Identity { id: String, source: ike::IdentityError },
}

/// Reads the files of tunnels, each once.
#[derive(Debug)]
pub(crate) struct Credentials<'a> {
    /// Relative paths are relative to it.
    folder: &'a Path,
    own: BTreeMap<OwnCertificate, Arc<Credential>>,
    trusts: BTreeMap<Authority, Arc<Trust>>,
}

impl<'a> Credentials<'a> {
    pub(crate) fn new(folder: &'a Path) -> Self {
        Self { folder, own: BTreeMap::new(), trusts: BTreeMap::new() }
    }

    /// What `tunnel` proves itself with, and what its peer must.
    pub(crate) fn of(&mut self, tunnel: &TunnelPlan) -> Result<TunnelAuth, LoadError> {
        let local = match &tunnel.auth.local {
            LocalAuth::Psk(source) => ike::LocalAuth::Psk(ike::Psk::new(self.psk(tunnel, source)?.expose())),
            LocalAuth::Certificate(own) => {
                let credential = self.credential(own)?;
                self.is_ours(tunnel, own, &credential)?;
                ike::LocalAuth::Certificate(credential)
            }
        };
        let remote = match &tunnel.auth.remote {
            RemoteAuth::Psk(source) => {
                ike::RemoteAuth::Psk(ike::Psk::new(self.psk(tunnel, source)?.expose()))
            }
            RemoteAuth::Certificate(authority) => ike::RemoteAuth::Certificate(self.trust(authority)?),
        };
        Ok(TunnelAuth { local, remote })
    }

    fn psk(&self, tunnel: &TunnelPlan, source: &PskSource) -> Result<Psk, LoadError> {
        let path = match source {
            PskSource::Inline(psk) => return Ok(psk.clone()),
            PskSource::File(path) => self.folder.join(path),
        };
        let (bytes, mode) = read(&path, MAX_PSK_LEN)?;
        private(&path, mode)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| LoadError::NotText { path: path.clone() })?;
        Psk::from_file_text(text).map_err(|source| LoadError::Psk { tunnel: tunnel.name(), path, source })
    }

    fn credential(&mut self, own: &OwnCertificate) -> Result<Arc<Credential>, LoadError> {
        if let Some(known) = self.own.get(own) {
            return Ok(known.clone());
        }
        let chain = self.certificates(&own.certificate)?;
        let path = self.folder.join(&own.private_key);
        let (bytes, mode) = read(&path, MAX_CERTIFICATES_LEN)?;
        private(&path, mode)?;
        let key =
            private_key(&bytes).map_err(|source| LoadError::Credential { path: path.clone(), source })?;
        let padding = match own.rsa_padding {
            RsaPadding::Pss => ike::RsaPadding::Pss,
            RsaPadding::Pkcs1 => ike::RsaPadding::Pkcs1,
        };
        let made = Credential::new(&chain, key, padding).map_err(|error| LoadError::Credential {
            path: if matches!(error, PkiError::Key(_)) { path } else { self.folder.join(&own.certificate) },
            source: error.into(),
        });
        let made = Arc::new(made?);
        self.own.insert(own.clone(), made.clone());
        Ok(made)
    }

    /// The certificate holds the identity that the tunnel claims: the peer would refuse another.
    fn is_ours(
        &self,
        tunnel: &TunnelPlan,
        own: &OwnCertificate,
        credential: &Credential,
    ) -> Result<(), LoadError> {
        let path = self.folder.join(&own.certificate);
        let (id, names) = (tunnel.local_id.to_string(), credential.certificate().identities());
        let parsed = crate::convert::identity(&tunnel.local_id);
        let source = match parsed {
            Ok(identity) if credential.certificate().holds(&identity.to_payload()) => return Ok(()),
            Ok(_) => CredentialError::NotForUs { id, names },
            Err(source) => CredentialError::Identity { id, source },
        };
        Err(LoadError::Credential { path, source })
    }

    fn trust(&mut self, authority: &Authority) -> Result<Arc<Trust>, LoadError> {
        if let Some(known) = self.trusts.get(authority) {
            return Ok(known.clone());
        }
        let mut authorities = Vec::new();
        for file in &authority.ca {
            authorities.extend(self.certificates(file)?);
        }
        let mut lists = Vec::new();
        for file in &authority.crl {
            lists.extend(self.revocation_lists(file)?);
        }
        let made = Trust::new(&authorities, &lists, authority.crl_strict).map_err(|error| {
            let is_list = matches!(error, PkiError::RevocationList { .. });
            let files = if is_list { &authority.crl } else { &authority.ca };
            let path = files.first().map(|file| self.folder.join(file)).unwrap_or_default();
            LoadError::Credential { path, source: error.into() }
        });
        let made = Arc::new(made?);
        self.trusts.insert(authority.clone(), made.clone());
        Ok(made)
    }

    fn certificates(&self, file: &Path) -> Result<Vec<Vec<u8>>, LoadError> {
        let path = self.folder.join(file);
        let (bytes, _) = read(&path, MAX_CERTIFICATES_LEN)?;
        let found = blocks(&bytes, "CERTIFICATE", |pem| {
            CertificateDer::pem_slice_iter(pem).map(|found| found.map(|der| der.to_vec())).collect()
        });
        found.map_err(|source| LoadError::Credential { path, source })
    }

    fn revocation_lists(&self, file: &Path) -> Result<Vec<Vec<u8>>, LoadError> {
        let path = self.folder.join(file);
        let (bytes, _) = read(&path, MAX_CRL_LEN)?;
        let found = blocks(&bytes, "X509 CRL", |pem| {
            CertificateRevocationListDer::pem_slice_iter(pem)
                .map(|found| found.map(|der| der.to_vec()))
                .collect()
        });
        found.map_err(|source| LoadError::Credential { path, source })
    }
}

type PemResult = Result<Vec<Vec<u8>>, rustls_pki_types::pem::Error>;

/// Everything of a kind in a PEM file, or the one thing that a DER file is.
fn blocks(
    bytes: &[u8],
    wanted: &'static str,
    read: impl Fn(&[u8]) -> PemResult,
) -> Result<Vec<Vec<u8>>, CredentialError> {
    if !is_pem(bytes) {
        return Ok(vec![bytes.to_vec()]);
    }
    let found = read(bytes).map_err(|error| CredentialError::Pem(error.to_string()))?;
    if found.is_empty() { Err(CredentialError::NoPem { wanted }) } else { Ok(found) }
}

/// Text may stand before the first block.
fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(PEM.len()).any(|window| window == PEM)
}

/// A private key as PKCS#8 in DER.
fn private_key(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    if !is_pem(bytes) {
        return Ok(Zeroizing::new(bytes.to_vec()));
    }
    match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(mut key) => {
            let pkcs8 = match &key {
                PrivateKeyDer::Pkcs8(key) => Ok(Zeroizing::new(key.secret_pkcs8_der().to_vec())),
                _ => Err(CredentialError::OldKey),
            };
            key.zeroize();
            pkcs8
        }
        Err(rustls_pki_types::pem::Error::NoItemsFound) => {
            Err(CredentialError::NoPem { wanted: "PRIVATE KEY" })
        }
        Err(error) => Err(CredentialError::Pem(error.to_string())),
    }
}

#[cfg(test)]
mod tests;
