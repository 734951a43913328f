//! Nanoseconds a packet of each engine, for one suite of every kind.
//!
//! `esplanade bench --engines`. Batches of 32 packets of one SA in warm caches;
//! the lowest tenth of many short runs, since neighbours steal time.

use std::{hint::black_box, sync::Arc, time::Instant};

use crypto::{Backend, Context, Job, Key, KeyMaterial, Preference, Suite, heap, select};

const BATCH: usize = 32;
const RUNS: usize = 400;
const BATCHES_PER_RUN: usize = 16;
/// By transform: AES-GCM, AES-CBC and AES-CTR with an HMAC, AES-GMAC, ChaCha20-Poly1305.
const SUITES: [(u16, u16, u16); 5] = [(20, 128, 0), (12, 128, 2), (13, 128, 12), (21, 128, 0), (28, 256, 0)];

pub(crate) fn print() {
    let engines = [Preference::Portable, Preference::IpsecMb].map(select);
    println!("{:<44} {:>6} {:>8} {:>8}", "ns per packet", "bytes", "seal", "open");
    for engine in engines.into_iter().flatten() {
        for (cipher, bits, mac) in SUITES {
            let suite = Suite::from_transforms(cipher, bits, mac).expect("a suite");
            for len in [64, 256, 1400] {
                let (seal, open) = measure(&engine.backend, suite, len);
                println!(
                    "{:<44} {len:>6} {seal:>8.0} {open:>8.0}",
                    format!("{} {suite}", engine.backend.name())
                );
            }
        }
        println!("({})", engine.description);
    }
}

/// The lowest decile of seal and open, ns a packet.
fn measure(engine: &Arc<dyn Backend>, suite: Suite, len: usize) -> (f64, f64) {
    let material = KeyMaterial {
        encryption: &vec![1; suite.encryption_key_len()],
        authentication: &vec![2; suite.authentication_key_len()],
    };
    let key = engine.expand(suite, &material, &heap()).expect("a key");
    let mut context = engine.context().expect("a context");
    let payload = len.next_multiple_of(suite.block_len());
    let mut packets = vec![vec![0u8; 8 + suite.iv_len() + payload + suite.icv_len()]; BATCH];
    let seal =
        lowest(|| run(&mut *context, &key, &mut packets, Job::encap, |context, jobs| context.seal(jobs)));
    // What is opened changes, and then fails; that costs a wipe, so open fresh copies instead.
    let sealed = {
        run(&mut *context, &key, &mut packets, Job::encap, |context, jobs| context.seal(jobs));
        packets.clone()
    };
    let copy = lowest(|| copy(&sealed, &mut packets));
    let open = lowest(|| {
        self::copy(&sealed, &mut packets);
        run(&mut *context, &key, &mut packets, Job::decap, |context, jobs| context.open(jobs));
    });
    (seal, open - copy)
}

fn copy(from: &[Vec<u8>], to: &mut [Vec<u8>]) {
    for (from, to) in from.iter().zip(to) {
        to.copy_from_slice(black_box(from));
    }
}

fn run<'a>(
    context: &mut dyn Context,
    key: &'a Key,
    packets: &'a mut [Vec<u8>],
    job: fn(&'a Key, &'a mut [u8], Option<u32>) -> Job<'a>,
    call: fn(&mut dyn Context, &mut [Job<'_>]),
) {
    let mut packets = packets.iter_mut();
    let mut jobs: [Job<'_>; BATCH] =
        std::array::from_fn(|_| job(key, packets.next().expect("a packet"), None));
    call(context, &mut jobs);
    assert!(jobs.iter().all(|job| black_box(job.status()) == crypto::Status::Ok));
}

fn lowest(mut batch: impl FnMut()) -> f64 {
    let mut runs: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            (0..BATCHES_PER_RUN).for_each(|_| batch());
            start.elapsed().as_secs_f64() * 1e9
        })
        .collect();
    runs.sort_by(f64::total_cmp);
    let packets = f64::from(u32::try_from(BATCH * BATCHES_PER_RUN).expect("few"));
    runs[RUNS / 10] / packets
}
