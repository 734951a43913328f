use super::*;
use zeroize::Zeroizing;

fn draft(text: &str) -> Draft {
    Draft {
        text: Zeroizing::new(text.to_owned()),
        at: 1_000,
        author: "uid 0".into(),
        comment: "why".into(),
        folder: "/etc/esplanade".into(),
        token: None,
    }
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state");
    (folder, path)
}

fn current(store: &Store) -> (u64, String) {
    let revision = store.current().expect("read").expect("a revision");
    (revision.entry.number, revision.text.to_string())
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a store");
    assert_eq!(store.current().expect("read"), None);
    assert_eq!(store.commit(&draft("a = 1"), Mode::Final).expect("stored"), 1);
    assert_eq!(store.commit(&draft("a = 2"), Mode::Final).expect("stored"), 2);
    drop(store);
    let store = Store::open(&path).expect("the store");
    assert_eq!(current(&store), (2, "a = 2".to_owned()));
    let numbers: Vec<u64> = store.history().expect("read").iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, [2, 1]);
    assert_eq!(*store.revision(1).expect("read").expect("kept").text, "a = 1");
    assert_eq!(store.revision(3).expect("read"), None);
}

#[test]
fn one_process_at_a_time() {
    let (_folder, path) = folder();
    let _store = Store::open(&path).expect("a store");
    assert!(matches!(Store::open(&path), Err(StoreError::Busy { .. })));
}

#[test]
fn a_confirmation_is_awaited_over_a_restart_and_nothing_passes_it() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a store");
    let confirm = Mode::Confirm { secs: 120 };
    assert!(matches!(store.commit(&draft("a"), confirm), Err(StoreError::NothingToReturnTo)));
    assert!(matches!(store.confirm(), Err(StoreError::NothingPending)));
    store.commit(&draft("a"), Mode::Final).expect("stored");
    store.commit(&draft("b"), confirm).expect("stored");
    drop(store);
    let store = Store::open(&path).expect("the store");
    let pending = Pending { revision: 2, fallback: 1, deadline: 1_120, secs: 120 };
    assert_eq!(store.pending().expect("read"), Some(pending));
    assert!(matches!(store.commit(&draft("c"), Mode::Final), Err(StoreError::Pending(_))));
    assert!(matches!(store.commit(&draft("c"), confirm), Err(StoreError::Pending(_))));
    assert_eq!(current(&store), (2, "b".to_owned()));
    assert_eq!(store.confirm().expect("stored"), pending);
    assert_eq!(store.pending().expect("read"), None);
    store.commit(&draft("c"), confirm).expect("stored");
    assert_eq!(store.commit(&draft("b"), Mode::Return).expect("stored"), 4);
    assert_eq!((store.pending().expect("read"), current(&store)), (None, (4, "b".to_owned())));
}

#[test]
fn a_clock_that_was_set_back_gives_no_more_time() {
    let pending = Pending { revision: 2, fallback: 1, deadline: 1_120, secs: 120 };
    assert_eq!((pending.left(1_020), pending.left(2_000), pending.left(10)), (100, 0, 120));
}

#[test]
fn the_history_is_bounded_and_what_may_return_stays() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a store");
    for number in 1..=HISTORY + 20 {
        assert_eq!(store.commit(&draft(&number.to_string()), Mode::Final).expect("stored"), number);
    }
    let history = store.history().expect("read");
    let ends = (history.first().map(|e| e.number), history.last().map(|e| e.number));
    assert_eq!(ends, (Some(HISTORY + 20), Some(21)));
    assert_eq!(store.revision(20).expect("read"), None);
}

#[test]
fn no_text_is_on_the_disk_in_clear_and_each_is_sealed_anew() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a store");
    let text = "psk = \"a-most-remarkable-key\"";
    for _ in 0..2 {
        store.commit(&draft(text), Mode::Final).expect("stored");
    }
    let sealed =
        |number| store.read(|read| Ok(read.open_table(TEXTS)?.get(number)?.map(|t| t.value().to_vec())));
    assert_ne!(sealed(1).expect("read"), sealed(2).expect("read"));
    drop(store);
    let bytes = std::fs::read(path.join("store.redb")).expect("read");
    assert!(bytes.windows(21).all(|window| window != b"a-most-remarkable-key"));
    let mode = |name| std::fs::metadata(path.join(name)).expect("there").permissions().mode() & 0o7777;
    assert_eq!((mode("master.key"), mode("store.redb")), (0o600, 0o600));
}

#[test]
fn a_text_does_not_pass_for_that_of_another_revision() {
    let (_folder, path) = folder();
    let store = Store::open(&path).expect("a store");
    for text in ["a", "b"] {
        store.commit(&draft(text), Mode::Final).expect("stored");
    }
    let swap = |write: &redb::WriteTransaction| {
        let mut texts = write.open_table(TEXTS)?;
        let first = texts.get(1)?.map(|text| text.value().to_vec()).unwrap_or_default();
        texts.insert(2, first.as_slice())?;
        Ok(())
    };
    store.write(swap).expect("written");
    assert!(matches!(store.current(), Err(StoreError::Sealed { number: 2, .. })));
}

#[test]
fn a_key_that_others_may_read_is_cut_is_missing_or_is_another_is_refused_with_what_to_do() {
    let (_folder, path) = folder();
    drop(Store::open(&path).expect("a store").commit(&draft("a"), Mode::Final));
    let key = path.join("master.key");
    let says = |wanted: &str| {
        let error = Store::open(&path).expect_err("refused").to_string();
        assert!(error.contains(wanted), "{error}");
    };
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o640)).expect("mode set");
    says("chmod 600");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).expect("mode set");
    let bytes = std::fs::read(&key).expect("read");
    std::fs::write(&key, &bytes[1..]).expect("written");
    says("it has 31 bytes, not 32");
    std::fs::write(&key, [7; 32]).expect("written");
    says("is not the key it was written with");
    std::fs::remove_file(&key).expect("removed");
    says("is missing");
    std::fs::write(&key, bytes).expect("written");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).expect("mode set");
    assert_eq!(current(&Store::open(&path).expect("as before")), (1, "a".to_owned()));
}

#[test]
fn a_foreign_or_cut_file_is_refused() {
    let (_folder, path) = folder();
    drop(Store::open(&path).expect("a store").commit(&draft("a"), Mode::Final));
    let file = path.join("store.redb");
    let whole = std::fs::read(&file).expect("read");
    let other = b"SQLite format 3\0".repeat(1000);
    for bytes in [&other[..], &[], &whole[..5], &whole[..4096], &whole[..whole.len() / 2]] {
        std::fs::write(&file, bytes).expect("written");
        let error = Store::open(&path).expect_err("refused");
        assert!(matches!(error, StoreError::Damaged { .. }), "{} bytes: {error}", bytes.len());
    }
    let database = path.join("other.redb");
    drop(Database::create(&database).expect("a database"));
    std::fs::rename(database, &file).expect("renamed");
    assert!(Store::open(&path).expect_err("refused").to_string().contains("no store of Esplanade"));
}
