//! Where the API is served, and who may use it.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use api::server::{Access, Server, Tls, TlsError};
use gateway::model::{Api, ApiCertificate};
use rustix::io::Errno;
use rustix::net::sockopt::set_ipv6_v6only;
use tokio::net::{TcpListener, TcpSocket, UnixListener};

use crate::state::Source;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 128;

/// The sockets of the API, and what it shows over TLS.
#[derive(Debug)]
pub(crate) struct Sockets {
    unix: UnixListener,
    tcp: Vec<TcpListener>,
    /// Where there is a `tcp`.
    tls: Option<Arc<Tls>>,
    pub(crate) access: Access,
}

impl Sockets {
    /// Opens the Unix socket, and those that `api` names; its files are relative to `folder`.
    pub(crate) fn open(unix: &Path, api: &Api, folder: &Path, source: &Source) -> Result<Self> {
        let unix = listen(unix)?;
        let mut access = access(api, source)?;
        let tcp = api.listen.iter().map(|address| listen_tcp(*address)).collect::<Result<Vec<_>>>()?;
        let tls = (!tcp.is_empty()).then(|| tls(api, folder, access.state.as_deref())).transpose()?;
        access.ca = tls.as_deref().and_then(Tls::ca).map(str::to_owned);
        Ok(Self { unix, tcp, tls, access })
    }

    /// Takes connections of all of them until the server stops.
    pub(crate) fn serve(self, server: &Arc<Server>) {
        tokio::spawn(Arc::clone(server).serve_unix(self.unix));
        for (listener, tls) in self.tcp.into_iter().zip(self.tls.iter().cycle()) {
            tokio::spawn(Arc::clone(server).serve_tls(listener, Arc::clone(tls)));
        }
    }
}

/// Who may use the API. What it keeps is kept where the document says, or else beside the store, or where the service
/// manager says.
fn access(api: &Api, source: &Source) -> Result<Access> {
    let given = || match source {
        Source::Store(_, folder) => Some(folder.join("api")),
        Source::File => Some(Path::new(&std::env::var_os("STATE_DIRECTORY")?).join("api")),
    };
    let state = api.state.clone().or_else(given);
    if let Some(folder) = &state {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let Api { viewers, operators, admins, .. } = api.clone();
    Ok(Access { viewers, operators, admins, state, ca: None })
}

/// The API's socket, mode 0660 in a folder of mode 0750.
fn listen(path: &Path) -> Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        bail!("another control plane listens at {}: stop it first", path.display());
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o750).create(folder);
        made.with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    // Left behind by a process that was killed.
    drop(std::fs::remove_file(path));
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen at {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

fn listen_tcp(address: SocketAddr) -> Result<TcpListener> {
    let bound = || -> io::Result<TcpListener> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if address.is_ipv6() {
            // [::] is IPv6, and 0.0.0.0 may be listed beside it.
            set_ipv6_v6only(&socket, true)?;
        }
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|error| {
        let hint = hint(&error);
        anyhow::Error::new(error).context(format!("[api] listen: cannot listen at {address}{hint}"))
    })
}

/// What may be the matter with an address.
fn hint(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::ADDRNOTAVAIL) => ": give an address that the kernel of this machine has",
        Some(Errno::ADDRINUSE) => ": stop the program that has it, or choose another port",
        Some(Errno::ACCESS) => ": choose a port from 1024 on",
        Some(Errno::AFNOSUPPORT) => ": install packaging/systemd/remote.conf, see docs/operations.md",
        _ => "",
    }
}

/// What the API shows over TLS: the certificate of the document, or one of its own CA.
fn tls(api: &Api, folder: &Path, state: Option<&Path>) -> Result<Arc<Tls>> {
    let Some(state) = state else {
        bail!(
            "[api] listen needs a folder for tokens: add  state = \"FOLDER\"  there, or start with --state"
        );
    };
    let tls = match &api.certificate {
        Some(files) => from_files(files, folder),
        None => Tls::own(state),
    };
    Ok(Arc::new(tls.context("[api] listen: there is no certificate to show")?))
}

/// The certificate that a document names, which may be relative to its folder.
pub(crate) fn from_files(files: &ApiCertificate, folder: &Path) -> Result<Tls, TlsError> {
    let [certificate, key]: [PathBuf; 2] = [&files.certificate, &files.key].map(|file| folder.join(file));
    Tls::from_files(&certificate, &key)
}
