//! What the engines cost alone, for one suite of every kind.
//!
//! `esplanade bench --engines`. Cycles of the time-stamp counter a packet, in batches of 32 whose buffers are warm:
//! all of one SA, and each of another one of many, whose keys are asked for at its start as a worker does. The
//! lowest tenth of many short runs, since neighbours steal time.

use std::hint::black_box;

use anyhow::Result;
use crypto::{Backend, Context, Job, Key, KeyMaterial, KeyMemory, Preference, Status, Suite, heap, select};

use crate::gateway::key_memory;

const BATCH: usize = 32;
const RUNS: usize = 400;
const BATCHES_PER_RUN: usize = 8;
/// SAs of the second figure.
const MANY: usize = 10_000;
/// From one SA to the next.
const STEP: usize = 7_919;
/// By transform: AES-GCM, AES-CBC and AES-CTR with an HMAC, AES-GMAC, ChaCha20-Poly1305.
const SUITES: [(u16, u16, u16); 6] =
    [(20, 128, 0), (12, 128, 2), (12, 256, 12), (13, 128, 12), (21, 128, 0), (28, 256, 0)];

pub(crate) fn print() -> Result<()> {
    let engines = [Preference::Portable, Preference::IpsecMb].map(select);
    println!(
        "{:<44} {:>6} {:>8} {:>8} {:>13} {:>13} {:>9}",
        "t per packet", "bytes", "seal", "open", "seal 10k SAs", "open 10k SAs", "key bytes"
    );
    for engine in engines.into_iter().flatten() {
        for (cipher, bits, mac) in SUITES {
            let suite = Suite::from_transforms(cipher, bits, mac)?;
            let memory = key_memory(MANY)?;
            let keys = expand(&*engine.backend, suite, &memory)?;
            for len in [64, 256, 1400] {
                let [seal, open] = measure(&*engine.backend, &keys[..1], len, RUNS)?;
                let [seal_many, open_many] = measure(&*engine.backend, &keys, len, RUNS)?;
                println!(
                    "{:<44} {len:>6} {seal:>8.0} {open:>8.0} {seal_many:>13.0} {open_many:>13.0} {:>9}",
                    format!("{} {suite}", engine.backend.name()),
                    keys[0].memory_len(),
                );
            }
        }
        println!("({})", engine.description);
    }
    Ok(())
}

/// Keys of [`MANY`] SAs.
fn expand(engine: &dyn Backend, suite: Suite, memory: &KeyMemory) -> Result<Vec<Key>> {
    let mut encryption = vec![1; suite.encryption_key_len()];
    let mut authentication = vec![2; suite.authentication_key_len()];
    let keys = (0..MANY).map(|sa| {
        let sa = u32::try_from(sa)?.to_be_bytes();
        encryption.iter_mut().zip(sa).for_each(|(byte, new)| *byte = new);
        authentication.iter_mut().zip(sa).for_each(|(byte, new)| *byte = new);
        let material = KeyMaterial { encryption: &encryption, authentication: &authentication };
        Ok(engine.expand(suite, &material, memory)?)
    });
    keys.collect()
}

/// Keys in an order without pattern, and the packets of one batch.
struct Batches<'k> {
    context: Box<dyn Context>,
    keys: &'k [Key],
    /// Packets so far.
    at: usize,
    buffers: Vec<Vec<u8>>,
    /// By key.
    sealed: Vec<Vec<u8>>,
}

impl<'k> Batches<'k> {
    fn new(engine: &dyn Backend, keys: &'k [Key], len: usize) -> Result<Self> {
        let suite = keys[0].suite();
        let payload = len.next_multiple_of(suite.block_len());
        let buffers = vec![vec![0; 8 + suite.iv_len() + payload + suite.icv_len()]; BATCH];
        let mut context = engine.context()?;
        let mut sealed = vec![buffers[0].clone(); keys.len()];
        let mut jobs: Vec<Job<'_>> =
            keys.iter().zip(&mut sealed).map(|(key, packet)| Job::encap(key, packet, None)).collect();
        context.seal(&mut jobs);
        drop(jobs);
        Ok(Self { context, keys, at: 0, buffers, sealed })
    }

    /// The keys of the next batch. A step without common factor visits each.
    fn batch(&self) -> [&'k Key; BATCH] {
        std::array::from_fn(|n| &self.keys[(self.at + n) * STEP % self.keys.len()])
    }

    /// Cycles of one batch; its keys are asked for first.
    fn run(
        &mut self,
        prefetch: impl Fn(&Key),
        job: impl for<'a> Fn(&'a Key, &'a mut [u8]) -> Job<'a>,
        call: impl Fn(&mut dyn Context, &mut [Job<'_>]),
    ) -> u64 {
        let keys = self.batch();
        let before = dpdk::tsc();
        keys.iter().for_each(|key| prefetch(key));
        let mut pairs = keys.iter().zip(&mut self.buffers);
        let mut jobs: [Job<'_>; BATCH] = std::array::from_fn(|_| {
            let (key, buffer) = pairs.next().expect("a packet");
            job(key, buffer)
        });
        call(&mut *self.context, &mut jobs);
        assert!(jobs.iter().all(|job| black_box(job.status()) == Status::Ok));
        self.at += BATCH;
        dpdk::tsc() - before
    }

    fn seal(&mut self) -> u64 {
        self.run(
            Key::prefetch_to_seal,
            |key, esp| Job::encap(key, esp, None),
            |context, jobs| context.seal(jobs),
        )
    }

    /// What was opened cannot be opened again: the packets are put there before the time counts.
    fn open(&mut self) -> u64 {
        for (n, buffer) in self.buffers.iter_mut().enumerate() {
            buffer.copy_from_slice(&self.sealed[(self.at + n) * STEP % self.keys.len()]);
        }
        self.run(
            Key::prefetch_to_open,
            |key, esp| Job::decap(key, esp, None),
            |context, jobs| context.open(jobs),
        )
    }
}

/// One suite with one key, cycles a packet to seal and to open, from so many runs.
pub(crate) fn raw(engine: &dyn Backend, suite: Suite, len: usize, runs: usize) -> Result<[f64; 2]> {
    let material = KeyMaterial {
        encryption: &vec![1; suite.encryption_key_len()],
        authentication: &vec![2; suite.authentication_key_len()],
    };
    measure(engine, &[engine.expand(suite, &material, &heap())?], len, runs)
}

/// The lowest tenth of seal and open, cycles a packet.
fn measure(engine: &dyn Backend, keys: &[Key], len: usize, runs: usize) -> Result<[f64; 2]> {
    let mut batches = Batches::new(engine, keys, len)?;
    let seal = lowest(runs, || batches.seal());
    Ok([seal, lowest(runs, || batches.open())])
}

/// The lowest tenth of runs of a few batches each, cycles a packet.
fn lowest(runs: usize, mut batch: impl FnMut() -> u64) -> f64 {
    let mut runs: Vec<u64> = (0..runs.max(1)).map(|_| (0..BATCHES_PER_RUN).map(|_| batch()).sum()).collect();
    runs.sort_unstable();
    let packets = f64::from(u32::try_from(BATCH * BATCHES_PER_RUN).expect("few"));
    f64::from(u32::try_from(runs[runs.len() / 10]).expect("a short run")) / packets
}
