//! The certificate that the API shows over TLS: issued by a CA of its own, or read from files.

mod authority;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use std::{fs, io};

use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::{self, ServerConfig};

use self::authority::{Authority, Issued};
use super::kept;

/// Own addresses for which a certificate is kept.
const MAX_ISSUED: usize = 64;
/// How often files are looked at, in seconds.
const LOOK_SECS: u64 = 60;

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{}: {source}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} has no certificate in PEM", .path.display())]
    NoCertificate { path: PathBuf },
    #[error("{} has no private key in PEM", .path.display())]
    NoKey { path: PathBuf },
    #[error("the certificate and the key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    #[error("no certificate can be made: {0}")]
    NotMade(#[from] rcgen::Error),
}

/// What the API proves itself with over TLS 1.3.
#[derive(Debug)]
pub struct Tls(Source);

#[derive(Debug)]
enum Source {
    /// By the address that clients connected to, which is the name they know.
    Own {
        authority: Authority,
        issued: Mutex<BTreeMap<IpAddr, Issued>>,
    },
    Files {
        files: Files,
        current: Mutex<Current>,
    },
}

#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    /// When the files were written last, as far as is known.
    written: [Option<SystemTime>; 2],
    /// When they were looked at, seconds since the Unix epoch.
    looked: u64,
}

impl Tls {
    /// A CA of our own, whose key and certificate are kept in the folder `state`, and made where there are none.
    ///
    /// # Errors
    /// If they cannot be made, kept or read, or others may read the key.
    pub fn own(state: &Path) -> Result<Self, TlsError> {
        Ok(Self(Source::Own { authority: Authority::open(state)?, issued: Mutex::default() }))
    }

    /// The certificate chain, ours first, and its private key, both in PEM. They are read again when they change.
    ///
    /// # Errors
    /// If they cannot be read, do not fit each other, or others may read the key.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned() };
        let written = files.written();
        let current = Current { config: files.read()?, written, looked: 0 };
        Ok(Self(Source::Files { files, current: Mutex::new(current) }))
    }

    /// The certificate of our own CA, in PEM.
    #[must_use]
    pub fn ca(&self) -> Option<&str> {
        match &self.0 {
            Source::Own { authority, .. } => Some(authority.certificate()),
            Source::Files { .. } => None,
        }
    }

    /// What a handshake goes by with a client that connected to `address`, at a time in seconds since the Unix epoch.
    pub(super) fn config(&self, address: IpAddr, now: u64) -> Result<Arc<ServerConfig>, TlsError> {
        match &self.0 {
            Source::Own { authority, issued } => {
                let mut issued = lock(issued);
                if let Some(known) = issued.get(&address).filter(|known| known.is_good(now)) {
                    return Ok(Arc::clone(&known.config));
                }
                let new = authority.issue(address, now)?;
                let config = Arc::clone(&new.config);
                if issued.len() >= MAX_ISSUED {
                    issued.clear();
                }
                issued.insert(address, new);
                Ok(config)
            }
            Source::Files { files, current } => {
                let mut known = lock(current);
                if now.abs_diff(known.looked) >= LOOK_SECS {
                    known.looked = now;
                    files.look_at(&mut known);
                }
                Ok(Arc::clone(&known.config))
            }
        }
    }
}

impl Files {
    /// Takes up what was written since; what cannot be used leaves things as they are.
    fn look_at(&self, known: &mut Current) {
        let written = self.written();
        if written == known.written {
            return;
        }
        match self.read() {
            Ok(config) => {
                tracing::info!(file = %self.certificate.display(), "the API has a new certificate");
                (known.config, known.written) = (config, written);
            }
            Err(error) => tracing::warn!(%error, "the API keeps its certificate"),
        }
    }

    fn written(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key].map(|path| fs::metadata(path).and_then(|file| file.modified()).ok())
    }

    fn read(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            |source| TlsError::File { path, source }
        };
        let text = fs::read(&self.certificate).map_err(failed(&self.certificate))?;
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().unwrap_or_default();
        if chain.is_empty() {
            return Err(TlsError::NoCertificate { path: self.certificate.clone() });
        }
        let key = kept::read_private(&self.key).map_err(failed(&self.key))?;
        let key = key.ok_or_else(|| failed(&self.key)(io::ErrorKind::NotFound.into()))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
        server_config(chain, key.map_err(|_| TlsError::NoKey { path: self.key.clone() })?)
    }
}

/// TLS 1.3 only, and nothing that is kept between connections.
fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
