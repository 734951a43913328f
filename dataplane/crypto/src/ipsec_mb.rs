//! intel-ipsec-mb: packets of a batch share the vector units ("multi-buffer").
//!
//! AES-GCM and AES-GMAC use the library's direct calls, one packet each. A suite of cipher and MAC takes all packets
//! of a batch through the one and then through the other, 8 or 16 side by side; DES, MD5 and ChaCha20-Poly1305 go
//! through the library's job manager. Each context has a manager of its own.

mod ffi;
mod manager;

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use crate::{
    backend::{Backend, BackendError, Context},
    job::{Job, Status},
    key::{Key, KeyError, KeyMaterial, Schedule},
    memory::KeyMemory,
    portable::{self, Portable},
    selftest::{SelfTestError, names, wrong_ciphers},
    suite::{Cipher, Suite},
};
use ffi::BATCH;
use manager::Manager;

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
        let schedule = manager.expand(suite, &KeyMaterial { encryption, ..*material }, memory)?;
        Ok(Key::new(suite, salt, schedule))
    }

    fn context(&self) -> Result<Box<dyn Context>, BackendError> {
        Ok(Box::new(IpsecMbContext { manager: Manager::new()? }))
    }
}

/// A manager, which has room for one batch.
struct IpsecMbContext {
    manager: Manager,
}

impl Context for IpsecMbContext {
    fn seal(&mut self, jobs: &mut [Job<'_>]) {
        for batch in jobs.chunks_mut(BATCH) {
            if self.manager.seal(batch) != 0 {
                finish_rest(batch, portable::Schedule::seal);
            }
        }
    }

    fn open(&mut self, jobs: &mut [Job<'_>]) {
        for batch in jobs.chunks_mut(BATCH) {
            if self.manager.open(batch) != 0 {
                finish_rest(batch, portable::Schedule::open);
            }
        }
    }
}

/// Wipes what has failed, and does what has a portable key.
#[cold]
fn finish_rest(batch: &mut [Job<'_>], each: fn(&portable::Schedule, &mut Job<'_>) -> Status) {
    for job in batch {
        let key: &Key = job.key;
        match (job.status(), key.schedule()) {
            (Status::AuthFailed, _) => job.finish(Status::AuthFailed),
            (Status::Pending, Schedule::Portable(schedule)) => {
                let status = each(schedule, job);
                job.finish(status);
            }
            _ => {}
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
            assert!(matches!(key.schedule(), Schedule::IpsecMb { .. }), "{suite}");
        }
    }
}
