//! The engines against each other: the same bytes on random batches of mixed suites, sizes, positions
//! and extended sequence numbers; what is corrupted fails, and only that.
#![cfg(ipsec_mb)]

mod common;

use common::engines;
use crypto::{Backend, Context, Job, Key, KeyMaterial, Status, Suite, heap};
use proptest::{prelude::*, sample::Index};

/// One packet of a batch.
#[derive(Debug, Clone)]
struct Packet {
    suite: Suite,
    keys: [u8; 128],
    /// ESP header, explicit IV, payload of whole blocks, room for the ICV.
    esp: Vec<u8>,
    /// Bytes before the packet in its buffer, so that it starts anywhere.
    skew: usize,
    esn_high: Option<u32>,
    /// What to flip of it before it is opened: a byte of the packet, a bit.
    flip: Option<(Index, u8)>,
}

fn packet() -> impl Strategy<Value = Packet> {
    let suites: Vec<Suite> = Suite::all().collect();
    let keys = proptest::collection::vec(any::<u8>(), 128);
    let payload = prop_oneof![
        1 => proptest::collection::vec(any::<u8>(), 0..20),
        4 => proptest::collection::vec(any::<u8>(), 0..2000),
    ];
    let flip = proptest::option::weighted(0.2, (any::<Index>(), 0..8u8));
    let header = any::<[u8; 24]>();
    (proptest::sample::select(suites), keys, payload, header, 0..64usize, any::<Option<u32>>(), flip)
        .prop_map(|(suite, keys, mut payload, header, skew, esn_high, flip)| {
            let block = suite.block_len();
            let least = if block == 1 { 0 } else { block };
            payload.resize(payload.len().next_multiple_of(block).max(least), 0);
            let esp = [&header[..8 + suite.iv_len()], &payload, &vec![0; suite.icv_len()]].concat();
            let keys = keys.try_into().expect("128 bytes");
            Packet { suite, keys, esp, skew, esn_high, flip }
        })
}

impl Packet {
    fn key(&self, engine: &dyn Backend) -> Key {
        let encryption = &self.keys[..self.suite.encryption_key_len()];
        let authentication = &self.keys[64..64 + self.suite.authentication_key_len()];
        let material = KeyMaterial { encryption, authentication };
        engine.expand(self.suite, &material, &heap()).expect("key material of the right length")
    }

    fn flip(&self, esp: &mut [u8]) {
        if let Some((index, bit)) = &self.flip {
            esp[index.index(esp.len())] ^= 1 << bit;
        }
    }
}

/// An engine, its keys and its packets at their skewed places.
struct Run<'a> {
    packets: &'a [Packet],
    context: Box<dyn Context>,
    keys: Vec<Key>,
    buffers: Vec<Vec<u8>>,
}

impl<'a> Run<'a> {
    fn new(engine: &dyn Backend, packets: &'a [Packet]) -> Run<'a> {
        let keys = packets.iter().map(|packet| packet.key(engine)).collect();
        let buffers =
            packets.iter().map(|packet| [&vec![0xee; packet.skew][..], &packet.esp, &[0xee; 16]].concat());
        Run { packets, context: engine.context().expect("a context"), keys, buffers: buffers.collect() }
    }

    fn seal(&mut self) -> Vec<Status> {
        let (mut jobs, context) = self.jobs(Job::encap);
        context.seal(&mut jobs);
        jobs.iter().map(Job::status).collect()
    }

    fn open(&mut self) -> Vec<Status> {
        let (mut jobs, context) = self.jobs(Job::decap);
        context.open(&mut jobs);
        jobs.iter().map(Job::status).collect()
    }

    fn jobs<'r>(
        &'r mut self,
        job: fn(&'r Key, &'r mut [u8], Option<u32>) -> Job<'r>,
    ) -> (Vec<Job<'r>>, &'r mut dyn Context) {
        let packets = self.packets.iter().zip(&self.keys).zip(&mut self.buffers);
        let jobs = packets.map(|((packet, key), buffer)| {
            job(key, &mut buffer[packet.skew..packet.skew + packet.esp.len()], packet.esn_high)
        });
        (jobs.collect(), &mut *self.context)
    }

    fn flip(&mut self) {
        for (packet, buffer) in self.packets.iter().zip(&mut self.buffers) {
            packet.flip(&mut buffer[packet.skew..packet.skew + packet.esp.len()]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn engines_agree(packets in proptest::collection::vec(packet(), 1..=64)) {
        let mut runs: Vec<Run<'_>> = engines().into_iter().map(|engine| Run::new(engine, &packets)).collect();
        for run in &mut runs {
            prop_assert!(run.seal().iter().all(|status| *status == Status::Ok));
        }
        prop_assert_eq!(&runs[0].buffers, &runs[1].buffers, "sealed");
        let expected: Vec<Status> = packets.iter().map(|packet| match packet.flip {
            None => Status::Ok,
            Some(_) => Status::AuthFailed,
        }).collect();
        for run in &mut runs {
            run.flip();
            prop_assert_eq!(run.open(), &expected[..]);
            check_opened(run)?;
        }
    }
}

/// Good packets have their payload back, bad ones hold zeros, and nothing around them has changed.
fn check_opened(run: &Run<'_>) -> Result<(), TestCaseError> {
    for (packet, buffer) in run.packets.iter().zip(&run.buffers) {
        let (before, rest) = buffer.split_at(packet.skew);
        let (esp, after) = rest.split_at(packet.esp.len());
        prop_assert!(before.iter().chain(after).all(|byte| *byte == 0xee), "outside the packet");
        let payload = 8 + packet.suite.iv_len()..esp.len() - packet.suite.icv_len();
        if packet.flip.is_none() {
            prop_assert_eq!(&esp[payload.clone()], &packet.esp[payload]);
        } else {
            prop_assert!(esp[payload].iter().all(|byte| *byte == 0), "plaintext is left");
        }
    }
    Ok(())
}
