//! Malformed jobs, large batches, foreign keys.

mod common;

use common::{engines, expand};
use crypto::{Cipher, Integrity, Job, KeyError, KeyMaterial, Layout, MAX_LEN, Status, Suite, heap};

fn key(engine: &dyn crypto::Backend, suite: Suite) -> crypto::Key {
    expand(engine, suite, &vec![1; suite.encryption_key_len()], &vec![2; suite.authentication_key_len()])
}

#[test]
fn short_packets_of_every_length_are_refused_or_fail() {
    for engine in engines() {
        let mut context = engine.context().expect("a context");
        for suite in Suite::all() {
            let key = key(engine, suite);
            let minimum = 8
                + suite.iv_len()
                + suite.icv_len()
                + if suite.block_len() > 1 { suite.block_len() } else { 0 };
            for len in 0..minimum + 40 {
                let mut packet = vec![0x55; len];
                let mut jobs = [Job::decap(&key, &mut packet, None)];
                context.open(&mut jobs);
                let whole = len >= minimum && (len - minimum).is_multiple_of(suite.block_len());
                let expected = if whole { Status::AuthFailed } else { Status::BadLength };
                assert_eq!(jobs[0].status(), expected, "{suite}, {len} bytes on {}", engine.name());
            }
        }
    }
}

#[test]
fn layouts_outside_the_buffer_are_refused() {
    let suite = Suite::new(Cipher::AesCbc128, Some(Integrity::HmacSha1)).expect("a suite");
    for engine in engines() {
        let key = key(engine, suite);
        let mut context = engine.context().expect("a context");
        let layouts = [
            (0..16, 53),
            (0..16, usize::MAX),
            (16..64, 48),
            (0..0, 16),
            (0..17, 32),
            (usize::MAX - 15..usize::MAX, 40),
        ];
        for (cipher, tag_at) in layouts {
            let mut buffer = [0; 64];
            let layout = Layout { nonce: [0; 16], cipher, tag_at, esn_high: None };
            let mut jobs = [Job::with_layout(&key, &mut buffer, &[], layout.clone())];
            context.seal(&mut jobs);
            assert_eq!(jobs[0].status(), Status::BadLength, "{layout:?}");
            assert_eq!(buffer, [0; 64]);
        }
        let mut huge = vec![0; MAX_LEN + 4];
        assert_eq!(Job::encap(&key, &mut huge, None).status(), Status::BadLength);
    }
}

/// More jobs than an engine takes at once, alternating between two suites.
#[test]
fn a_batch_of_any_size_completes() {
    let suites = [Suite::from_transforms(20, 128, 0), Suite::from_transforms(12, 256, 12)]
        .map(|suite| suite.expect("a suite"));
    for engine in engines() {
        let keys = suites.map(|suite| key(engine, suite));
        let mut context = engine.context().expect("a context");
        let mut packets: Vec<Vec<u8>> = (0..300).map(|n| vec![0; 8 + 16 + 32 + 16 * (n % 5) + 16]).collect();
        let sealed = packets.clone();
        let mut jobs: Vec<Job<'_>> = packets
            .iter_mut()
            .enumerate()
            .map(|(n, packet)| Job::encap(&keys[n % 2], packet, None))
            .collect();
        context.seal(&mut jobs);
        assert!(jobs.iter().all(|job| job.status() == Status::Ok));
        drop(jobs);
        assert!(packets.iter().zip(&sealed).all(|(packet, plain)| packet != plain));
        let mut jobs: Vec<Job<'_>> = packets
            .iter_mut()
            .enumerate()
            .map(|(n, packet)| Job::decap(&keys[n % 2], packet, None))
            .collect();
        context.open(&mut jobs);
        assert!(jobs.iter().all(|job| job.status() == Status::Ok));
    }
}

/// The IV of CBC depends on key and sequence number, and on both halves of the latter.
#[test]
fn cbc_initialization_vectors_do_not_repeat() {
    let suite = Suite::new(Cipher::AesCbc128, Some(Integrity::HmacSha256)).expect("a suite");
    for engine in engines() {
        let key = key(engine, suite);
        let mut context = engine.context().expect("a context");
        let mut seen = std::collections::HashSet::new();
        for (low, high) in [(1u32, None), (2, None), (1, Some(1)), (2, Some(1)), (1, Some(2))] {
            let mut packet = [&[0, 0, 1, 0], &low.to_be_bytes()[..], &[0; 16 + 16 + 16]].concat();
            let mut jobs = [Job::encap(&key, &mut packet, high)];
            context.seal(&mut jobs);
            assert_eq!(jobs[0].status(), Status::Ok);
            assert!(seen.insert(packet[8..24].to_vec()), "{low}, {high:?}");
        }
    }
}

/// The portable engine cannot read the library's schedules; the other way round it is the fallback.
#[cfg(ipsec_mb)]
#[test]
fn keys_of_another_engine() {
    let suite = Suite::from_transforms(20, 256, 0).expect("a suite");
    let engines = engines();
    let seal = |own: usize, other: usize| {
        let key = key(engines[other], suite);
        let mut packet = [3; 64];
        let mut jobs = [Job::encap(&key, &mut packet, None)];
        engines[own].context().expect("a context").seal(&mut jobs);
        (jobs[0].status(), packet)
    };
    assert_eq!(seal(0, 1), (Status::WrongBackend, [3; 64]));
    assert_eq!(seal(1, 0), seal(1, 1));
    assert_eq!(seal(1, 0).0, Status::Ok);
}

#[test]
fn key_material_of_another_length_is_refused_and_never_printed() {
    for engine in engines() {
        for suite in Suite::all() {
            let encryption = vec![0xab; suite.encryption_key_len() + 1];
            let material = KeyMaterial { encryption: &encryption, authentication: &[] };
            assert!(!format!("{material:?}").contains("171"));
            let refused = engine.expand(suite, &material, &heap());
            assert!(matches!(refused, Err(KeyError::Length { .. })), "{refused:?}");
        }
        let text = format!("{:?}", key(engine, Suite::from_transforms(20, 128, 0).expect("a suite")));
        assert!(text.starts_with("Key(AES-GCM-16-128, "), "{text}");
    }
}
