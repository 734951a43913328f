//! Loading the document and the secrets it names.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use gateway::plan::{InterfaceIds, Plan};
use gateway::psk::{self, Psk, PskError};
use gateway::{Desired, Report, keys};
use zeroize::Zeroizing;

use crate::credentials::{CredentialError, Credentials, TunnelAuth};
use crate::random;
use crate::sockets;

/// Largest file that is read, in bytes.
const MAX_LEN: u64 = 64 << 20;

/// The text of a document: wiped when dropped, printed as its length.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Zeroizing<String>);

impl Text {
    /// The text, with its secrets.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The text, with its secrets.
    #[must_use]
    pub fn into_inner(self) -> Zeroizing<String> {
        self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

/// A document that can be applied.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub file: PathBuf,
    pub text: Text,
    pub desired: Desired,
    pub plan: Plan,
    /// Keys and certificates by tunnel number.
    pub auth: BTreeMap<u32, TunnelAuth>,
    pub report: Report,
}

/// Why a document cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {path}: {source}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{report}")]
    Invalid { report: Box<Report> },
    #[error(
        "{path} holds a secret and others may read it (mode {mode:04o}): chmod 600 {path}",
        path = path.display()
    )]
    Mode { path: PathBuf, mode: u32 },
    #[error("{path}: {source}", path = path.display())]
    Credential { path: PathBuf, source: CredentialError },
    #[error("no random numbers for a pre-shared key: {source}")]
    Random { source: std::io::Error },
    #[error("[api] certificate: {0}")]
    Api(api::server::TlsError),
    #[error("{path} is not text", path = path.display())]
    NotText { path: PathBuf },
    #[error("the key of tunnel {tunnel} in {path}: {source}", path = path.display())]
    Psk { tunnel: String, path: PathBuf, source: PskError },
}

/// Reads, checks and plans `file`. `ids` are the interface numbers in force.
///
/// # Errors
/// The first file that cannot be used, or everything that is wrong with the document.
pub fn load(file: &Path, ids: &InterfaceIds) -> Result<Loaded, LoadError> {
    from_file(file, |text, name| load_text(text, name, file, ids))
}

/// As [`load`], of a file that may leave pre-shared keys open: they are made.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_seed(file: &Path) -> Result<Loaded, LoadError> {
    from_file(file, |text, name| load_open(text, "", name, file, &InterfaceIds::default()))
}

fn from_file(
    file: &Path,
    load: impl FnOnce(&str, &str) -> Result<Loaded, LoadError>,
) -> Result<Loaded, LoadError> {
    let (bytes, mode) = read(file, MAX_LEN)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| LoadError::NotText { path: file.to_owned() })?;
    let loaded = load(text, &file.display().to_string())?;
    let has_secrets = gateway::redact::redact(text) != text;
    if has_secrets {
        private(file, mode)?;
    }
    Ok(loaded)
}

/// Checks and plans `text`, which problems call `name`, as if `file` held it.
///
/// # Errors
/// As [`load`].
pub fn load_text(text: &str, name: &str, file: &Path, ids: &InterfaceIds) -> Result<Loaded, LoadError> {
    let mut report = gateway::check(text, name);
    let Some(desired) = report.desired.take() else {
        return Err(LoadError::Invalid { report: Box::new(report) });
    };
    let plan = gateway::plan(&desired, ids);
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut credentials = Credentials::new(folder);
    let auth = plan.tunnels.iter().map(|t| Ok((t.id, credentials.of(t)?))).collect::<Result<_, _>>()?;
    if let Some(files) = &desired.control.api.certificate {
        // It is shown from the next start on, and must not be what keeps the daemon from starting.
        sockets::from_files(files, folder).map_err(LoadError::Api)?;
    }
    let text = Text(Zeroizing::new(text.to_owned()));
    Ok(Loaded { file: file.to_owned(), text, desired, plan, auth, report })
}

