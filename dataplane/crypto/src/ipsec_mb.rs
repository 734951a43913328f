//! intel-ipsec-mb: packets of a batch share the vector units ("multi-buffer").
//!
//! AES-GCM and AES-GMAC use the library's direct calls, one packet each; cipher and MAC suites go through its
//! job manager, which interleaves up to 16 packets, and so does ChaCha20-Poly1305. Each context has a manager
//! of its own.

mod ffi;
mod manager;

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use subtle::ConstantTimeEq;

use crate::{
    backend::{Backend, BackendError, Context},
    job::{Job, Status},
    key::{Key, KeyError, KeyMaterial, Schedule},
    memory::KeyMemory,
    portable::Portable,
    selftest::{SelfTestError, names, wrong_ciphers},
    suite::{Cipher, Mode, Suite},
};
use ffi::{EtmJob, GcmJob};
use manager::Manager;

/// Jobs handed to the library at once: half of its queue, and a burst.
const BATCH: usize = 64;
/// Bytes of the tag that AES-GCM makes, whatever is kept of it.
const FULL_TAG: usize = 16;
/// Bytes of the longest tag.
const MAX_TAG: usize = 32;

/// The ipsec-mb back-end.
///
/// Ciphers that the library gets wrong on this processor are left to the portable engine.
#[derive(Debug)]
pub struct IpsecMb {
    /// For expanding keys, off the hot path.
    manager: Mutex<Manager>,
    description: String,
    /// What the portable engine does instead.
    wrong: Vec<Cipher>,
}

impl IpsecMb {
    /// Sets the library up for this processor, and tests every suite.
    ///
    /// # Errors
    ///
    /// [`BackendError::Setup`] when the processor is not supported; [`SelfTestError`] when nothing is
    /// right.
    pub fn new() -> Result<IpsecMb, SelfTestError> {
        let manager = Manager::new()?;
        let description = format!("ipsec-mb {} ({})", manager::version(), manager.instruction_set());
        let mut engine = IpsecMb { manager: Mutex::new(manager), description, wrong: Vec::new() };
        engine.wrong = wrong_ciphers(&engine)?;
        if engine.wrong.len() == Cipher::ALL.len() {
            return Err(SelfTestError::WrongAnswers { backend: engine.name(), wrong: engine.wrong });
        }
        if !engine.wrong.is_empty() {
            let wrong = names(&engine.wrong);
            engine.description.push_str(&format!("; {wrong} portable, since the library gets them wrong"));
        }
        Ok(engine)
    }
}

impl Backend for IpsecMb {
    fn name(&self) -> &'static str {
        "ipsec-mb"
    }

    fn describe(&self) -> String {
        self.description.clone()
    }

    fn expand(&self, suite: Suite, material: &KeyMaterial<'_>, memory: &KeyMemory) -> Result<Key, KeyError> {
        if self.wrong.contains(&suite.cipher()) {
            return Portable.expand(suite, material, memory);
        }
        material.check(suite)?;
        let (encryption, salt) = material.split_salt(suite);
        let mut manager = self.manager.lock().unwrap_or_else(PoisonError::into_inner);
        let block = manager.expand(suite, encryption, material.authentication, memory)?;
        Ok(Key::new(suite, salt, Schedule::IpsecMb(block)))
    }

    fn context(&self) -> Result<Box<dyn Context>, BackendError> {
        Ok(Box::new(IpsecMbContext::new(Manager::new()?)))
    }
}

/// Which of the library's functions do a suite.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Gcm,
    Gmac,
    /// The job manager.
    Jobs,
}

#[inline]
fn call(cipher: Cipher) -> Call {
    match cipher.mode() {
        Mode::Gmac => Call::Gmac,
        Mode::Aead if cipher != Cipher::ChaCha20Poly1305 => Call::Gcm,
        Mode::Aead | Mode::Null | Mode::Cbc | Mode::Ctr => Call::Jobs,
    }
}

/// A manager, and room to describe one batch to it.
struct IpsecMbContext {
    manager: Manager,
    gcm: Vec<GcmJob>,
    gmac: Vec<GcmJob>,
    etm: Vec<EtmJob>,
    /// By job: the tag that the library computed.
    computed: Box<[[u8; MAX_TAG]; BATCH]>,
    /// By job: the tag that came with the packet, whose place may hold the ESN meanwhile.
    received: Box<[[u8; MAX_TAG]; BATCH]>,
}

// SAFETY: the raw pointers in the descriptions are used only within a call, which takes `&mut self`.
unsafe impl Send for IpsecMbContext {}

