//! Runs every fuzz target over its committed corpus: the seeds, and what fuzzing has found worth keeping.

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, dead_code, reason = "the crate that cargo-fuzz builds, included as a module")]
mod fuzz;

use fuzz::seeds;

use std::fs;
use std::path::PathBuf;

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target)
}

#[test]
fn no_target_panics_on_its_corpus() {
    for (target, run) in fuzz::TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(folder(target)).unwrap_or_else(|e| panic!("corpus of {target}: {e}")) {
            run(&fs::read(entry.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "the corpus of {target} is empty");
        run(&[]);
    }
}

/// Every seed cut short at every length, and with every byte flipped: what a fuzzer does first.
#[test]
fn no_target_panics_on_damaged_seeds() {
    for (target, _, bytes) in seeds::all() {
        let (_, run) = fuzz::TARGETS.iter().find(|(name, _)| *name == target).unwrap();
        // What negotiates takes milliseconds.
        let stride = if ["ike_session", "ike_peer", "ike_recording"].contains(&target) { 17 } else { 1 };
        for at in (0..bytes.len()).step_by(stride) {
            run(&bytes[..at]);
            let mut flipped = bytes.clone();
            flipped[at] ^= 0xff;
            run(&flipped);
        }
    }
}

#[test]
fn a_peer_gets_no_children_without_end() {
    let load = fuzz::endless_children(200);
    assert_eq!((load.ike_sas, load.children), (1, 128), "{load:?}");
}

#[test]
fn a_peer_gets_no_ike_sas_without_end() {
    let load = fuzz::endless_ike_sas(64);
    // The one in use, one being negotiated, and eight that are to be deleted.
    assert!(load.ike_sas <= 10 && load.children <= 9, "{load:?}");
}

#[test]
fn committed_seeds_are_current() {
    for (target, name, bytes) in seeds::all() {
        let path = folder(target).join(&name);
        let found = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(found, bytes, "{target}/{name}: run the ignored test write_seeds");
    }
}

#[test]
#[ignore = "writes the seeds into tests/fuzz/corpus"]
fn write_seeds() {
    for (target, name, bytes) in seeds::all() {
        let folder = folder(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
    }
}
