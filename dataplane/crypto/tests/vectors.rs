//! Published vectors, each engine, both directions.

mod common;

use common::{Aead, bytes, engines, vectors};
use crypto::{Integrity, Status};
use serde::Deserialize;

#[derive(Deserialize)]
struct GcmVector {
    name: String,
    #[serde(deserialize_with = "bytes")]
    key: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    nonce: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    aad: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    plaintext: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    ciphertext: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    tag: Vec<u8>,
}

#[derive(Deserialize)]
struct CbcVector {
    name: String,
    cipher: String,
    #[serde(deserialize_with = "bytes")]
    key: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    iv: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    plaintext: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    ciphertext: Vec<u8>,
}

#[derive(Deserialize)]
struct MacVector {
    name: String,
    algorithm: String,
    #[serde(deserialize_with = "bytes")]
    key: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    data: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    tag: Vec<u8>,
}

#[test]
fn aes_gcm() {
    for file in ["aes_gcm.json", "aes_gcm_esp.json"] {
        for vector in vectors::<GcmVector>(file) {
            for engine in engines() {
                check_gcm(engine, &vector);
            }
        }
    }
}

fn check_gcm(engine: &dyn crypto::Backend, vector: &GcmVector) {
    let context = format!("{} on {}", vector.name, engine.name());
    let gcm = Aead { encryption: 20, key: &vector.key, nonce: &vector.nonce, aad: &vector.aad };
    let (ciphertext, tag) = gcm.seal(engine, &vector.plaintext);
    assert_eq!((&ciphertext, &tag), (&vector.ciphertext, &vector.tag), "{context}");
    let opened = gcm.open(engine, &ciphertext, &tag);
    assert_eq!(opened, (Status::Ok, vector.plaintext.clone()), "{context}");
}

/// The draft's packets as packets: header, IV, ciphertext, ICV.
#[test]
fn aes_gcm_in_esp() {
    for vector in vectors::<GcmVector>("aes_gcm_esp.json") {
        for engine in engines() {
            check_esp(engine, &vector);
        }
    }
}

fn check_esp(engine: &dyn crypto::Backend, vector: &GcmVector) {
    let context = format!("{} on {}", vector.name, engine.name());
    let suite = crypto::Suite::from_transforms(20, u16::try_from(8 * vector.key.len()).expect("short"), 0);
    let (salt, iv) = vector.nonce.split_at(4);
    let key = common::expand(engine, suite.expect("a suite"), &[&vector.key, salt].concat(), &[]);
    // SPI, then the low half of the sequence number; with ESN the high half is between them.
    let (esn_high, low) = match *vector.aad {
        [_, _, _, _, a, b, c, d, ref low @ ..] if low.len() == 4 => {
            (Some(u32::from_be_bytes([a, b, c, d])), low)
        }
        _ => (None, &vector.aad[4..]),
    };
    let header = [&vector.aad[..4], low].concat();
    let plain = [&*header, iv, &vector.plaintext, &[0; 16]].concat();
    let sealed = [&*header, iv, &vector.ciphertext, &vector.tag].concat();
    let mut packet = plain.clone();
    let mut worker = engine.context().expect("a context");
    let mut jobs = [crypto::Job::encap(&key, &mut packet, esn_high)];
    worker.seal(&mut jobs);
    assert_eq!(jobs[0].status(), Status::Ok, "{context}");
    assert_eq!(packet, sealed, "{context}");
    let mut jobs = [crypto::Job::decap(&key, &mut packet, esn_high)];
    worker.open(&mut jobs);
    assert_eq!(jobs[0].status(), Status::Ok, "{context}");
    let tag_at = packet.len() - 16;
    assert_eq!(packet[..tag_at], plain[..tag_at], "{context}");
}

/// RFC 3686 section 6, test vector 1: "Single block msg".
#[test]
fn aes_ctr() {
    let suite = crypto::Suite::from_transforms(13, 128, 2).expect("a suite");
    let hex = |text| hex::decode(text).expect("hexadecimal");
    let (key, nonce) = (hex("ae6852f8121067cc4bf7a5765577f39e"), hex("00000030"));
    let header = hex("01020304000000050000000000000000");
    let plain = [&*header, b"Single block msg", &[0; 12]].concat();
    for engine in engines() {
        let key = common::expand(engine, suite, &[&*key, &nonce].concat(), &[7; 20]);
        let mut packet = plain.clone();
        let mut worker = engine.context().expect("a context");
        let mut jobs = [crypto::Job::encap(&key, &mut packet, None)];
        worker.seal(&mut jobs);
        assert_eq!(jobs[0].status(), Status::Ok, "{}", engine.name());
        assert_eq!(packet[16..32], hex("e4095d4fb7a7b3792d6175a3261311b8"), "{}", engine.name());
    }
}

/// RFC 7634 appendix A, the whole ESP packet.
#[test]
fn chacha20_poly1305_in_esp() {
    let suite = crypto::Suite::from_transforms(28, 0, 0).expect("a suite");
    let hex = |text| hex::decode(text).expect("hexadecimal");
    let material: Vec<u8> = (0x80..0xa4).collect();
    let header = hex("01020304000000051011121314151617");
    let inner = hex(concat!(
        "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f1011121314",
        "15161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363701020204"
    ));
    let body = hex(concat!(
        "24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d52844eb61aa95dfab4c02f72aa7",
        "1e7c4c4f64c9befe2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e0",
        "76aaa8266b7fb0f7b11b369907e1ad43"
    ));
    for engine in engines() {
        let key = common::expand(engine, suite, &material, &[]);
        let mut packet = [&*header, &inner, &[0; 16]].concat();
        let mut worker = engine.context().expect("a context");
        let mut jobs = [crypto::Job::encap(&key, &mut packet, None)];
        worker.seal(&mut jobs);
        assert_eq!(jobs[0].status(), Status::Ok, "{}", engine.name());
        assert_eq!(packet, [&*header, &body].concat(), "{}", engine.name());
    }
}

#[test]
fn cbc() {
    for vector in vectors::<CbcVector>("cbc.json") {
        let encryption = match vector.cipher.as_str() {
            "DES-CBC" => 2,
            "3DES-CBC" => 3,
            "AES-CBC" => 12,
            other => panic!("unknown cipher {other}"),
        };
        for engine in engines() {
            let made = common::cbc(engine, encryption, &vector.key, &vector.iv, &vector.plaintext);
            assert_eq!(made, vector.ciphertext, "{} on {}", vector.name, engine.name());
        }
    }
}

#[test]
fn hmac() {
    for vector in vectors::<MacVector>("hmac.json") {
        let mac = match vector.algorithm.as_str() {
            "HMAC-MD5" => Integrity::HmacMd5,
            "HMAC-SHA1" => Integrity::HmacSha1,
            "HMAC-SHA2-256" => Integrity::HmacSha256,
            "HMAC-SHA2-384" => Integrity::HmacSha384,
            "HMAC-SHA2-512" => Integrity::HmacSha512,
            other => panic!("unknown algorithm {other}"),
        };
        for engine in engines() {
            let made = common::mac(engine, mac, &vector.key, &vector.data);
            assert_eq!(made, vector.tag[..mac.icv_len()], "{} on {}", vector.name, engine.name());
        }
    }
}