impl Context for IpsecMbContext {
    fn seal(&mut self, jobs: &mut [Job<'_>]) {
        for batch in jobs.chunks_mut(BATCH) {
            self.describe(batch, Direction::Seal);
            // SAFETY: `describe` has just pointed the descriptions at the batch and at `self`.
            unsafe { self.manager.seal(&self.gcm, &self.gmac, &mut self.etm) };
            for GcmJob { owner, .. } in self.gcm.iter().chain(&self.gmac) {
                let job = &mut batch[*owner];
                if job.key.sizes.icv_len < FULL_TAG {
                    copy_tag(&self.computed[*owner], job.tag());
                }
                job.finish(Status::Ok);
            }
            for EtmJob { owner, done, .. } in &self.etm {
                let job = &mut batch[*owner];
                copy_tag(&self.computed[*owner], job.tag());
                job.finish(if *done == 1 { Status::Ok } else { Status::AuthFailed });
            }
        }
    }

    fn open(&mut self, jobs: &mut [Job<'_>]) {
        for batch in jobs.chunks_mut(BATCH) {
            self.describe(batch, Direction::Open);
            // SAFETY: as for `seal`.
            unsafe { self.manager.open(&self.gcm, &self.gmac, &mut self.etm) };
            for GcmJob { owner, .. } in self.gcm.iter().chain(&self.gmac) {
                let job = &mut batch[*owner];
                let authentic = same_tag(&self.computed[*owner], job.tag());
                job.finish(if authentic { Status::Ok } else { Status::AuthFailed });
            }
            for EtmJob { owner, done, .. } in &self.etm {
                let job = &mut batch[*owner];
                let received = &self.received[*owner][..job.key.sizes.icv_len];
                let authentic = *done == 1 && same_tag(&self.computed[*owner], received);
                job.finish(if authentic { Status::Ok } else { Status::AuthFailed });
            }
        }
    }
}

/// What a batch is described for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Seal,
    Open,
}

/// Compares the first bytes of `computed` with a tag of whole 4-byte words, in constant time.
#[inline]
fn same_tag(computed: &[u8; MAX_TAG], tag: &[u8]) -> bool {
    let words = computed.as_chunks::<4>().0.iter().zip(tag.as_chunks::<4>().0);
    let different = words.fold(0, |bits, (a, b)| bits | (u32::from_ne_bytes(*a) ^ u32::from_ne_bytes(*b)));
    different.ct_eq(&0).into()
}

/// Copies whole 4-byte words, as many as both have: a call of `memcpy` costs more than a short tag.
#[inline]
fn copy_tag(from: &[u8], to: &mut [u8]) {
    for (to, from) in to.as_chunks_mut::<4>().0.iter_mut().zip(from.as_chunks::<4>().0) {
        *to = *from;
    }
}

impl IpsecMbContext {
    fn new(manager: Manager) -> IpsecMbContext {
        IpsecMbContext {
            manager,
            gcm: Vec::with_capacity(BATCH),
            gmac: Vec::with_capacity(BATCH),
            etm: Vec::with_capacity(BATCH),
            computed: Box::new([[0; MAX_TAG]; BATCH]),
            received: Box::new([[0; MAX_TAG]; BATCH]),
        }
    }

    /// Describes each pending job of a batch of at most [`BATCH`] to the library; does those with a
    /// portable key.
    fn describe(&mut self, batch: &mut [Job<'_>], direction: Direction) {
        self.gcm.clear();
        self.gmac.clear();
        self.etm.clear();
        for (owner, job) in batch.iter_mut().enumerate().filter(|(_, job)| job.is_pending()) {
            let key: &Key = job.key;
            let schedule = match &key.schedule {
                Schedule::IpsecMb(schedule) => schedule,
                Schedule::Portable(schedule) => {
                    let status = match direction {
                        Direction::Seal => schedule.seal(job),
                        Direction::Open => schedule.open(job),
                    };
                    job.finish(status);
                    continue;
                }
            };
            let computed = self.computed[owner].as_mut_ptr();
            // A new tag of full length goes to its place at once; one to compare or to cut does not.
            let at_once = direction == Direction::Seal && key.sizes.icv_len == FULL_TAG;
            let place = |job: &mut Job<'_>| if at_once { job.tag().as_mut_ptr() } else { computed };
            match call(key.suite.cipher()) {
                Call::Gcm => {
                    let tag = place(job);
                    self.gcm.push(GcmJob::new(job, schedule, tag, owner));
                }
                Call::Gmac => {
                    let tag = place(job);
                    match GcmJob::gmac(job, schedule, tag, owner) {
                        Some(described) => self.gmac.push(described),
                        None => job.finish(Status::BadLength),
                    }
                }
                Call::Jobs => {
                    self.keep_tag(job, owner);
                    self.etm.push(EtmJob::new(job, schedule, computed, owner));
                }
            }
        }
    }

    /// Puts the tag that came aside. The high half of the sequence number is authenticated with a MAC as if it
    /// followed the data: in the tag's place.
    #[inline]
    fn keep_tag(&mut self, job: &mut Job<'_>, owner: usize) {
        let esn_high = job.esn_high;
        let tag = job.tag();
        copy_tag(tag, &mut self.received[owner]);
        if let Some(high) = esn_high {
            tag[..high.len()].copy_from_slice(&high);
        }
    }
}

impl fmt::Debug for IpsecMbContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IpsecMbContext").field("manager", &self.manager).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::heap;

    #[test]
    fn the_library_does_every_suite_that_it_gets_right() {
        let engine = IpsecMb::new().expect("an engine");
        for suite in Suite::all().filter(|suite| !engine.wrong.contains(&suite.cipher())) {
            let (encryption, authentication) = ([1; 64], [2; 64]);
            let material = KeyMaterial {
                encryption: &encryption[..suite.encryption_key_len()],
                authentication: &authentication[..suite.authentication_key_len()],
            };
            let key = engine.expand(suite, &material, &heap()).expect("a key");
            assert!(matches!(key.schedule, Schedule::IpsecMb(_)), "{suite}");
        }
    }
}
