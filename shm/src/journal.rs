//! Memory for IKE SAs that outlives the control process: owned by the data plane, written by control.
//!
//! A slot has two halves. A put writes the half that is not the newest, its checksum last; a process killed
//! in the middle leaves a half that does not check, and the other one stands.
//!
//! ```text
//! page 0   magic, format, slots, bytes per half, owner epoch
//! slot     half A: sequence | id | length | checksum | data      half B: the same
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use zeroize::Zeroizing;

use crate::memory::{Mapping, MemoryError, Sealing, WORD};
use crate::message::Epoch;

/// "ESPLJRNL".
const MAGIC: u64 = u64::from_le_bytes(*b"ESPLJRNL");
const FORMAT: u64 = 1;

const HEADER_MAGIC: usize = 0;
const HEADER_FORMAT: usize = 8;
const HEADER_SLOTS: usize = 16;
const HEADER_HALF_LEN: usize = 24;
const HEADER_OWNER: usize = 32;
const PAGE: usize = 4096;

const HALF_SEQUENCE: usize = 0;
const HALF_ID: usize = 8;
const HALF_LEN: usize = 16;
const HALF_CHECKSUM: usize = 24;
const HALF_DATA: usize = 32;

/// Bytes of one half with its header, unless chosen otherwise: an IKE SA with its cached response.
pub const DEFAULT_HALF_LEN: usize = 16 << 10;

/// Why the journal does not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    #[error("a record of {len} bytes does not fit a slot of {max} bytes")]
    TooLong { len: usize, max: usize },
    #[error("all {slots} slots of the journal are taken: raise `journal_slots` of the data plane")]
    Full { slots: usize },
    #[error("a newer control session owns the journal")]
    Replaced,
    #[error("shared memory is not a journal of this release")]
    NotAJournal,
    #[error("dimensions of the journal do not fit its size")]
    Dimensions,
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

#[derive(Clone, Copy, Debug)]
struct Dimensions {
    slots: usize,
    half_len: usize,
}

impl Dimensions {
    fn new(slots: usize, half_len: usize) -> Result<Self, JournalError> {
        let sane = (1..=1 << 20).contains(&slots)
            && (HALF_DATA + WORD..=1 << 20).contains(&half_len)
            && half_len.is_multiple_of(WORD);
        if sane { Ok(Self { slots, half_len }) } else { Err(JournalError::Dimensions) }
    }

    /// At most 2 TiB, so no overflow.
    fn len(self) -> usize {
        (PAGE + self.slots * 2 * self.half_len).next_multiple_of(PAGE)
    }

    fn half(self, slot: usize, half: usize) -> usize {
        PAGE + (slot * 2 + half) * self.half_len
    }

    fn max_data(self) -> usize {
        self.half_len - HALF_DATA
    }
}

/// The memory of a new journal, empty; the data plane keeps it and hands it to each session.
///
/// `half_len` is in bytes, a multiple of 8; memory is used as it is written.
pub fn create(slots: usize, half_len: usize) -> Result<OwnedFd, JournalError> {
    let dimensions = Dimensions::new(slots, half_len)?;
    let fd = crate::memory::create("esplanade-journal", dimensions.len(), Sealing::Final)?;
    let memory = Mapping::writable(&fd, dimensions.len())?;
    let word = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    memory.store(HEADER_SLOTS, word(slots), Ordering::Relaxed);
    memory.store(HEADER_HALF_LEN, word(half_len), Ordering::Relaxed);
    memory.store(HEADER_FORMAT, FORMAT, Ordering::Relaxed);
    memory.store(HEADER_MAGIC, MAGIC, Ordering::Release);
    Ok(fd)
}

/// Where the newest half of a record is.
#[derive(Clone, Copy, Debug)]
struct Place {
    slot: usize,
    half: usize,
    sequence: u64,
}

