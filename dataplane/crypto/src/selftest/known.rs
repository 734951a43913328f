//! Known answers: one packet of every suite.

use super::{SelfTestError, answers::ANSWERS};
use crate::{
    backend::{Backend, Context},
    job::{Job, Status},
    key::{Key, KeyMaterial},
    memory::heap,
    suite::Suite,
};

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
    right: bool,
}

/// The suites that seal otherwise than OpenSSL, do not open what they sealed, or open what was changed.
pub(super) fn wrong(backend: &dyn Backend) -> Result<Vec<Suite>, SelfTestError> {
    let mut context = backend.context()?;
    let mut cases = cases(backend)?;

    for (case, status) in seal(&mut *context, &mut cases) {
        case.right &= status == Status::Ok && case.tag.starts_with(case.tag_in_packet());
    }
    let sealed: Vec<Vec<u8>> = cases.iter().map(|case| case.packet.clone()).collect();
    for (case, status) in open(&mut *context, &mut cases) {
        case.right &= status == Status::Ok && case.payload().iter().copied().eq(payload());
    }
    for (case, mut packet) in cases.iter_mut().zip(sealed) {
        packet[HEADER.len() + 100] ^= 1;
        case.packet = packet;
    }
    for (case, status) in open(&mut *context, &mut cases) {
        case.right &= status == Status::AuthFailed;
    }
    Ok(cases.iter().filter(|case| !case.right).map(|case| case.key.suite()).collect())
}

fn cases(backend: &dyn Backend) -> Result<Vec<Case>, SelfTestError> {
    let suites = ANSWERS.iter().filter_map(|(cipher, mac, tag)| Some((Suite::new(*cipher, *mac)?, *tag)));
    suites.map(|(suite, tag)| Case::new(backend, suite, tag)).collect()
}

fn seal<'a>(
    context: &mut dyn Context,
    cases: &'a mut [Case],
) -> impl Iterator<Item = (&'a mut Case, Status)> {
    let jobs = cases.iter_mut().map(|case| Job::encap(&case.key, &mut case.packet, Some(ESN_HIGH)));
    let mut jobs: Vec<Job<'_>> = jobs.collect();
    context.seal(&mut jobs);
    let status: Vec<Status> = jobs.iter().map(Job::status).collect();
    cases.iter_mut().zip(status)
}

fn open<'a>(
    context: &mut dyn Context,
    cases: &'a mut [Case],
) -> impl Iterator<Item = (&'a mut Case, Status)> {
    let jobs = cases.iter_mut().map(|case| Job::decap(&case.key, &mut case.packet, Some(ESN_HIGH)));
    let mut jobs: Vec<Job<'_>> = jobs.collect();
    context.open(&mut jobs);
    let status: Vec<Status> = jobs.iter().map(Job::status).collect();
    cases.iter_mut().zip(status)
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
        Ok(Case { key, packet, tag, right: true })
    }

    fn payload(&self) -> &[u8] {
        &self.packet[8 + self.key.suite().iv_len()..][..PAYLOAD]
    }

    /// The first bytes of the tag.
    fn tag_in_packet(&self) -> &[u8] {
        let tag_at = self.packet.len() - self.key.suite().icv_len();
        let tag = &self.packet[tag_at..];
        &tag[..tag.len().min(self.tag.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_has_an_answer() {
        assert_eq!(ANSWERS.len(), Suite::all().count());
        assert!(Suite::all().all(|suite| {
            ANSWERS.iter().any(|(cipher, mac, _)| Suite::new(*cipher, *mac) == Some(suite))
        }));
    }
}
