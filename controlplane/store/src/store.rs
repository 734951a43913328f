//! The database.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition};
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::key::{MasterKey, sync_folder};
use crate::{Draft, Entry, Mode, Pending, Revision, StoreError};

/// How many revisions are kept. One that a pending confirmation may return to is kept beyond that.
pub const HISTORY: u64 = 100;

/// Entries by number.
const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
/// Sealed texts by number.
const TEXTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("texts");
/// What there is one of.
const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");
/// Keys of [`STATE`].
const FORMAT: &str = "format";
const PENDING: &str = "pending";
/// How entries are written; another program must not guess.
const VERSION: &[u8] = b"esplanade store 1";
/// Memory for pages of the database, bytes: the history is read seldom.
const CACHE: usize = 8 << 20;

/// The revisions in a folder, which no other process may use meanwhile.
#[derive(Debug)]
pub struct Store {
    database: Database,
    key: MasterKey,
    path: PathBuf,
    /// Locked for as long as it is open.
    _folder: File,
}

impl Store {
    /// Opens the store in `folder`; makes folder, key and store where there are none.
    ///
    /// # Errors
    /// What is wrong with the files there, and what to do.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let lock = lock(folder)?;
        let (key, path) = (folder.join("master.key"), folder.join("store.redb"));
        let exists = path.try_exists().map_err(|source| StoreError::File { path: path.clone(), source })?;
        let key = if exists { MasterKey::read(key)? } else { MasterKey::read_or_create(key)? };
        if !exists {
            create(&path)?;
        }
        // A plain open trusts the file, and panics later where somebody changed it.
        let database = redb::Builder::new()
            .set_cache_size(CACHE)
            .set_check_integrity_on_open(true)
            .open(&path)
            .map_err(|error| unopened(&path, error))?;
        let store = Self { database, key, path, _folder: lock };
        store.check()?;
        Ok(store)
    }

    /// The newest revision; `None` in a new store.
    ///
    /// # Errors
    /// The store was damaged.
    pub fn current(&self) -> Result<Option<Revision>, StoreError> {
        match self.newest()? {
            Some(number) => self.revision(number),
            None => Ok(None),
        }
    }

    /// A revision, unless it is too old or yet to come.
    ///
    /// # Errors
    /// The store was damaged.
    pub fn revision(&self, number: u64) -> Result<Option<Revision>, StoreError> {
        self.read(|read| {
            let (entries, texts) = (read.open_table(ENTRIES)?, read.open_table(TEXTS)?);
            let (Some(entry), Some(text)) = (entries.get(number)?, texts.get(number)?) else {
                return Ok(None);
            };
            Ok(Some((entry.value().to_vec(), text.value().to_vec())))
        })?
        .map(|(entry, text)| {
            Ok(Revision { entry: self.decode(&entry)?, text: self.key.open(number, &text)? })
        })
        .transpose()
    }

    /// Every revision that is kept, the newest first.
    ///
    /// # Errors
    /// The store was damaged.
    pub fn history(&self) -> Result<Vec<Entry>, StoreError> {
        let all = self.read(|read| {
            let entries = read.open_table(ENTRIES)?;
            entries.iter()?.rev().map(|entry| Ok(entry?.1.value().to_vec())).collect::<Result<Vec<_>, _>>()
        })?;
        all.iter().map(|entry| self.decode(entry)).collect()
    }

    /// The revision that waits for its confirmation.
    ///
    /// # Errors
    /// The store was damaged.
    pub fn pending(&self) -> Result<Option<Pending>, StoreError> {
        let pending = self.read(|read| {
            let state = read.open_table(STATE)?;
            Ok(state.get(PENDING)?.map(|pending| pending.value().to_vec()))
        })?;
        pending.map(|pending| self.decode(&pending)).transpose()
    }

    /// Makes `draft` the current revision; its number. It is on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::Pending`] and [`StoreError::NothingToReturnTo`] as [`Mode`] says; what keeps the disk from
    /// being written.
    pub fn commit(&self, draft: &Draft, mode: Mode) -> Result<u64, StoreError> {
        let pending = self.pending()?;
        if let (Some(pending), Mode::Final | Mode::Confirm { .. }) = (pending, mode) {
            return Err(StoreError::Pending(pending));
        }
        let before = self.newest()?;
        let number = before.unwrap_or(0) + 1;
        let pending = match (mode, before) {
            (Mode::Final | Mode::Return, _) => None,
            (Mode::Confirm { .. }, None) => return Err(StoreError::NothingToReturnTo),
            (Mode::Confirm { secs }, Some(fallback)) => {
                let deadline = draft.at.saturating_add(secs);
                Some(Pending { revision: number, fallback, deadline, secs })
            }
        };
        let Draft { text, at, author, comment, folder, token } = draft.clone();
        let text = self.key.seal(number, &text)?;
        let entry = encode(&Entry { number, at, author, comment, folder, token });
        self.write(|write| {
            let (mut entries, mut texts) = (write.open_table(ENTRIES)?, write.open_table(TEXTS)?);
            entries.insert(number, entry.as_slice())?;
            texts.insert(number, text.as_slice())?;
            set_pending(write, pending)?;
            let oldest = (number + 1).saturating_sub(HISTORY);
            let kept = |revision| pending.is_some_and(|pending| pending.fallback == revision);
            entries.retain(|revision, _| revision >= oldest || kept(revision))?;
            texts.retain(|revision, _| revision >= oldest || kept(revision))?;
            Ok(())
        })?;
        Ok(number)
    }

    /// The revision that waits for its confirmation is there to stay.
    ///
    /// # Errors
    /// [`StoreError::NothingPending`]; what keeps the disk from being written.
    pub fn confirm(&self) -> Result<Pending, StoreError> {
        let pending = self.pending()?.ok_or(StoreError::NothingPending)?;
        self.write(|write| set_pending(write, None))?;
        Ok(pending)
    }

    fn newest(&self) -> Result<Option<u64>, StoreError> {
        self.read(|read| Ok(read.open_table(ENTRIES)?.last()?.map(|(number, _)| number.value())))
    }

    /// It is ours, its records can be read, and the key is the one it was written with.
    fn check(&self) -> Result<(), StoreError> {
        let version = self.read(|read| {
            let state = read.open_table(STATE)?;
            Ok(state.get(FORMAT)?.map(|version| version.value().to_vec()))
        })?;
        if version.as_deref() != Some(VERSION) {
            let what = version.map(|v| String::from_utf8_lossy(&v).into_owned());
            return Err(self.damaged(format!("format {}", what.unwrap_or_else(|| "unknown".to_owned()))));
        }
        self.history()?;
        self.current()?;
        self.pending()?;
        Ok(())
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let result = self.database.begin_read().map_err(redb::Error::from).and_then(|txn| read(&txn));
        result.map_err(|error| self.damaged(error.to_string()))
    }

    /// One transaction, on the disk when this returns.
    fn write(
        &self,
        change: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        let commit = || {
            let transaction = self.database.begin_write()?;
            change(&transaction)?;
            Ok(transaction.commit()?)
        };
        commit().map_err(StoreError::Write)
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, StoreError> {
        postcard::from_bytes(bytes).map_err(|error| self.damaged(error.to_string()))
    }

    fn damaged(&self, what: String) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), what }
    }
}