/// A record as it was found.
#[derive(Debug)]
pub struct JournalEntry {
    /// Control's own number of the IKE SA.
    pub id: u64,
    /// Holds keys: wiped when dropped.
    pub data: Zeroizing<Vec<u8>>,
}

/// Control's handle: puts and releases records, restores what an earlier control process left.
#[derive(Debug)]
pub struct Journal {
    memory: Mapping,
    dimensions: Dimensions,
    epoch: Epoch,
    places: BTreeMap<u64, Place>,
    free: BTreeSet<usize>,
    locked: bool,
}

impl Journal {
    /// Maps the journal and takes it over for the session `epoch`: earlier owners can no longer write.
    pub fn map(fd: &OwnedFd, epoch: Epoch) -> Result<Self, JournalError> {
        let len = usize::try_from(crate::memory::sealed_len(fd)?).map_err(|_| JournalError::Dimensions)?;
        if len < PAGE {
            return Err(JournalError::Dimensions);
        }
        let memory = Mapping::writable(fd, len)?;
        let word = |at| memory.load(at, Ordering::Acquire);
        if word(HEADER_MAGIC) != MAGIC || word(HEADER_FORMAT) != FORMAT {
            return Err(JournalError::NotAJournal);
        }
        let dimension = |at| usize::try_from(word(at)).map_err(|_| JournalError::Dimensions);
        let dimensions = Dimensions::new(dimension(HEADER_SLOTS)?, dimension(HEADER_HALF_LEN)?)?;
        if dimensions.len() != len {
            return Err(JournalError::Dimensions);
        }
        let locked = memory.lock(0, len);
        memory.store(HEADER_OWNER, epoch.0, Ordering::Release);
        let mut journal =
            Self { memory, dimensions, epoch, places: BTreeMap::new(), free: BTreeSet::new(), locked };
        journal.scan();
        Ok(journal)
    }

    /// Finds the newest whole half of each slot. Of two slots with one id, the newer put stands.
    fn scan(&mut self) {
        for slot in 0..self.dimensions.slots {
            let whole = (0..2).filter_map(|half| Some((half, self.read_half(slot, half)?)));
            let newest = whole.max_by_key(|(_, (sequence, _))| *sequence);
            let Some((half, (sequence, JournalEntry { id, .. }))) = newest else {
                self.wipe_slot(slot);
                continue;
            };
            let place = Place { slot, half, sequence };
            match self.places.get(&id).copied() {
                Some(other) if other.sequence >= sequence => self.wipe_slot(slot),
                Some(other) => {
                    self.wipe_slot(other.slot);
                    self.places.insert(id, place);
                }
                None => {
                    self.places.insert(id, place);
                }
            }
        }
    }

    /// Every record, by id.
    pub fn entries(&self) -> Vec<JournalEntry> {
        self.places.values().filter_map(|place| Some(self.read_half(place.slot, place.half)?.1)).collect()
    }

    /// The record `id`.
    pub fn entry(&self, id: u64) -> Option<JournalEntry> {
        let place = self.places.get(&id)?;
        self.read_half(place.slot, place.half).map(|(_, entry)| entry)
    }

    /// Whether its pages stay out of swap: RLIMIT_MEMLOCK must cover the journal.
    pub fn is_locked(&self) -> bool {
        self.locked
    }

    /// Largest record in bytes.
    pub fn max_len(&self) -> usize {
        self.dimensions.max_data()
    }

    /// Creates or replaces the record `id`. When it returns, the record survives this process.
    pub fn put(&mut self, id: u64, data: &[u8]) -> Result<(), JournalError> {
        self.check_owner()?;
        if data.is_empty() || data.len() > self.dimensions.max_data() {
            return Err(JournalError::TooLong { len: data.len(), max: self.dimensions.max_data() });
        }
        let place = match self.places.get(&id) {
            Some(place) => Place { half: 1 - place.half, sequence: place.sequence + 1, ..*place },
            None => {
                let slot =
                    self.free.pop_first().ok_or(JournalError::Full { slots: self.dimensions.slots })?;
                Place { slot, half: 0, sequence: 1 }
            }
        };
        self.write_half(place, id, data);
        self.places.insert(id, place);
        Ok(())
    }

