//! A block cipher in CBC or counter mode, then a MAC over header, IV and ciphertext (RFC 4303 section 3.3.2).

use aes::{Aes128, Aes192, Aes256};
use cbc::{
    Decryptor, Encryptor,
    cipher::{
        Array, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit,
        KeyInit, StreamCipherCore, consts::U16,
    },
};
use ctr::{CtrCore, flavors::Ctr32BE};
use des::{Des, TdesEde3};

use super::mac::MacKey;
use crate::{
    job::{Job, Status},
    suite::{Cipher, Integrity, Mode},
};

/// Both keys of a suite.
pub(crate) struct EtmKey {
    cipher: BlockKey,
    mode: Mode,
    mac: MacKey,
}

/// Round keys, for both directions.
enum BlockKey {
    Null,
    Des(Des),
    TripleDes(TdesEde3),
    Aes128(Aes128),
    Aes192(Aes192),
    Aes256(Aes256),
}

#[derive(Clone, Copy)]
enum Direction {
    Encrypt,
    Decrypt,
}

impl EtmKey {
    /// Key lengths are checked.
    pub(super) fn new(cipher: Cipher, encryption: &[u8], mac: Integrity, authentication: &[u8]) -> EtmKey {
        EtmKey {
            cipher: BlockKey::new(cipher, encryption),
            mode: cipher.mode(),
            mac: MacKey::new(mac, authentication),
        }
    }

    pub(super) fn seal(&self, job: &mut Job<'_>) -> Status {
        self.crypt(Direction::Encrypt, job);
        let (esn_high, esn_len) = job.aad().bytes();
        let (data, tag) = job.parts();
        self.mac.write(data, &esn_high[..esn_len], tag);
        Status::Ok
    }

    pub(super) fn open(&self, job: &mut Job<'_>) -> Status {
        let (esn_high, esn_len) = job.aad().bytes();
        let (data, tag) = job.parts();
        if !self.mac.verify(data, &esn_high[..esn_len], tag) {
            return Status::AuthFailed;
        }
        self.crypt(Direction::Decrypt, job);
        Status::Ok
    }
}

impl EtmKey {
    fn crypt(&self, direction: Direction, job: &mut Job<'_>) {
        let (nonce, encrypted) = (job.nonce(), job.encrypted());
        let data = &mut job.parts().0[encrypted];
        match self.mode {
            Mode::Ctr => self.cipher.count(&nonce, data),
            _ => self.cipher.chain(direction, &nonce, data),
        }
    }
}

impl BlockKey {
    fn new(cipher: Cipher, key: &[u8]) -> BlockKey {
        const CHECKED: &str = "the length was checked against the suite";
        match cipher {
            Cipher::Des => BlockKey::Des(Des::new_from_slice(key).expect(CHECKED)),
            Cipher::TripleDes => BlockKey::TripleDes(TdesEde3::new_from_slice(key).expect(CHECKED)),
            Cipher::AesCbc128 | Cipher::AesCtr128 => {
                BlockKey::Aes128(Aes128::new_from_slice(key).expect(CHECKED))
            }
            Cipher::AesCbc192 | Cipher::AesCtr192 => {
                BlockKey::Aes192(Aes192::new_from_slice(key).expect(CHECKED))
            }
            Cipher::AesCbc256 | Cipher::AesCtr256 => {
                BlockKey::Aes256(Aes256::new_from_slice(key).expect(CHECKED))
            }
            _ => BlockKey::Null,
        }
    }

    /// CBC: works in place on whole blocks.
    fn chain(&self, direction: Direction, iv: &[u8; 16], data: &mut [u8]) {
        match self {
            BlockKey::Null => {}
            BlockKey::Des(cipher) => cbc(cipher, direction, iv, data),
            BlockKey::TripleDes(cipher) => cbc(cipher, direction, iv, data),
            BlockKey::Aes128(cipher) => cbc(cipher, direction, iv, data),
            BlockKey::Aes192(cipher) => cbc(cipher, direction, iv, data),
            BlockKey::Aes256(cipher) => cbc(cipher, direction, iv, data),
        }
    }

    /// Counter mode: the same in both directions, of any length.
    fn count(&self, first: &[u8; 16], data: &mut [u8]) {
        match self {
            BlockKey::Null | BlockKey::Des(_) | BlockKey::TripleDes(_) => {}
            BlockKey::Aes128(cipher) => ctr32(cipher, first, data),
            BlockKey::Aes192(cipher) => ctr32(cipher, first, data),
            BlockKey::Aes256(cipher) => ctr32(cipher, first, data),
        }
    }
}

/// Adds the key stream from counter block `first` on; the counter is its last 4 bytes (RFC 3686 section 4).
fn ctr32<C: BlockCipherEncrypt<BlockSize = U16>>(cipher: &C, first: &[u8; 16], data: &mut [u8]) {
    CtrCore::<&C, Ctr32BE>::inner_iv_init(cipher, &Array(*first)).apply_keystream_partial(data.into());
}

fn cbc<C: BlockCipherEncrypt + BlockCipherDecrypt>(
    cipher: &C,
    direction: Direction,
    iv: &[u8; 16],
    data: &mut [u8],
) {
    let (blocks, _none) = Array::slice_as_chunks_mut(data);
    let mut first = Array::<u8, C::BlockSize>::default();
    let len = first.len();
    first.copy_from_slice(&iv[..len]);
    match direction {
        Direction::Encrypt => Encryptor::inner_iv_init(cipher, &first).encrypt_blocks(blocks),
        Direction::Decrypt => Decryptor::inner_iv_init(cipher, &first).decrypt_blocks(blocks),
    }
}