fn set_pending(write: &redb::WriteTransaction, pending: Option<Pending>) -> Result<(), redb::Error> {
    let mut state = write.open_table(STATE)?;
    match pending {
        Some(pending) => state.insert(PENDING, encode(&pending).as_slice())?,
        None => state.remove(PENDING)?,
    };
    Ok(())
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(value).expect("plain data serializes")
}

/// Makes the folder, mode 0700, and takes it for this process alone.
fn lock(folder: &Path) -> Result<File, StoreError> {
    let fail = |source| StoreError::File { path: folder.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fail)?;
    let lock = File::open(folder).map_err(fail)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Busy { folder: folder.to_owned() }),
        Err(error) => Err(fail(error.into())),
    }
}

/// An empty store, which gets its name when it is whole: redb cannot tell a half-made file from a foreign one.
fn create(path: &Path) -> Result<(), StoreError> {
    let fail = |source| StoreError::File { path: path.to_owned(), source };
    let unfinished = path.with_extension("redb.new");
    drop(std::fs::remove_file(&unfinished));
    let fill = || -> Result<(), redb::Error> {
        let database = Database::create(&unfinished)?;
        let write = database.begin_write()?;
        write.open_table(STATE)?.insert(FORMAT, VERSION)?;
        write.open_table(ENTRIES)?;
        write.open_table(TEXTS)?;
        Ok(write.commit()?)
    };
    fill().map_err(StoreError::Write)?;
    std::fs::set_permissions(&unfinished, PermissionsExt::from_mode(0o600)).map_err(fail)?;
    std::fs::rename(&unfinished, path).map_err(fail)?;
    sync_folder(path).map_err(fail)
}

fn unopened(path: &Path, error: DatabaseError) -> StoreError {
    let path = path.to_owned();
    match error {
        DatabaseError::Storage(StorageError::Io(source))
            if source.kind() != std::io::ErrorKind::InvalidData =>
        {
            StoreError::File { path, source }
        }
        error => StoreError::Damaged { path, what: error.to_string() },
    }
}

#[cfg(test)]
mod tests;
