//! Whole batches: packets that share the lanes of a multi-buffer engine must not meet.

use super::SelfTestError;
use crate::{
    backend::Backend,
    job::{Job, Status},
    key::{Key, KeyMaterial},
    memory::heap,
    portable::Portable,
    suite::Suite,
};

/// More than the lanes of any engine (16), and not a multiple.
const BATCH: u8 = 37;

/// An engine's keys, packets and what became of them.
struct Run {
    packets: Vec<Vec<u8>>,
    status: Vec<Status>,
}

/// Whether `backend` seals a batch as the portable engine does, and opens it again. Every packet has
/// its own key, content and length; some are changed before they are opened.
pub(super) fn agrees(backend: &dyn Backend, suite: Suite) -> Result<bool, SelfTestError> {
    let plain: Vec<Vec<u8>> = (0..BATCH).map(|n| packet(suite, n)).collect();
    let mut sealed = [run(backend, suite, &plain, Call::Seal)?, run(&Portable, suite, &plain, Call::Seal)?];
    let same = sealed[0].packets == sealed[1].packets;
    let complete = sealed.iter().all(|run| run.status.iter().all(|status| *status == Status::Ok));
    let mut changed = std::mem::take(&mut sealed[1].packets);
    for packet in changed.iter_mut().step_by(5) {
        packet[0] ^= 0x80;
    }
    let opened = [run(backend, suite, &changed, Call::Open)?, run(&Portable, suite, &changed, Call::Open)?];
    let same_again = opened[0].status == opened[1].status
        && opened.iter().all(|run| (0..).zip(&run.status).all(|(n, status)| *status == expected(n)))
        && contents_agree(suite, &opened, &plain);
    Ok(same && complete && same_again)
}

#[derive(Clone, Copy)]
enum Call {
    Seal,
    Open,
}

fn expected(n: usize) -> Status {
    if n.is_multiple_of(5) { Status::AuthFailed } else { Status::Ok }
}

/// Both engines hold the payload again where a packet was not changed, and nothing of it elsewhere.
fn contents_agree(suite: Suite, opened: &[Run; 2], plain: &[Vec<u8>]) -> bool {
    opened.iter().all(|run| {
        (0..).zip(run.packets.iter().zip(plain)).all(|(n, (packet, plain))| {
            let payload = 8 + suite.iv_len()..packet.len() - suite.icv_len();
            match expected(n) {
                Status::Ok => packet[payload.clone()] == plain[payload],
                _ => packet[payload].iter().all(|byte| *byte == 0),
            }
        })
    })
}

fn run(backend: &dyn Backend, suite: Suite, packets: &[Vec<u8>], call: Call) -> Result<Run, SelfTestError> {
    let keys = (0..BATCH).map(|n| key(backend, suite, n)).collect::<Result<Vec<Key>, _>>()?;
    let mut packets = packets.to_vec();
    let mut context = backend.context()?;
    let pairs = keys.iter().zip(&mut packets);
    let mut jobs: Vec<Job<'_>> = match call {
        Call::Seal => pairs.map(|(key, packet)| Job::encap(key, packet, Some(1))).collect(),
        Call::Open => pairs.map(|(key, packet)| Job::decap(key, packet, Some(1))).collect(),
    };
    match call {
        Call::Seal => context.seal(&mut jobs),
        Call::Open => context.open(&mut jobs),
    }
    let status = jobs.iter().map(Job::status).collect();
    Ok(Run { packets, status })
}

fn key(backend: &dyn Backend, suite: Suite, n: u8) -> Result<Key, SelfTestError> {
    let byte = |i: usize| n.wrapping_mul(31).wrapping_add(u8::try_from(i).unwrap_or(0).wrapping_mul(7));
    let encryption: Vec<u8> = (0..suite.encryption_key_len()).map(byte).collect();
    let authentication: Vec<u8> = (64..64 + suite.authentication_key_len()).map(byte).collect();
    let material = KeyMaterial { encryption: &encryption, authentication: &authentication };
    Ok(backend.expand(suite, &material, &heap())?)
}

/// Packet `n` of a batch: 1 to 19 blocks of 16 bytes, in no order.
fn packet(suite: Suite, n: u8) -> Vec<u8> {
    let payload = 16 * (1 + usize::from(n) * 7 % 19);
    let content = std::iter::successors(Some(n.wrapping_mul(91)), |byte| {
        Some(byte.wrapping_mul(5).wrapping_add(n | 1))
    });
    let header = [0, 0, 1, n, 0, 0, 0, n + 1];
    let mut packet: Vec<u8> = header.into_iter().chain(content.take(suite.iv_len() + payload)).collect();
    packet.resize(packet.len() + suite.icv_len(), 0);
    packet
}