    /// Forgets and wipes the record `id`; does nothing when there is none.
    pub fn release(&mut self, id: u64) -> Result<(), JournalError> {
        self.check_owner()?;
        if let Some(place) = self.places.remove(&id) {
            // The older half first: a death in between must not bring it back as the newest.
            self.wipe_half(place.slot, 1 - place.half);
            self.wipe_slot(place.slot);
        }
        Ok(())
    }

    fn check_owner(&self) -> Result<(), JournalError> {
        let owner = self.memory.load(HEADER_OWNER, Ordering::Acquire);
        if owner == self.epoch.0 { Ok(()) } else { Err(JournalError::Replaced) }
    }

    fn write_half(&self, place: Place, id: u64, data: &[u8]) {
        let at = self.dimensions.half(place.slot, place.half);
        let old_len =
            usize::try_from(self.memory.load(at + HALF_LEN, Ordering::Relaxed)).unwrap_or(usize::MAX);
        self.memory.store(at + HALF_SEQUENCE, 0, Ordering::Release);
        self.memory.wipe(at + HALF_DATA, old_len.min(self.dimensions.max_data()));
        let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.memory.copy_in(at + HALF_DATA, data);
        self.memory.store(at + HALF_ID, id, Ordering::Relaxed);
        self.memory.store(at + HALF_LEN, len, Ordering::Relaxed);
        self.memory.store(at + HALF_CHECKSUM, checksum(place.sequence, id, data), Ordering::Release);
        self.memory.store(at + HALF_SEQUENCE, place.sequence, Ordering::Release);
    }

    /// A private copy of a half, when it is whole.
    fn read_half(&self, slot: usize, half: usize) -> Option<(u64, JournalEntry)> {
        let at = self.dimensions.half(slot, half);
        let word = |offset| self.memory.load(at + offset, Ordering::Acquire);
        let (sequence, id, sum) = (word(HALF_SEQUENCE), word(HALF_ID), word(HALF_CHECKSUM));
        let len = usize::try_from(word(HALF_LEN)).ok()?;
        if sequence == 0 || len == 0 || len > self.dimensions.max_data() {
            return None;
        }
        let mut data = Zeroizing::new(vec![0; len]);
        self.memory.copy_out(at + HALF_DATA, &mut data);
        (checksum(sequence, id, &data) == sum).then_some((sequence, JournalEntry { id, data }))
    }

    fn wipe_slot(&mut self, slot: usize) {
        for half in 0..2 {
            self.wipe_half(slot, half);
        }
        self.free.insert(slot);
    }

    /// Wipes what the half says it holds, all of it when it lies; untouched memory stays untouched.
    fn wipe_half(&self, slot: usize, half: usize) {
        let at = self.dimensions.half(slot, half);
        let header = |offset| self.memory.load(at + offset, Ordering::Relaxed);
        let used =
            [HALF_SEQUENCE, HALF_ID, HALF_LEN, HALF_CHECKSUM].into_iter().any(|offset| header(offset) != 0);
        if used {
            self.memory.store(at + HALF_SEQUENCE, 0, Ordering::Release);
            self.memory.wipe(at, self.dimensions.half_len);
        }
    }
}

fn checksum(sequence: u64, id: u64, data: &[u8]) -> u64 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&sequence.to_le_bytes());
    hasher.update(&id.to_le_bytes());
    hasher.update(&u64::try_from(data.len()).unwrap_or(u64::MAX).to_le_bytes());
    hasher.update(data);
    // Never zero, so that an untouched half does not check.
    u64::from(hasher.finalize()) | 1 << 32
}

#[cfg(test)]
mod tests;
