//! Known answers for every suite, run at start.
//!
//! One batch with a packet of every suite is sealed and compared with what OpenSSL made of it, opened,
//! and opened again with a bit flipped. Passing means that key schedules, nonces, truncation and the
//! comparison of tags work on this processor; the crate's tests go further.

mod answers;

use crate::{
    backend::{Backend, BackendError, Context},
    job::{Job, Status},
    key::{Key, KeyError, KeyMaterial},
    memory::heap,
    suite::Suite,
};
use answers::ANSWERS;

/// An engine that must not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelfTestError {
    /// A known answer came out wrong.
    #[error("{backend} fails the known-answer test of {suite}: {what}")]
    WrongAnswer {
        /// The engine.
        backend: &'static str,
        /// The suite.
        suite: Suite,
        /// What went wrong.
        what: &'static str,
    },
    /// A test key could not be expanded.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No context could be made.
    #[error(transparent)]
    Context(#[from] BackendError),
}

/// SPI 01020304, low half of the sequence number 5, and the explicit IV of an AEAD.
const HEADER: [u8; 16] = [1, 2, 3, 4, 0, 0, 0, 5, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18];
/// High half of the sequence number.
const ESN_HIGH: u32 = 6;
/// Bytes of payload: blocks of every cipher, and more than one round of every vector unit.
const PAYLOAD: usize = 320;

/// One suite's key, packet and answer.
struct Case {
    key: Key,
    packet: Vec<u8>,
    tag: [u8; 12],
}

/// Runs the known-answer test of every suite.
pub(crate) fn self_test(backend: &dyn Backend) -> Result<(), SelfTestError> {
    let mut context = backend.context()?;
    let mut cases = cases(backend)?;
    let fail = |case: &Case, what| {
        Err(SelfTestError::WrongAnswer { backend: backend.name(), suite: case.key.suite(), what })
    };

    let sealed = seal(&mut *context, &mut cases);
    for (case, status) in cases.iter().zip(sealed) {
        if status != Status::Ok || case.tag_in_packet() != case.tag {
            return fail(case, "it seals wrongly");
        }
    }
    let sealed: Vec<Vec<u8>> = cases.iter().map(|case| case.packet.clone()).collect();
    let opened = open(&mut *context, &mut cases);
    for (case, status) in cases.iter().zip(opened) {
        if status != Status::Ok || !case.payload().iter().copied().eq(payload()) {
            return fail(case, "it does not open what it sealed");
        }
    }
    for (case, mut packet) in cases.iter_mut().zip(sealed) {
        packet[HEADER.len() + 100] ^= 1;
        case.packet = packet;
    }
    let opened = open(&mut *context, &mut cases);
    for (case, status) in cases.iter().zip(opened) {
        if status != Status::AuthFailed {
            return fail(case, "it accepts a packet that was changed");
        }
    }
    Ok(())
}

fn cases(backend: &dyn Backend) -> Result<Vec<Case>, SelfTestError> {
    let suites = ANSWERS.iter().filter_map(|(cipher, mac, tag)| Some((Suite::new(*cipher, *mac)?, *tag)));
    suites.map(|(suite, tag)| Case::new(backend, suite, tag)).collect()
}

fn seal(context: &mut dyn Context, cases: &mut [Case]) -> Vec<Status> {
    let jobs = cases.iter_mut().map(|case| Job::encap(&case.key, &mut case.packet, Some(ESN_HIGH)));
    let mut jobs: Vec<Job<'_>> = jobs.collect();
    context.seal(&mut jobs);
    jobs.iter().map(Job::status).collect()
}

fn open(context: &mut dyn Context, cases: &mut [Case]) -> Vec<Status> {
    let jobs = cases.iter_mut().map(|case| Job::decap(&case.key, &mut case.packet, Some(ESN_HIGH)));
    let mut jobs: Vec<Job<'_>> = jobs.collect();
    context.open(&mut jobs);
    jobs.iter().map(Job::status).collect()
}

fn payload() -> impl Iterator<Item = u8> {
    (0..=u8::MAX).cycle().take(PAYLOAD)
}

impl Case {
    fn new(backend: &dyn Backend, suite: Suite, tag: [u8; 12]) -> Result<Case, SelfTestError> {
        let encryption: Vec<u8> = (1..).take(suite.encryption_key_len()).collect();
        let authentication: Vec<u8> = (0x80..).take(suite.authentication_key_len()).collect();
        let material = KeyMaterial { encryption: &encryption, authentication: &authentication };
        let key = backend.expand(suite, &material, &heap())?;
        let mut packet = HEADER.to_vec();
        packet.resize(8 + suite.iv_len(), 0);
        packet.extend(payload());
        packet.resize(packet.len() + suite.icv_len(), 0);
        Ok(Case { key, packet, tag })
    }

    fn payload(&self) -> &[u8] {
        &self.packet[8 + self.key.suite().iv_len()..][..PAYLOAD]
    }

    /// The first bytes of the tag.
    fn tag_in_packet(&self) -> &[u8] {
        let tag_at = self.packet.len() - self.key.suite().icv_len();
        &self.packet[tag_at..][..self.tag.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Portable, Preference, select};

    #[test]
    fn every_suite_has_an_answer() {
        assert_eq!(ANSWERS.len(), Suite::all().count());
        assert!(Suite::all().all(|suite| {
            ANSWERS.iter().any(|(cipher, mac, _)| Suite::new(*cipher, *mac) == Some(suite))
        }));
    }

    #[test]
    fn every_engine_passes() {
        self_test(&Portable).expect("the portable engine passes");
        let selection = select(Preference::Auto).expect("an engine");
        let expected = if cfg!(ipsec_mb) { "ipsec-mb" } else { "portable" };
        assert_eq!(selection.backend.name(), expected, "{}", selection.description);
        assert!(selection.description.starts_with(expected), "{}", selection.description);
    }
}
