//! The whole worker over the committed corpus of its fuzz target, and over random input of a fixed seed.

mod common;

use common::frames::Random;
use common::journey;
use std::path::Path;

fn corpus() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus/worker_pipeline")
}

#[test]
fn the_committed_corpus_passes() {
    let mut left = [0; 2];
    for entry in std::fs::read_dir(corpus()).expect("the corpus") {
        let ways = journey::run(&std::fs::read(entry.expect("an entry").path()).expect("an input"));
        left = [left[0] + ways[0], left[1] + ways[1]];
    }
    assert!(left.iter().all(|&frames| frames > 20), "the corpus says little: {left:?}");
}

#[test]
fn random_journeys_balance_and_leak_nothing() {
    let mut random = Random(0x5eed);
    for _ in 0..300 {
        let input: Vec<u8> = (0..random.below(3000)).map(|_| random.byte()).collect();
        journey::run(&input);
    }
}
