//! What the tests of this crate share.
#![allow(dead_code, reason = "each test uses a part")]

#[cfg(ipsec_mb)]
use std::sync::LazyLock;

use crypto::{Backend, Context, Integrity, Job, Key, KeyMaterial, Layout, Portable, Status, Suite, heap};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

/// Every engine of this build; set up, and so self-tested, once.
pub(crate) fn engines() -> Vec<&'static dyn Backend> {
    #[cfg(ipsec_mb)]
    static IPSEC_MB: LazyLock<crypto::IpsecMb> =
        LazyLock::new(|| crypto::IpsecMb::new().expect("ipsec-mb can be set up"));
    vec![
        &Portable,
        #[cfg(ipsec_mb)]
        &*IPSEC_MB,
    ]
}

/// A vector file of `tests/vectors`.
#[derive(Deserialize)]
pub(crate) struct VectorFile<T> {
    pub(crate) vectors: Vec<T>,
}

/// Reads a vector file.
pub(crate) fn vectors<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = format!("{}/../../tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let file: VectorFile<T> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    file.vectors
}

/// For `serde(deserialize_with)`: bytes as hexadecimal text.
pub(crate) fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    hex::decode(String::deserialize(from)?).map_err(serde::de::Error::custom)
}

/// The key of an AEAD and what to do with it.
pub(crate) struct Aead<'a> {
    /// AES-GCM (20) or ChaCha20-Poly1305 (28).
    pub(crate) encryption: u16,
    pub(crate) key: &'a [u8],
    pub(crate) nonce: &'a [u8],
    pub(crate) aad: &'a [u8],
}

impl Aead<'_> {
    /// Seals `plaintext`; ciphertext and tag.
    pub(crate) fn seal(&self, engine: &dyn Backend, plaintext: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut buffer = [plaintext, &[0; 16]].concat();
        let status = self.run(engine, &mut buffer, |context, jobs| context.seal(jobs));
        assert_eq!(status, Status::Ok);
        let tag = buffer.split_off(plaintext.len());
        (buffer, tag)
    }

    /// Opens; what became of it, and the buffer where the plaintext should be.
    pub(crate) fn open(&self, engine: &dyn Backend, ciphertext: &[u8], tag: &[u8]) -> (Status, Vec<u8>) {
        let mut buffer = [ciphertext, tag].concat();
        let status = self.run(engine, &mut buffer, |context, jobs| context.open(jobs));
        buffer.truncate(ciphertext.len());
        (status, buffer)
    }

    fn run(
        &self,
        engine: &dyn Backend,
        buffer: &mut [u8],
        f: fn(&mut dyn Context, &mut [Job<'_>]),
    ) -> Status {
        let bits = u16::try_from(8 * self.key.len()).expect("a short key");
        let suite = Suite::from_transforms(self.encryption, bits, 0).expect("a key length of the cipher");
        let key = expand(engine, suite, &[self.key, &[0; 4]].concat(), &[]);
        let mut nonce = [0; 16];
        nonce[..12].copy_from_slice(self.nonce);
        let tag_at = buffer.len() - 16;
        let layout = Layout { nonce, cipher: 0..tag_at, tag_at, esn_high: None };
        run(engine, Job::with_layout(&key, buffer, self.aad, layout), f)
    }
}

/// The truncated tag of `data`, by the suite of NULL encryption.
pub(crate) fn mac(engine: &dyn Backend, mac: Integrity, key: &[u8], data: &[u8]) -> Vec<u8> {
    let suite = Suite::new(crypto::Cipher::Null, Some(mac)).expect("a valid suite");
    let key = expand(engine, suite, &[], key);
    let mut buffer = [data, &vec![0; mac.icv_len()]].concat();
    let layout = Layout { nonce: [0; 16], cipher: 0..data.len(), tag_at: data.len(), esn_high: None };
    let job = Job::with_layout(&key, &mut buffer, &[], layout);
    assert_eq!(run(engine, job, |context, jobs| context.seal(jobs)), Status::Ok);
    buffer.split_off(data.len())
}

/// CBC of a cipher with an IV, whatever the MAC; checks that opening reverses it.
pub(crate) fn cbc(engine: &dyn Backend, encryption: u16, key: &[u8], iv: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let bits = if encryption == 12 { u16::try_from(8 * key.len()).expect("a short key") } else { 0 };
    let suite = Suite::from_transforms(encryption, bits, 2).expect("a known cipher");
    let key = expand(engine, suite, key, &[7; 20]);
    let mut nonce = [0; 16];
    nonce[..iv.len()].copy_from_slice(iv);
    let tag_at = plaintext.len();
    let layout = Layout { nonce, cipher: 0..tag_at, tag_at, esn_high: None };
    let mut buffer = [plaintext, &[0; 12]].concat();
    let job = Job::with_layout(&key, &mut buffer, &[], layout.clone());
    assert_eq!(run(engine, job, |context, jobs| context.seal(jobs)), Status::Ok);
    let ciphertext = buffer[..tag_at].to_vec();
    let job = Job::with_layout(&key, &mut buffer, &[], layout);
    assert_eq!(run(engine, job, |context, jobs| context.open(jobs)), Status::Ok);
    assert_eq!(&buffer[..tag_at], plaintext);
    ciphertext
}

pub(crate) fn expand(engine: &dyn Backend, suite: Suite, encryption: &[u8], authentication: &[u8]) -> Key {
    let material = KeyMaterial { encryption, authentication };
    engine.expand(suite, &material, &heap()).expect("key material of the right length")
}

fn run(engine: &dyn Backend, job: Job<'_>, f: fn(&mut dyn Context, &mut [Job<'_>])) -> Status {
    let mut context = engine.context().expect("a context");
    let mut jobs = [job];
    f(&mut *context, &mut jobs);
    jobs[0].status()
}
