//! The ciphers and derivations underneath the envelope, against published vectors and against a
//! second implementation: RFC 8452 appendix C, Wycheproof, aws-lc-rs.

use aes_gcm_siv::{Aes256GcmSiv, KeyInit as _, aead::AeadInOut as _};
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use hkdf::Hkdf;
use proptest::prelude::*;
use serde::Deserialize;
use sha2::Sha256;
use wycheproof::{TestResult, aead, hkdf as hkdf_tests};

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// Ciphertext ‖ tag.
fn seal(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], text: &[u8]) -> Vec<u8> {
    let mut bytes = text.to_vec();
    let cipher = Aes256GcmSiv::new(key.into());
    let tag =
        cipher.encrypt_inout_detached(nonce.into(), aad, bytes.as_mut_slice().into()).unwrap();
    bytes.extend_from_slice(&tag);
    bytes
}

fn open(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (ct, tag) = sealed.split_last_chunk::<16>()?;
    let mut bytes = ct.to_vec();
    let cipher = Aes256GcmSiv::new(key.into());
    cipher
        .decrypt_inout_detached(nonce.into(), aad, bytes.as_mut_slice().into(), tag.into())
        .ok()?;
    Some(bytes)
}

#[derive(Deserialize)]
struct Rfc8452 {
    appendix: String,
    key: String,
    nonce: String,
    aad: String,
    plaintext: String,
    result: String,
}

#[test]
fn the_cipher_agrees_with_rfc_8452_appendix_c() {
    let cases: Vec<Rfc8452> =
        serde_json::from_str(include_str!("fixtures/rfc8452/aes256.json")).unwrap();
    let wraps = cases.iter().filter(|case| case.appendix == "C.3").count();
    assert_eq!((cases.len(), wraps), (26, 2));
    for case in &cases {
        let key = unhex(&case.key).try_into().unwrap();
        let nonce = unhex(&case.nonce).try_into().unwrap();
        let (aad, text) = (unhex(&case.aad), unhex(&case.plaintext));
        let sealed = seal(&key, &nonce, &aad, &text);
        assert_eq!(sealed, unhex(&case.result), "{} {}", case.appendix, case.plaintext);
        assert_eq!(open(&key, &nonce, &aad, &sealed), Some(text));
    }
}

#[test]
fn the_cipher_passes_wycheproof() {
    let set = aead::TestSet::load(aead::TestName::AesGcmSiv).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in set.test_groups.iter().filter(|group| group.key_size == 256) {
        for test in &group.tests {
            let key = test.key.as_slice().try_into().unwrap();
            let Ok(nonce) = <[u8; 12]>::try_from(test.nonce.as_slice()) else {
                panic!("a nonce of another length in test {}", test.tc_id);
            };
            let sealed = [test.ct.as_slice(), test.tag.as_slice()].concat();
            let opened = open(&key, &nonce, &test.aad, &sealed);
            match test.result {
                TestResult::Valid | TestResult::Acceptable => {
                    assert_eq!(opened.as_deref(), Some(test.pt.as_slice()), "{}", test.tc_id);
                    assert_eq!(seal(&key, &nonce, &test.aad, &test.pt), sealed, "{}", test.tc_id);
                    valid += 1;
                }
                TestResult::Invalid => {
                    assert_eq!(opened, None, "{}", test.tc_id);
                    invalid += 1;
                }
            }
        }
    }
    assert_eq!((valid, invalid), (69, 34));
}

#[test]
fn the_derivation_passes_wycheproof() {
    let set = hkdf_tests::TestSet::load(hkdf_tests::TestName::HkdfSha256).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let mut output = vec![0; test.size];
        let expanded =
            Hkdf::<Sha256>::new(Some(&test.salt), &test.ikm).expand(&test.info, &mut output);
        match test.result {
            TestResult::Valid | TestResult::Acceptable => {
                assert!(expanded.is_ok() && output == test.okm.as_slice(), "{}", test.tc_id);
                valid += 1;
            }
            TestResult::Invalid => {
                assert!(expanded.is_err(), "{}", test.tc_id);
                invalid += 1;
            }
        }
    }
    assert_eq!((valid, invalid), (83, 3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn two_implementations_of_the_cipher_agree(
        key: [u8; 32],
        nonce: [u8; 12],
        aad in prop::collection::vec(any::<u8>(), 0..80),
        text in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let sealed = seal(&key, &nonce, &aad, &text);
        let other = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &key).unwrap());
        let mut theirs = text.clone();
        let nonce_of = || Nonce::assume_unique_for_key(nonce);
        other.seal_in_place_append_tag(nonce_of(), Aad::from(&aad), &mut theirs).unwrap();
        prop_assert_eq!(&theirs, &sealed);
        prop_assert_eq!(open(&key, &nonce, &aad, &theirs), Some(text.clone()));
        let mut ours = sealed;
        let opened = other.open_in_place(nonce_of(), Aad::from(&aad), &mut ours).unwrap();
        prop_assert_eq!(opened, &text[..]);
    }
}

/// RustCrypto wipes only what its features say, and `aes-gcm-siv` does not pass its own on.
#[test]
fn every_crate_that_holds_keys_wipes_them() {
    let manifest = include_str!("../Cargo.toml");
    for name in ["aes", "aes-gcm-siv", "argon2", "hmac", "polyval", "sha2"] {
        let start = format!("{name} = {{");
        let line = manifest.lines().find(|line| line.starts_with(&start)).unwrap_or(name);
        assert!(line.contains("\"zeroize\""), "{name} must have the feature zeroize");
    }
}
