//! A process that commits is killed at random points: what it acknowledged is there.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use store::{Draft, Mode, Store};
use zeroize::Zeroizing;

/// Kills, of which the first fall on a store that is being made. A life costs 0.1 s, which aws-lc takes to gather entropy.
const KILLS: u64 = 200;
const IN_NEW_STORES: u64 = 40;
/// Where the child finds its store.
const FOLDER: &str = "ESPLANADE_TEST_STORE";
/// What the child says: that it is about to open its store, and the number of each revision.
const OPENING: &str = "opening";
const COMMITTED: &str = "committed ";

/// The text of a revision: one page, or many.
fn text(number: u64) -> String {
    let lines = if number.is_multiple_of(7) { 500 } else { 20 };
    format!("psk = \"key-of-revision-{number}\"\n").repeat(lines)
}

/// Commits until it is killed; says each number once it is committed.
#[test]
#[ignore = "the child of the test below"]
fn child() {
    let folder = std::env::var_os(FOLDER).expect("a folder");
    let mut said = std::io::stdout().lock();
    writeln!(said, "{OPENING}").expect("said");
    let store = Store::open(Path::new(&folder)).expect("a store");
    loop {
        let number = store.history().expect("read").first().map_or(1, |entry| entry.number + 1);
        let draft = Draft {
            text: Zeroizing::new(text(number)),
            at: number,
            author: "child".into(),
            comment: format!("number {number}"),
            folder: "/".into(),
            token: None,
        };
        let mode = match (number, store.pending().expect("read")) {
            (1, _) => Mode::Final,
            (_, Some(_)) => Mode::Return,
            (_, None) => Mode::Confirm { secs: 60 },
        };
        assert_eq!(store.commit(&draft, mode).expect("stored"), number);
        writeln!(said, "{COMMITTED}{number}").expect("said");
    }
}

/// Runs a child until it has committed `commits` times, and for `life` beyond; the last number it said.
fn run_and_kill(folder: &Path, commits: u64, life: Duration) -> Option<u64> {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains(OPENING)), "it never came to its store");
    let number = |line: String| line.strip_prefix(COMMITTED)?.parse::<u64>().ok();
    let mut numbers = said.filter_map(number);
    let mut last = None;
    for _ in 0..commits {
        last = Some(numbers.next().expect("it commits"));
    }
    std::thread::sleep(life);
    child.kill().expect("killed");
    let status = child.wait().expect("waited");
    assert_eq!(status.signal(), Some(9), "it ended by itself");
    numbers.last().or(last)
}

/// What must hold after a kill: the last number that was acknowledged, or the one in flight, is current and whole.
fn check(folder: &Path, before: u64, said: Option<u64>) -> u64 {
    let store = Store::open(folder).expect("the store opens");
    let acknowledged = said.unwrap_or(before);
    let Some(current) = store.current().expect("read") else {
        assert_eq!(acknowledged, 0, "revisions were lost");
        return 0;
    };
    let number = current.entry.number;
    assert!(number == acknowledged || number == acknowledged + 1, "{number} after {acknowledged}");
    assert_eq!(*current.text, text(number));
    let history = store.history().expect("read");
    assert!(history.iter().zip((1..=number).rev()).all(|(entry, number)| entry.number == number));
    // Every second one awaits its confirmation, and what returns is there.
    let pending = store.pending().expect("read");
    assert_eq!(pending.map(|pending| pending.revision), (number.is_multiple_of(2)).then_some(number));
    if let Some(pending) = pending {
        let fallback = store.revision(pending.fallback).expect("read").expect("kept");
        assert_eq!(*fallback.text, text(pending.fallback));
    }
    number
}

#[test]
fn a_process_killed_at_any_point_leaves_the_last_committed_revision() {
    let scratch = tempfile::tempdir().expect("a folder");
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let mut current = 0;
    for kill in 0..KILLS {
        let new = kill < IN_NEW_STORES;
        let folder = scratch.path().join(if new { kill.to_string() } else { "old".to_owned() });
        let before = if new { 0 } else { current };
        let commits = if new { 0 } else { random.next_u64() % 6 };
        let life = Duration::from_micros(random.next_u64() % 8_000);
        let number = check(&folder, before, run_and_kill(&folder, commits, life));
        if !new {
            current = number;
        }
    }
    assert!(current > KILLS, "only {current} commits in {KILLS} lives");
}
