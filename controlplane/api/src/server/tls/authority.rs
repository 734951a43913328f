//! A certificate authority for one server: its clients trust a key that never leaves the gateway.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::super::kept;
use super::{TlsError, server_config};

const KEY: &str = "ca.key";
const CERTIFICATE: &str = "ca.crt";
/// A certificate that was issued is good for so many seconds, and replaced after two thirds of them.
const VALID_SECS: u64 = 90 * 86_400;
const USED_SECS: u64 = 60 * 86_400;
/// So far behind ours a client's clock may be.
const EARLY: Duration = Duration::DAY;

/// The CA.
#[derive(Debug)]
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    /// What this machine calls itself.
    host: Option<Ia5String>,
}

/// A certificate of the server, with its key.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) config: Arc<ServerConfig>,
    /// Seconds since the Unix epoch.
    at: u64,
}

impl Issued {
    /// Neither nearly over nor, by a clock that was set back, of the future.
    pub(super) fn is_good(&self, now: u64) -> bool {
        (self.at..self.at + USED_SECS).contains(&now)
    }
}

impl Authority {
    /// The one of this folder; a new one where there is none.
    pub(super) fn open(state: &Path) -> Result<Self, TlsError> {
        let file = state.join(KEY);
        let failed = |source| TlsError::File { path: file.clone(), source };
        let key = match kept::read_private(&file).map_err(failed)? {
            Some(pem) => KeyPair::from_pem(&pem).map_err(|_| TlsError::NoKey { path: file.clone() })?,
            None => {
                let key = KeyPair::generate()?;
                kept::write(&file, key.serialize_pem().as_bytes(), kept::PRIVATE).map_err(failed)?;
                key
            }
        };
        let params = params(&key);
        let certificate = certificate(&state.join(CERTIFICATE), &params, &key)?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let host = Ia5String::try_from(host).ok().filter(|host| !host.as_str().is_empty());
        Ok(Self { issuer: Issuer::new(params, key), certificate, host })
    }

    /// The CA's certificate in PEM.
    pub(super) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A new key with a certificate for clients that know the server by this address, or by the machine's name.
    pub(super) fn issue(&self, address: IpAddr, now: u64) -> Result<Issued, TlsError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, address.to_string());
        params.subject_alt_names.push(SanType::IpAddress(address));
        params.subject_alt_names.extend(self.host.clone().map(SanType::DnsName));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let from = i64::try_from(now).ok().and_then(|now| OffsetDateTime::from_unix_timestamp(now).ok());
        let from = from.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        params.not_before = from.saturating_sub(EARLY);
        params.not_after = from.saturating_add(Duration::seconds(VALID_SECS.cast_signed()));
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Issued { config: server_config(vec![certificate.der().clone()], key)?, at: now })
    }
}

/// The same for the same key, so that the key is all that has to be kept. The name is the key's, so that those who trust
/// several gateways can tell them apart; the end is "no well-defined expiration date" (RFC 5280 section 4.1.2.5).
fn params(key: &KeyPair) -> CertificateParams {
    let digest = Sha256::digest(key.public_key_raw());
    let name = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("Esplanade gateway {name:08x}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(9999, 12, 31) + Duration::seconds(86_399);
    params
}

/// The CA's certificate in PEM: the one of the file, or a new one where there is none of this key.
fn certificate(file: &Path, params: &CertificateParams, key: &KeyPair) -> Result<String, TlsError> {
    let of_this_key = |pem: &String| {
        let der = CertificateDer::from_pem_slice(pem.as_bytes());
        der.is_ok_and(|der| der.windows(key.public_key_raw().len()).any(|part| part == key.public_key_raw()))
    };
    if let Some(pem) = fs::read_to_string(file).ok().filter(of_this_key) {
        return Ok(pem);
    }
    let made = params.self_signed(key)?.pem();
    let failed = |source| TlsError::File { path: file.to_owned(), source };
    kept::write(file, made.as_bytes(), 0o644).map_err(failed)?;
    Ok(made)
}
