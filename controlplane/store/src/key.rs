//! The master key, and what it seals.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use crate::StoreError;

/// Bytes of a key of AES-256.
const LENGTH: usize = 32;

/// Seals and opens texts.
#[derive(Debug)]
pub(crate) struct MasterKey {
    key: RandomizedNonceKey,
    path: PathBuf,
}

impl MasterKey {
    /// Reads the key at `path`, or makes it where there is none.
    pub(crate) fn read_or_create(path: PathBuf) -> Result<Self, StoreError> {
        match Self::read(path.clone()) {
            Err(StoreError::KeyMissing { .. }) => {
                create(&path).map_err(|source| StoreError::File { path: path.clone(), source })?;
                Self::read(path)
            }
            read => read,
        }
    }

    /// Reads the key at `path`.
    pub(crate) fn read(path: PathBuf) -> Result<Self, StoreError> {
        let fail = |source: std::io::Error| match source.kind() {
            ErrorKind::NotFound => StoreError::KeyMissing { path: path.clone() },
            _ => StoreError::File { path: path.clone(), source },
        };
        let mut file = File::open(&path).map_err(fail)?;
        let metadata = file.metadata().map_err(fail)?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(StoreError::KeyMode { path, mode });
        }
        if metadata.len() != LENGTH as u64 {
            return Err(StoreError::KeyLength { path, length: metadata.len() });
        }
        let mut bytes = Zeroizing::new([0; LENGTH]);
        file.read_exact(&mut *bytes).map_err(fail)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &*bytes).map_err(|_| unusable(&path))?;
        Ok(Self { key, path })
    }

    /// Nonce, ciphertext and tag of `text`, bound to its revision's number.
    pub(crate) fn seal(&self, number: u64, text: &str) -> Result<Vec<u8>, StoreError> {
        // Encrypted in place: no growing leaves a copy in clear behind.
        let mut sealed = Zeroizing::new(Vec::with_capacity(text.len() + AES_256_GCM.tag_len()));
        sealed.extend_from_slice(text.as_bytes());
        let nonce = self.key.seal_in_place_append_tag(Aad::from(number.to_be_bytes()), &mut *sealed);
        let nonce = nonce.map_err(|_| unusable(&self.path))?;
        Ok([&nonce.as_ref()[..], &sealed].concat())
    }

    /// The text that [`seal`](Self::seal) took.
    pub(crate) fn open(&self, number: u64, sealed: &[u8]) -> Result<Zeroizing<String>, StoreError> {
        let refused = || StoreError::Sealed { number, path: self.path.clone() };
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or_else(refused)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| refused())?;
        let mut text = Zeroizing::new(sealed.to_vec());
        let opened = self.key.open_in_place(nonce, Aad::from(number.to_be_bytes()), &mut text);
        let length = opened.map_err(|_| refused())?.len();
        text.truncate(length);
        String::from_utf8(std::mem::take(&mut text)).map(Zeroizing::new).map_err(|_| refused())
    }
}

fn unusable(path: &Path) -> StoreError {
    StoreError::File { path: path.to_owned(), source: std::io::Error::other("AES-256-GCM failed") }
}

/// Writes a new key beside `path` and gives it its name when it is whole.
fn create(path: &Path) -> std::io::Result<()> {
    let mut bytes = Zeroizing::new([0; LENGTH]);
    rand::fill(&mut *bytes).map_err(|_| std::io::Error::other("no random numbers"))?;
    let unfinished = path.with_extension("key.new");
    drop(std::fs::remove_file(&unfinished));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(&*bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    sync_folder(path)
}

/// Makes the name of a new file durable.
pub(crate) fn sync_folder(file: &Path) -> std::io::Result<()> {
    File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
}
