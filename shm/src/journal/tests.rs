use std::os::fd::OwnedFd;

use super::*;

const HALF: usize = 256;

fn fresh(slots: usize) -> (OwnedFd, Journal) {
    let fd = create(slots, HALF).unwrap();
    let journal = Journal::map(&fd, Epoch(1)).unwrap();
    (fd, journal)
}

fn data(journal: &Journal, id: u64) -> Option<Vec<u8>> {
    journal.entry(id).map(|entry| entry.data.to_vec())
}

#[test]
fn records_survive_their_writer() {
    let (fd, mut journal) = fresh(4);
    journal.put(7, b"first").unwrap();
    journal.put(9, b"other").unwrap();
    journal.put(7, b"second, longer").unwrap();
    drop(journal);

    let restored = Journal::map(&fd, Epoch(2)).unwrap();
    let found: Vec<_> = restored.entries().into_iter().map(|e| (e.id, e.data.to_vec())).collect();
    assert_eq!(found, [(7, b"second, longer".to_vec()), (9, b"other".to_vec())]);
}

/// Every prefix of the stores of a put, as a killed process leaves them: the old record or the new one.
#[test]
fn a_torn_write_is_never_restored() {
    let (fd, mut journal) = fresh(2);
    journal.put(1, &[0xaa; 100]).unwrap();
    let place = journal.places[&1];
    let next = Place { half: 1 - place.half, sequence: place.sequence + 1, ..place };
    let at = journal.dimensions.half(next.slot, next.half);
    let data = [0xbb; 100];
    let sum = checksum(next.sequence, 1, &data);

    for torn_data in [40, 96] {
        journal.memory.copy_in(at + HALF_DATA, &data[..torn_data]);
        let words = [(HALF_ID, 1), (HALF_LEN, 100), (HALF_CHECKSUM, sum), (HALF_SEQUENCE, next.sequence)];
        for written in 0..=words.len() {
            for (offset, value) in &words[..written] {
                journal.memory.store(at + offset, *value, Ordering::Relaxed);
            }
            let restored = Journal::map(&fd, Epoch(2)).unwrap();
            assert_eq!(self::data(&restored, 1), Some(vec![0xaa; 100]), "{torn_data} bytes, {written} words");
        }
        journal.memory.wipe(at, HALF);
    }
    let mut journal = Journal::map(&fd, Epoch(3)).unwrap();
    journal.put(1, &data).unwrap();
    assert_eq!(self::data(&Journal::map(&fd, Epoch(4)).unwrap(), 1), Some(data.to_vec()));
}

#[test]
fn a_release_wipes_both_halves() {
    let (fd, mut journal) = fresh(1);
    journal.put(5, &[0xcc; 64]).unwrap();
    journal.put(5, &[0xdd; 64]).unwrap();
    journal.release(5).unwrap();
    journal.release(5).unwrap();
    let mut memory = [0xff; 2 * HALF];
    journal.memory.copy_out(journal.dimensions.half(0, 0), &mut memory);
    assert_eq!(memory, [0; 2 * HALF]);
    assert!(Journal::map(&fd, Epoch(2)).unwrap().entries().is_empty());
}

#[test]
fn limits_are_named() {
    let (_fd, mut journal) = fresh(1);
    assert!(matches!(journal.put(1, &[0; HALF]), Err(JournalError::TooLong { len: HALF, max: 224 })));
    assert!(matches!(journal.put(1, &[]), Err(JournalError::TooLong { len: 0, .. })));
    journal.put(1, &[1; 224]).unwrap();
    assert!(matches!(journal.put(2, &[1]), Err(JournalError::Full { slots: 1 })));
    journal.release(1).unwrap();
    journal.put(2, &[1]).unwrap();
    assert!(matches!(create(1, 100), Err(JournalError::Dimensions)));
}

#[test]
fn an_older_session_no_longer_writes() {
    let (fd, mut old) = fresh(2);
    old.put(1, b"a").unwrap();
    let mut new = Journal::map(&fd, Epoch(2)).unwrap();
    assert!(matches!(old.put(1, b"b"), Err(JournalError::Replaced)));
    assert!(matches!(old.release(1), Err(JournalError::Replaced)));
    new.put(1, b"c").unwrap();
    assert_eq!(data(&new, 1), Some(b"c".to_vec()));
}

#[test]
fn hostile_headers_are_refused() {
    let (fd, journal) = fresh(2);
    for (word, value) in [
        (HEADER_MAGIC, 0),
        (HEADER_FORMAT, 2),
        (HEADER_SLOTS, 0),
        (HEADER_SLOTS, u64::MAX),
        (HEADER_SLOTS, 1 << 19),
        (HEADER_HALF_LEN, 7),
        (HEADER_HALF_LEN, u64::MAX),
    ] {
        let old = journal.memory.load(word, Ordering::Relaxed);
        journal.memory.store(word, value, Ordering::Relaxed);
        assert!(Journal::map(&fd, Epoch(2)).is_err(), "word {word} = {value}");
        journal.memory.store(word, old, Ordering::Relaxed);
    }
    // Random contents of the slots are no records.
    for offset in (PAGE..PAGE + 4 * HALF).step_by(8) {
        journal.memory.store(offset, 0x1234_5678_9abc_def0, Ordering::Relaxed);
    }
    assert!(Journal::map(&fd, Epoch(3)).unwrap().entries().is_empty());
}

#[test]
fn one_id_in_two_slots_keeps_the_newer_put() {
    let (fd, mut journal) = fresh(3);
    journal.put(1, b"old").unwrap();
    journal.write_half(Place { slot: 2, half: 0, sequence: 9 }, 1, b"new");
    let restored = Journal::map(&fd, Epoch(2)).unwrap();
    assert_eq!(restored.entries().len(), 1);
    assert_eq!(data(&restored, 1), Some(b"new".to_vec()));
}
