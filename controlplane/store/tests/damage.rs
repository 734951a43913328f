//! Bytes of the store change under it: it opens as it was or is refused; it never panics and never lies.

use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use store::{Draft, Mode, Store};
use zeroize::Zeroizing;

fn text(number: u64) -> String {
    format!("revision {number} ").repeat(200)
}

fn fill(folder: &Path) {
    let store = Store::open(folder).expect("a store");
    for number in 1..=20 {
        let draft = Draft {
            text: Zeroizing::new(text(number)),
            at: number,
            author: "nobody".into(),
            comment: String::new(),
            folder: folder.to_owned(),
            token: None,
        };
        store.commit(&draft, Mode::Final).expect("stored");
    }
}

/// Reads all there is; what is read is what was written.
fn look(folder: &Path) -> Result<(), store::StoreError> {
    let store = Store::open(folder)?;
    for entry in store.history()? {
        if let Some(revision) = store.revision(entry.number)? {
            assert_eq!(*revision.text, text(revision.entry.number));
        }
    }
    Ok(())
}

#[test]
fn changed_bytes_are_noticed_or_do_not_matter() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(folder.path());
    let file = folder.path().join("store.redb");
    let whole = std::fs::read(&file).expect("read");
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut below = |end: usize| usize::try_from(random.next_u64() % end as u64).expect("fits");
    let mut refused = 0;
    for round in 0..400 {
        let mut bytes = whole.clone();
        for _ in 0..=below(8) {
            // Half of them in the header, which rules the rest.
            let at = if round % 2 == 0 { below(512) } else { below(bytes.len()) };
            bytes[at] ^= 1 << below(8);
        }
        std::fs::write(&file, bytes).expect("written");
        refused += usize::from(look(folder.path()).is_err());
    }
    assert!(refused > 50, "only {refused} of 400 were noticed");
}
