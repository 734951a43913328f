//! Where the document comes from: a file that somebody keeps, or the store's newest revision.

use std::path::{Path, PathBuf};

use gateway::plan::InterfaceIds;
use store::{Draft, Mode, Pending, Revision, Store, StoreError};
use zeroize::Zeroizing;

use crate::clock;
use crate::document::{self, LoadError, Loaded};

/// Who the history names where nobody asked.
pub(crate) const DAEMON: &str = "esplanade-controlplane";

/// What the gateway is run from.
#[derive(Debug)]
pub enum Source {
    /// The file is the truth; it is read again when somebody says so.
    File,
    /// The store that is kept in this folder.
    Store(Store, PathBuf),
}

/// What keeps a gateway from starting on its store.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Seed(LoadError),
    #[error("revision {number} of the store cannot be put into force: {error}")]
    Revision { number: u64, error: LoadError },
}

/// A store and what is in force of it.
#[derive(Debug)]
pub struct Opened {
    pub store: Store,
    pub document: Loaded,
    /// What the log should say of how it came about.
    pub notes: Vec<String>,
}

/// Opens the store in `folder`. An empty one begins with the file `seed`, or with an empty document.
///
/// # Errors
/// What is wrong with the store, the seed, or the files that the revision names.
pub fn open(folder: &Path, seed: Option<&Path>) -> Result<Opened, StateError> {
    let (store, now) = (Store::open(folder)?, clock::wall().as_secs());
    let mut notes = Vec::new();
    let current = match (store.current()?, seed) {
        (Some(revision), seed) => {
            notes.extend(seed.map(|file| {
                format!(
                    "{} was read once, to begin the store in {}: it is ignored",
                    file.display(),
                    folder.display()
                )
            }));
            expire(&store, revision, now, &mut notes)?
        }
        (None, seed) => begin(&store, folder, seed, now)?,
    };
    let number = current.entry.number;
    notes.push(format!("revision {number} of the store in {} is in force", folder.display()));
    let document = load(&current, &InterfaceIds::default());
    let document = document.map_err(|error| StateError::Revision { number, error })?;
    Ok(Opened { store, document, notes })
}

/// The document of a revision.
pub(crate) fn load(revision: &Revision, ids: &InterfaceIds) -> Result<Loaded, LoadError> {
    let name = format!("revision {}", revision.entry.number);
    document::load_text(&revision.text, &name, &place(&revision.entry.folder), ids)
}

/// Stands for the file that a revision would be: what it names is beside it.
pub(crate) fn place(folder: &Path) -> PathBuf {
    folder.join("revision")
}

/// A draft with the text of `revision`, made on behalf of `author`.
pub(crate) fn again(revision: &Revision, author: &str, comment: String, now: u64) -> Draft {
    Draft {
        text: revision.text.clone(),
        at: now,
        author: author.to_owned(),
        comment,
        folder: revision.entry.folder.clone(),
        token: None,
    }
}

/// Why a revision of `pending` is there once it is over.
pub(crate) fn returned(pending: Pending) -> String {
    let Pending { revision, fallback, secs, .. } = pending;
    format!("revision {revision} was not confirmed within {secs} s: back to revision {fallback}")
}

/// The first revision.
fn begin(store: &Store, folder: &Path, seed: Option<&Path>, now: u64) -> Result<Revision, StateError> {
    let (text, comment, beside) = match seed {
        Some(file) => {
            let loaded = document::load_seed(file).map_err(StateError::Seed)?;
            (loaded.text.into_inner(), format!("from {}", file.display()), file.parent().unwrap_or(folder))
        }
        None => (Zeroizing::default(), "empty".to_owned(), folder),
    };
    let folder = std::path::absolute(beside).unwrap_or_else(|_| beside.to_owned());
    let draft = Draft { text, at: now, author: DAEMON.to_owned(), comment, folder, token: None };
    store.commit(&draft, Mode::Final)?;
    newest(store)
}

/// The revision in force: `current`, unless its time to be confirmed is over.
fn expire(
    store: &Store,
    current: Revision,
    now: u64,
    notes: &mut Vec<String>,
) -> Result<Revision, StateError> {
    let Some(pending) = store.pending()?.filter(|pending| pending.left(now) == 0) else { return Ok(current) };
    let Some(fallback) = store.revision(pending.fallback)? else { return Ok(current) };
    let comment = returned(pending);
    notes.push(comment.clone());
    store.commit(&again(&fallback, DAEMON, comment, now), Mode::Return)?;
    newest(store)
}

fn newest(store: &Store) -> Result<Revision, StateError> {
    Ok(store.current()?.ok_or(StoreError::NothingToReturnTo)?)
}
