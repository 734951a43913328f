//! RustCrypto: everywhere available, and the oracle of the tests.

mod aead;
mod etm;
mod gmac;
mod mac;

use crate::{
    backend::{Backend, BackendError, Context},
    job::{Job, Status},
    key::{self, Key, KeyError, KeyMaterial},
    memory::{Boxed, KeyMemory},
    suite::{Cipher, Mode, Suite},
};

/// The portable back-end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Portable;

/// An expanded key.
pub(crate) enum Schedule {
    Aead(aead::AeadKey),
    Gmac(gmac::GmacKey),
    EncryptThenMac(etm::EtmKey),
}

impl Backend for Portable {
    fn name(&self) -> &'static str {
        "portable"
    }

    fn describe(&self) -> String {
        "portable (RustCrypto)".to_owned()
    }

    fn expand(&self, suite: Suite, material: &KeyMaterial<'_>, memory: &KeyMemory) -> Result<Key, KeyError> {
        material.check(suite)?;
        let (encryption, salt) = material.split_salt(suite);
        let schedule = Schedule::new(suite, encryption, material.authentication);
        Ok(Key::new(suite, salt, key::Schedule::Portable(Boxed::new(schedule, memory)?)))
    }

    fn context(&self) -> Result<Box<dyn Context>, BackendError> {
        Ok(Box::new(PortableContext))
    }
}

/// RustCrypto keeps no state between packets.
#[derive(Debug)]
struct PortableContext;

impl Context for PortableContext {
    fn seal(&mut self, jobs: &mut [Job<'_>]) {
        run(jobs, Schedule::seal);
    }

    fn open(&mut self, jobs: &mut [Job<'_>]) {
        run(jobs, Schedule::open);
    }
}

fn run(jobs: &mut [Job<'_>], each: fn(&Schedule, &mut Job<'_>) -> Status) {
    for job in jobs.iter_mut().filter(|job| job.is_pending()) {
        let key: &Key = job.key;
        let status = match key.schedule() {
            key::Schedule::Portable(schedule) => each(schedule, job),
            #[cfg(ipsec_mb)]
            key::Schedule::IpsecMb { .. } => Status::WrongBackend,
        };
        job.finish(status);
    }
}

impl Schedule {
    /// Key lengths are checked.
    fn new(suite: Suite, encryption: &[u8], authentication: &[u8]) -> Schedule {
        let cipher = suite.cipher();
        match (cipher.mode(), suite.integrity()) {
            (Mode::Gmac, _) => Schedule::Gmac(gmac::GmacKey::new(encryption)),
            (_, Some(mac)) => {
                Schedule::EncryptThenMac(etm::EtmKey::new(cipher, encryption, mac, authentication))
            }
            (_, None) if cipher == Cipher::ChaCha20Poly1305 => {
                Schedule::Aead(aead::AeadKey::chacha20_poly1305(encryption))
            }
            (_, None) => Schedule::Aead(aead::AeadKey::gcm(encryption, cipher.tag_len())),
        }
    }

    pub(crate) fn seal(&self, job: &mut Job<'_>) -> Status {
        match self {
            Schedule::Aead(key) => key.seal(job),
            Schedule::Gmac(key) => key.seal(job),
            Schedule::EncryptThenMac(key) => key.seal(job),
        }
    }

    pub(crate) fn open(&self, job: &mut Job<'_>) -> Status {
        match self {
            Schedule::Aead(key) => key.open(job),
            Schedule::Gmac(key) => key.open(job),
            Schedule::EncryptThenMac(key) => key.open(job),
        }
    }
}
