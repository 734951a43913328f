//! The audit log: one JSON object a line, appended, never a body or a secret.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::mpsc;

use super::limits::Buckets;
use super::tokens::no_state;
use crate::{AuditRecord, Problem};

/// Bytes of a file before the next one is begun, and how many files there are.
const FILE: u64 = 4 << 20;
const FILES: u32 = 8;
/// Records on their way to the disk; a request whose record finds no place there waits.
const QUEUE: usize = 256;
/// Refusals that get a record: so many a second in the long run, and at once. The others are counted.
const REFUSALS: (u32, u32) = (1, 20);

/// Writes records, to `audit.jsonl` in the state folder if there is one, and to the log.
#[derive(Debug)]
pub(super) struct Audit {
    file: Option<PathBuf>,
    queue: Option<mpsc::Sender<AuditRecord>>,
    refusals: Buckets<()>,
    untold: AtomicU64,
}

impl Audit {
    /// Begins to write, in a thread of its own, which ends once the `Audit` is gone.
    pub(super) fn start(state: Option<&Path>) -> io::Result<Self> {
        let file = state.map(|folder| folder.join("audit.jsonl"));
        let queue = match &file {
            Some(file) => {
                let mut log = Log::open(file, FILE)?;
                let (sender, mut records) = mpsc::channel::<AuditRecord>(QUEUE);
                let name = "audit".to_owned();
                std::thread::Builder::new().name(name).spawn(move || {
                    while let Some(record) = records.blocking_recv() {
                        if let Err(error) = log.append(record.clone()) {
                            tracing::error!(%error, ?record, "the audit log could not be written");
                        }
                    }
                })?;
                Some(sender)
            }
            None => None,
        };
        let refusals = Buckets::new(REFUSALS.0, REFUSALS.1);
        Ok(Self { file, queue, refusals, untold: AtomicU64::new(0) })
    }

    /// Adds a record. Of requests that were refused, so that a stranger cannot make the log forget what was before,
    /// some are only counted.
    pub(super) async fn add(&self, mut record: AuditRecord, refused: bool) {
        if refused && self.refusals.take((), Instant::now()).is_err() {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return;
        }
        record.untold = self.untold.swap(0, Ordering::Relaxed);
        let AuditRecord { who, from, method, path, status, untold, .. } = &record;
        tracing::info!(target: "audit", who, from, method, path, status, untold);
        if let Some(queue) = &self.queue {
            // The thread lives as long as the queue.
            drop(queue.send(record).await);
        }
    }

    /// The last records, or the last ones before that of an ID, the newest first. It reads from the disk: not for an
    /// async task.
    pub(super) fn last(&self, limit: usize, before: Option<u64>) -> Result<Vec<AuditRecord>, Problem> {
        let file =
            self.file.as_deref().ok_or_else(|| no_state("the audit log is only in the daemon's log"))?;
        last(file, limit, before).map_err(|error| {
            let detail = format!("{}: {error}", file.display());
            Problem::new(500, "StateNotRead", "The audit log could not be read", detail)
        })
    }
}

/// A file that others take the place of when it is full.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    written: u64,
    most: u64,
    /// The ID of the last record.
    id: u64,
}

impl Log {
    fn open(path: &Path, most: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let written = file.metadata()?.len();
        let id = last(path, 1, None)?.first().map_or(0, |record| record.id);
        Ok(Self { path: path.to_owned(), file, written, most, id })
    }

    fn append(&mut self, mut record: AuditRecord) -> io::Result<()> {
        self.id += 1;
        record.id = self.id;
        let mut line = serde_json::to_vec(&record)?;
        line.push(b'\n');
        if self.written + line.len() as u64 > self.most {
            for number in (1..FILES - 1).rev() {
                rename(&numbered(&self.path, number), &numbered(&self.path, number + 1))?;
            }
            rename(&self.path, &numbered(&self.path, 1))?;
            *self = Self { id: self.id, ..Self::open(&self.path, self.most)? };
        }
        self.file.write_all(&line)?;
        self.written += line.len() as u64;
        Ok(())
    }
}

/// `audit.jsonl.1` is the one before `audit.jsonl`.
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 { path.to_owned() } else { path.with_extension(format!("jsonl.{number}")) }
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}

/// The last records of all files, or those before that of an ID, the newest first.
fn last(path: &Path, limit: usize, before: Option<u64>) -> io::Result<Vec<AuditRecord>> {
    let mut found = Vec::new();
    for number in 0..FILES {
        let file = match File::open(numbered(path, number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        let lines = BufReader::new(file).lines().collect::<io::Result<Vec<_>>>()?;
        // The last line may be half of one, after a power failure.
        let records = lines.iter().rev().filter_map(|line| serde_json::from_str::<AuditRecord>(line).ok());
        let wanted = records.filter(|record| before.is_none_or(|before| record.id < before));
        found.extend(wanted.take(limit - found.len()));
        if found.len() == limit {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(time: u64) -> AuditRecord {
        let text = str::to_owned;
        let (who, from) = (text("uid 0"), text("pid 7 on the Unix socket"));
        let (method, path) = (text("POST"), text("/v1/config/reload"));
        AuditRecord { id: 0, time, who, from, method, path, status: 200, untold: 0 }
    }

    #[test]
    fn the_log_is_bounded_and_the_newest_records_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let mut log = Log::open(&path, 1000).expect("opened");
        for time in 0..200 {
            log.append(record(time)).expect("appended");
        }
        // A line of half a record, and then a new process.
        log.file.write_all(b"{\"time\":4\n").expect("written");
        Log::open(&path, 1000).expect("opened").append(record(200)).expect("appended");
        let sizes = std::fs::read_dir(folder.path()).expect("a folder").map(|entry| entry.expect("an entry"));
        let sizes: Vec<u64> = sizes.map(|entry| entry.metadata().expect("there").len()).collect();
        assert!(sizes.len() == FILES as usize && sizes.iter().all(|size| *size <= 1000), "{sizes:?}");
        let times: Vec<u64> = last(&path, 30, None).expect("read").iter().map(|record| record.time).collect();
        assert_eq!(times, (171..=200).rev().collect::<Vec<u64>>());
        let ids: Vec<u64> = last(&path, 2, Some(200)).expect("read").iter().map(|record| record.id).collect();
        assert_eq!(ids, [199, 198], "they go on over files and processes");
    }

    #[tokio::test]
    async fn refusals_without_number_are_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let audit = Audit::start(Some(folder.path())).expect("started");
        for time in 0..100 {
            audit.add(record(time), true).await;
        }
        audit.add(record(100), false).await;
        let told =
            |records: &[AuditRecord]| records.len() as u64 + records.iter().map(|r| r.untold).sum::<u64>();
        for _ in 0..100 {
            let records = audit.last(100, None).expect("read");
            if told(&records) == 101 {
                assert!(records.len() < 50);
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{:?}", audit.last(100, None));
    }
}
