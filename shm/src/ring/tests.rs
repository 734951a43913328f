//! The model of the rings: honest peers in two threads, and peers that write whatever they like.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{Consumer, IndexError, Producer};
use crate::layout::RingLayout;
use crate::memory::{Mapping, Sealing};

const LAYOUT: RingLayout = RingLayout { offset: 0, slot_len: 24, slots: 8 };

/// The same memory mapped twice, as two processes have it.
fn memory() -> (Arc<Mapping>, Arc<Mapping>) {
    let fd = crate::memory::create("ring-test", 4096, Sealing::Final).unwrap();
    let map = || Arc::new(Mapping::writable(&fd, 4096).unwrap());
    (map(), map())
}

fn pair() -> (Producer, Consumer, Arc<Mapping>) {
    let (ours, theirs) = memory();
    (Producer::new(Arc::clone(&ours), LAYOUT), Consumer::new(Arc::clone(&theirs), LAYOUT), theirs)
}

#[test]
fn slots_come_out_in_order_and_wiped() {
    let (mut producer, mut consumer, memory) = pair();
    for round in 0..40u8 {
        assert!(producer.push(&[&[round; 8], &[round; 5]]).unwrap());
        assert!(consumer.ready().unwrap());
        let mut slot = [0xff; 24];
        consumer.copy(0, &mut slot);
        assert_eq!(slot[..13], [round; 13]);
        assert_eq!(slot[13..16], [0; 3], "the last word is padded with zeros");
        consumer.release(24);
        let mut wiped = [0xff; 24];
        memory.copy_out(LAYOUT.slot(round.into()), &mut wiped);
        assert_eq!(wiped, [0; 24]);
        assert!(!consumer.ready().unwrap());
    }
}

#[test]
fn a_full_ring_says_so_and_loses_nothing() {
    let (mut producer, mut consumer, _) = pair();
    for value in 0..LAYOUT.slots {
        assert!(producer.push(&[&value.to_ne_bytes()]).unwrap());
    }
    assert!(!producer.push(&[&[1; 8]]).unwrap());
    assert_eq!(producer.room(), Ok(0));
    for value in 0..LAYOUT.slots {
        assert!(consumer.ready().unwrap());
        let mut word = [0; 8];
        consumer.copy(0, &mut word);
        assert_eq!(u64::from_ne_bytes(word), value);
        consumer.release(0);
    }
    assert_eq!(producer.room(), Ok(LAYOUT.slots));
}

#[test]
fn impossible_indices_are_refused() {
    let (mut producer, mut consumer, memory) = pair();
    for bad_tail in [LAYOUT.slots + 1, u64::MAX, 1 << 63] {
        memory.store(LAYOUT.tail(), bad_tail, Ordering::Release);
        let refused = IndexError { found: bad_tail, low: 0, high: LAYOUT.slots };
        assert_eq!(consumer.ready(), Err(refused));
    }
    for _ in 0..LAYOUT.slots {
        assert!(producer.push(&[&[0; 8]]).unwrap());
    }
    memory.store(LAYOUT.head(), LAYOUT.slots + 1, Ordering::Release);
    assert!(producer.push(&[&[0; 8]]).is_err());
}

#[test]
fn an_index_that_runs_backwards_is_refused() {
    let (mut producer, mut consumer, memory) = pair();
    for _ in 0..3 {
        producer.push(&[&[0; 8]]).unwrap();
    }
    for _ in 0..3 {
        assert!(consumer.ready().unwrap());
        consumer.release(0);
    }
    memory.store(LAYOUT.tail(), 2, Ordering::Release);
    assert_eq!(consumer.ready(), Err(IndexError { found: 2, low: 3, high: 3 + LAYOUT.slots }));
}

#[test]
fn two_threads_pass_every_slot_whole() {
    const COUNT: u64 = 20_000;
    let (mut producer, mut consumer, _) = pair();
    let sender = thread::spawn(move || {
        let mut value = 0;
        while value < COUNT {
            let word = value.to_ne_bytes();
            if producer.push(&[&word, &word, &word]).unwrap() { value += 1 } else { thread::yield_now() }
        }
    });
    let mut expected = 0;
    while expected < COUNT {
        if !consumer.ready().unwrap() {
            thread::yield_now();
            continue;
        }
        let mut slot = [0; 24];
        consumer.copy(0, &mut slot);
        let (words, _) = slot.as_chunks::<8>();
        assert!(words.iter().all(|word| u64::from_ne_bytes(*word) == expected), "torn slot {expected}");
        consumer.release(24);
        expected += 1;
    }
    sender.join().unwrap();
}

#[test]
fn a_peer_that_scribbles_everywhere_only_causes_named_errors() {
    let (mut producer, mut consumer, memory) = pair();
    let stop = Arc::new(AtomicBool::new(false));
    let scribbler = thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let mut seed = 0x9e37_79b9_7f4a_7c15u64;
            while !stop.load(Ordering::Relaxed) {
                for offset in (0..LAYOUT.end()).step_by(8) {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    memory.store(offset, seed >> (seed % 64), Ordering::Relaxed);
                }
            }
        }
    });
    let mut refused = 0;
    let mut rounds = 0;
    while rounds < 20_000 || refused == 0 {
        rounds += 1;
        refused += u32::from(producer.push(&[&[7; 24]]).is_err());
        match consumer.ready() {
            Ok(true) => {
                consumer.copy(0, &mut [0; 24]);
                consumer.release(24);
            }
            Ok(false) => {}
            Err(_) => refused += 1,
        }
    }
    stop.store(true, Ordering::Relaxed);
    scribbler.join().unwrap();
}
