//! Wycheproof: edge cases of AES-GCM, ChaCha20-Poly1305, AES-CBC and HMAC, and inputs that must be refused.

mod common;

use common::{Aead, engines};
use crypto::{Integrity, Status};
use wycheproof::{TestResult, aead, cipher, mac};

#[test]
fn aes_gcm() {
    check_aead(aead::TestName::AesGcm, 20);
}

#[test]
fn chacha20_poly1305() {
    check_aead(aead::TestName::ChaCha20Poly1305, 28);
}

fn check_aead(name: aead::TestName, encryption: u16) {
    let set = aead::TestSet::load(name).expect("the test set");
    let groups = set.test_groups.iter().filter(|group| group.nonce_size == 96 && group.tag_size == 128);
    // ESP's additional data has 8 or 12 bytes: a job holds no more.
    let tests: Vec<_> = groups.flat_map(|group| &group.tests).filter(|test| test.aad.len() <= 12).collect();
    assert!(tests.len() > 100, "only {} apply", tests.len());
    for test in tests {
        for engine in engines() {
            let context = format!("test {} on {}: {}", test.tc_id, engine.name(), test.comment);
            let key = Aead { encryption, key: &test.key, nonce: &test.nonce, aad: &test.aad };
            let (status, opened) = key.open(engine, &test.ct, &test.tag);
            match test.result {
                TestResult::Valid | TestResult::Acceptable => {
                    assert_eq!((status, &opened[..]), (Status::Ok, &test.pt[..]), "{context}");
                    let sealed = key.seal(engine, &test.pt);
                    assert_eq!((&sealed.0[..], &sealed.1[..]), (&test.ct[..], &test.tag[..]), "{context}");
                }
                TestResult::Invalid => {
                    assert_eq!(status, Status::AuthFailed, "{context}");
                    assert!(opened.iter().all(|byte| *byte == 0), "plaintext is left: {context}");
                }
            }
        }
    }
}

#[test]
fn hmac() {
    let sets = [
        (mac::TestName::HmacSha1, Integrity::HmacSha1),
        (mac::TestName::HmacSha256, Integrity::HmacSha256),
        (mac::TestName::HmacSha384, Integrity::HmacSha384),
        (mac::TestName::HmacSha512, Integrity::HmacSha512),
    ];
    for (name, algorithm) in sets {
        let set = mac::TestSet::load(name).expect("the test set");
        // Our tags are shorter than the full ones and, but for SHA-1, half as long: a prefix of both.
        let groups = set.test_groups.iter().filter(|group| group.key_size == 8 * algorithm.key_len());
        let tests = groups.flat_map(|group| &group.tests);
        // A job has something to authenticate.
        let tests: Vec<_> = tests.filter(|test| !test.result.must_fail() && !test.msg.is_empty()).collect();
        assert!(tests.len() > 20, "only {} apply to {algorithm:?}", tests.len());
        for test in tests {
            for engine in engines() {
                let made = common::mac(engine, algorithm, &test.key, &test.msg);
                let len = made.len().min(test.tag.len());
                assert_eq!(made[..len], test.tag[..len], "test {} on {}", test.tc_id, engine.name());
            }
        }
    }
}

#[test]
fn aes_cbc() {
    let set = cipher::TestSet::load(cipher::TestName::AesCbcPkcs5).expect("the test set");
    for test in set.test_groups.iter().flat_map(|group| &group.tests).filter(|test| !test.result.must_fail())
    {
        // The vectors are padded as PKCS#7 says; padding is not this crate's business.
        let pad = 16 - test.pt.len() % 16;
        let padded = [&test.pt[..], &vec![u8::try_from(pad).expect("at most 16"); pad]].concat();
        for engine in engines() {
            let made = common::cbc(engine, 12, &test.key, &test.nonce, &padded);
            assert_eq!(made, test.ct[..], "test {} on {}", test.tc_id, engine.name());
        }
    }
}
