//! What goes wrong with a store, and what to do.

use std::path::PathBuf;

use crate::Pending;

/// Why a store cannot be opened, read or changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("another process uses the store in {folder}: stop it first", folder = folder.display())]
    Busy { folder: PathBuf },
    #[error("{path} is the key of every secret and others may read it (mode {mode:04o}): chmod 600 {path}", path = path.display())]
    KeyMode { path: PathBuf, mode: u32 },
    #[error("{path} is no master key: it has {length} bytes, not 32; restore it from a backup", path = path.display())]
    KeyLength { path: PathBuf, length: u64 },
    #[error(
        "{path} is missing and the store beside it cannot be read without it: restore it from a backup, or move \
         the store away to begin with an empty one",
        path = path.display()
    )]
    KeyMissing { path: PathBuf },
    #[error(
        "revision {number} cannot be decrypted: {path} is not the key it was written with, or the store was \
         changed; restore both from one backup",
        path = path.display()
    )]
    Sealed { number: u64, path: PathBuf },
    #[error(
        "{path} is damaged or no store of Esplanade ({what}): restore it with its master.key from a backup, or \
         move both away to begin with an empty one",
        path = path.display()
    )]
    Damaged { path: PathBuf, what: String },
    #[error("revision {} waits for its confirmation: confirm it or roll it back first", .0.revision)]
    Pending(Pending),
    #[error("no revision waits for a confirmation")]
    NothingPending,
    #[error("the first revision cannot wait for a confirmation: there is none to return to")]
    NothingToReturnTo,
    #[error("writing the store was given up: the process stops")]
    Stopped,
    #[error("the store cannot be written: {0}")]
    Write(redb::Error),
}