/// As [`load_text`], of a text that may leave pre-shared keys open: they are those of `in_force`, or made.
///
/// # Errors
/// As [`load`].
pub fn load_open(
    text: &str,
    in_force: &str,
    name: &str,
    file: &Path,
    ids: &InterfaceIds,
) -> Result<Loaded, LoadError> {
    let mut chances = Ok(());
    let keys::Completed { restored, filled } = keys::complete(text, in_force, || {
        let mut chance = Zeroizing::new([0; psk::GENERATED]);
        if let Err(source) = random::fill(&mut *chance) {
            chances = Err(LoadError::Random { source });
        }
        Psk::generate(&chance)
    });
    chances?;
    let Some(filled) = filled else { return load_text(&restored, name, file, ids) };
    // Problems have their places in the text that somebody wrote.
    let report = gateway::check_open(&restored, name);
    if !report.errors.is_empty() {
        return Err(LoadError::Invalid { report: Box::new(report) });
    }
    let loaded = load_text(&filled, name, file, ids)?;
    Ok(Loaded { report, ..loaded })
}

/// The problems of a text that may leave pre-shared keys open, as [`load_open`] has them.
pub(crate) fn check_open(text: &str, in_force: &str, name: &str) -> Report {
    let none = || Psk::generate(&[0; psk::GENERATED]);
    gateway::check_open(&keys::complete(text, in_force, none).restored, name)
}

/// The bytes and the mode of the very file that was read.
pub(crate) fn read(path: &Path, limit: u64) -> Result<(Zeroizing<Vec<u8>>, u32), LoadError> {
    let open = || {
        let file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        // Room for all of it at once: growing would leave copies of keys behind.
        let room = usize::try_from(file.metadata()?.len().min(limit)).unwrap_or(0);
        let mut bytes = Zeroizing::new(Vec::with_capacity(room + 1));
        file.take(limit).read_to_end(&mut bytes)?;
        Ok((bytes, mode))
    };
    open().map_err(|source| LoadError::Read { path: path.to_owned(), source })
}

pub(crate) fn private(path: &Path, mode: u32) -> Result<(), LoadError> {
    let mode = mode & 0o7777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(LoadError::Mode { path: path.to_owned(), mode }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../docs/examples/two-sites.toml");

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).expect("written");
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("mode set");
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("gw.toml");
        write(&file, EXAMPLE, 0o644);
        (folder, file)
    }

    #[test]
    fn the_key_comes_from_a_private_file_beside_the_document() {
        let (folder, file) = folder();
        let psk = folder.path().join("a-to-b.psk");
        assert!(matches!(load(&file, &InterfaceIds::default()), Err(LoadError::Read { .. })));
        write(&psk, "sesame\n", 0o640);
        let error = load(&file, &InterfaceIds::default()).expect_err("readable by the group");
        assert!(error.to_string().ends_with(&format!("chmod 600 {}", psk.display())), "{error}");
        write(&psk, "se same\n", 0o600);
        assert!(matches!(load(&file, &InterfaceIds::default()), Err(LoadError::Psk { .. })));
        write(&psk, "sesame\n", 0o600);
        let loaded = load(&file, &InterfaceIds::default()).expect("valid");
        let auth = TunnelAuth::psk(&gateway::psk::Psk::new("sesame").expect("a key"));
        assert_eq!(loaded.auth.into_values().collect::<Vec<_>>(), [auth]);
    }

    #[test]
    fn a_document_with_a_key_in_it_must_be_private() {
        let (_folder, file) = folder();
        let inline = EXAMPLE.replace("psk-file = \"a-to-b.psk\"", "psk = \"sesame\"");
        write(&file, &inline, 0o644);
        assert!(matches!(load(&file, &InterfaceIds::default()), Err(LoadError::Mode { mode: 0o644, .. })));
        write(&file, &inline, 0o600);
        assert!(load(&file, &InterfaceIds::default()).is_ok());
    }
}
