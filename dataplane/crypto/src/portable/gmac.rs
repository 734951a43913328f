//! AES-GMAC: GCM that encrypts nothing; all of the packet is additional data (RFC 4543 section 3).

use aes::{
    Aes128, Aes192, Aes256,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use ghash::{Block, GHash, universal_hash::UniversalHash};
use subtle::ConstantTimeEq;

use crate::job::{Job, Status};

/// Bytes of explicit IV, in front of the payload.
const IV: usize = 8;
/// SPI, extended sequence number and IV, in whole blocks.
const HEAD: usize = 32;

/// Round keys and hash key.
pub(crate) struct GmacKey {
    cipher: BlockKey,
    hash: GHash,
}

enum BlockKey {
    Aes128(Aes128),
    Aes192(Aes192),
    Aes256(Aes256),
}

impl GmacKey {
    /// From 16, 24 or 32 bytes.
    pub(super) fn new(key: &[u8]) -> GmacKey {
        const CHECKED: &str = "the length was checked against the suite";
        let cipher = match key.len() {
            16 => BlockKey::Aes128(Aes128::new_from_slice(key).expect(CHECKED)),
            24 => BlockKey::Aes192(Aes192::new_from_slice(key).expect(CHECKED)),
            _ => BlockKey::Aes256(Aes256::new_from_slice(key).expect(CHECKED)),
        };
        let mut hash_key = ghash::Key::default();
        cipher.encrypt(&mut hash_key);
        let hash = GHash::new(&hash_key);
        GmacKey { cipher, hash }
    }

    pub(super) fn seal(&self, job: &mut Job<'_>) -> Status {
        let made = self.tag(job);
        job.parts().1.copy_from_slice(&made);
        Status::Ok
    }

    pub(super) fn open(&self, job: &mut Job<'_>) -> Status {
        let made = self.tag(job);
        match job.parts().1.ct_eq(&made).into() {
            true => Status::Ok,
            false => Status::AuthFailed,
        }
    }

    /// The tag of SPI, sequence number, IV and payload.
    fn tag(&self, job: &mut Job<'_>) -> Block {
        let (nonce, (aad, aad_len)) = (job.nonce(), job.aad().bytes());
        let aad = &aad[..aad_len];
        let start = job.encrypted().start - IV;
        let body = &job.parts().0[start..];
        // 1. Whole blocks of what is in two places, then the rest of the packet.
        let mut head = [0; HEAD];
        let (joined, rest) = body.split_at(body.len().min(HEAD - aad.len()));
        head[..aad.len()].copy_from_slice(aad);
        head[aad.len()..][..joined.len()].copy_from_slice(joined);
        let mut hash = self.hash.clone();
        hash.update_padded(&head[..aad.len() + joined.len()]);
        hash.update_padded(rest);
        // 2. Lengths in bits: all of it is additional data.
        let mut lengths = Block::default();
        lengths[..8].copy_from_slice(&(8 * (aad.len() + body.len()) as u64).to_be_bytes());
        hash.update(&[lengths]);
        let mut tag = hash.finalize();
        // 3. Masked with the encrypted first counter.
        let mut mask = Block::default();
        mask[..12].copy_from_slice(&nonce[..12]);
        mask[15] = 1;
        self.cipher.encrypt(&mut mask);
        tag.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        tag
    }
}

impl BlockKey {
    fn encrypt(&self, block: &mut Block) {
        match self {
            BlockKey::Aes128(key) => key.encrypt_block(block),
            BlockKey::Aes192(key) => key.encrypt_block(block),
            BlockKey::Aes256(key) => key.encrypt_block(block),
        }
    }
}
