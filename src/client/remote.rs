//! A gateway that is asked over TLS: whom to trust, and by which token it knows us.

use anyhow::{Context, Result, bail, ensure};
use hyper::header::HeaderValue;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, CertificateError, ClientConfig, RootCertStore};

use super::CallError;

/// Until the connection stands.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Longest file of a token, bytes.
const MAX_TOKEN: u64 = 1 << 10;

/// `https://HOST[:PORT]`: a gateway's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    host: String,
    port: u16,
}

/// What is no [`Url`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the address of a gateway: https://HOST:PORT, such as https://192.0.2.1:8443")]
pub struct NotAnUrl;

impl FromStr for Url {
    type Err = NotAnUrl;

    fn from_str(text: &str) -> Result<Self, NotAnUrl> {
        let uri: hyper::Uri = text.parse().map_err(|_| NotAnUrl)?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let host = authority.ok_or(NotAnUrl)?.host();
        let rest = uri.path_and_query().map_or("/", |rest| rest.as_str());
        if uri.scheme_str() != Some("https") || rest != "/" || host.is_empty() {
            return Err(NotAnUrl);
        }
        Ok(Self { host: host.to_owned(), port: uri.port_u16().unwrap_or(443) })
    }
}

impl Url {
    /// The value of `Host`.
    pub(super) fn authority(&self) -> Result<HeaderValue> {
        Ok(HeaderValue::try_from(format!("{}:{}", self.host, self.port))?)
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "https://{}:{}", self.host, self.port)
    }
}

/// A gateway, and the files that a connection to it needs. They are read with every call: either may be renewed.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Where it listens.
    pub url: Url,
    /// Certificates in PEM, of which one issued the gateway's.
    pub ca: Option<PathBuf>,
    /// Has the token, and is its owner's only.
    pub token: Option<PathBuf>,
}

impl Remote {
    /// The value of `Authorization`.
    pub(super) fn authorization(&self) -> Result<HeaderValue> {
        let advice = "`esplanade token create` on the gateway makes one";
        let Some(file) = &self.token else {
            bail!("{} wants a token: name its file with --token-file; {advice}", self.url);
        };
        let token = token(file).with_context(|| format!("the token in {}", file.display()))?;
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// A connection to the gateway, which has proved itself.
    pub(super) async fn connect(&self) -> Result<TlsStream<TcpStream>> {
        let config = self.config()?;
        let host = self.url.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).with_context(|| format!("the host of {}", self.url))?;
        let connecting = async {
            let stream = TcpStream::connect((host, self.url.port)).await?;
            stream.set_nodelay(true)?;
            TlsConnector::from(config).connect(name, stream).await
        };
        let connected = tokio::time::timeout(CONNECT_TIME, connecting).await;
        let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        Ok(connected.map_err(|source| self.failure(source))?)
    }

    fn config(&self) -> Result<Arc<ClientConfig>> {
        let Some(file) = &self.ca else {
            bail!(
                "whom to trust as {} is not known: name the CA's certificate with --ca; `esplanade show ca` on the \
                 gateway prints its own",
                self.url
            );
        };
        let certificates =
            CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let certificates = certificates.with_context(|| format!("--ca {}", file.display()))?;
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(certificates);
        ensure!(added > 0, "--ca {}: no certificate in PEM", file.display());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }

    /// Tells a gateway that cannot be trusted from one that is not there.
    fn failure(&self, source: io::Error) -> CallError {
        let tls = source.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::InvalidCertificate(why)) => {
                CallError::Untrusted { url: self.url.to_string(), why: why.to_string(), fix: remedy(why) }
            }
            _ => CallError::Unreachable { at: self.url.to_string(), source },
        }
    }
}

/// What to do about a certificate.
fn remedy(why: &CertificateError) -> &'static str {
    use CertificateError as E;
    match why {
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            "compare the clocks of both machines, or renew the certificate"
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            "ask the gateway by an address or name that its certificate has"
        }
        _ => "if this is the gateway, name its CA with --ca: `esplanade show ca` there prints its own",
    }
}

/// The token of a file.
fn token(file: &Path) -> Result<String> {
    let opened = File::open(file)?;
    let mode = opened.metadata()?.permissions().mode();
    ensure!(mode & 0o077 == 0, "others may read it: chmod 600 {}", file.display());
    let mut text = String::new();
    opened.take(MAX_TOKEN).read_to_string(&mut text)?;
    let token = text.trim();
    ensure!(!token.is_empty() && token.bytes().all(|c| c.is_ascii_graphic()), "this is not a token");
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_gateway_and_nothing_else() {
        let url = |text: &str| text.parse::<Url>().map(|url| url.to_string());
        assert_eq!(url("https://gw.example"), Ok("https://gw.example:443".to_owned()));
        assert_eq!(url("https://[2001:db8::1]:8443/"), Ok("https://[2001:db8::1]:8443".to_owned()));
        for wrong in [
            "",
            "gw.example",
            "http://gw.example",
            "https://",
            "https://a@gw",
            "https://gw/v1",
            "https://gw/?a",
        ] {
            assert_eq!(url(wrong), Err(NotAnUrl), "{wrong}");
        }
    }

    #[test]
    fn a_token_that_others_may_read_is_not_sent() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        let write = |text: &str, mode| {
            std::fs::write(&file, text).expect("written");
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("set");
        };
        write("esplanade_1_2\n", 0o644);
        assert!(token(&file).expect_err("open to all").to_string().contains("chmod 600"));
        write("esplanade_1_2\n", 0o600);
        assert_eq!(token(&file).expect("read"), "esplanade_1_2");
        for wrong in ["", "\n", "a b", "a\nb"] {
            write(wrong, 0o600);
            assert!(token(&file).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let remote = Remote { url: "https://gw.example".parse().expect("a URL"), ca: None, token: None };
        assert!(remote.authorization().expect_err("no token").to_string().contains("--token-file"));
        assert!(remote.config().expect_err("no CA").to_string().contains("--ca"));
    }
}
