//! A second implementation of LS1, written from `docs/envelope.md` on top of aws-lc-rs, and nothing
//! of `labseal`. It seals only, and asks for no errors: it is the other side of frozen cases.

#![allow(dead_code)] // Each test uses a part.

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf, hmac,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

pub struct Class<'a> {
    pub tenant: &'a str,
    pub id: &'a str,
}

fn tuple(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![parts.len() as u8];
    for part in parts {
        bytes.extend((part.len() as u16).to_be_bytes());
        bytes.extend(*part);
    }
    bytes
}

struct Bytes32;

impl hkdf::KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}

pub fn kdf(ring: &[u8; 32], label: &str, class: &Class) -> [u8; 32] {
    let context = tuple(&[class.tenant.as_bytes(), class.id.as_bytes()]);
    let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, ring);
    let parts = [b"labseal/v1\0", label.as_bytes(), &context];
    let mut key = [0; 32];
    prk.expand(&parts, Bytes32).unwrap().fill(&mut key).unwrap();
    key
}

fn mac(key: [u8; 32], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text).as_ref().to_vec()
}

/// The tokens of a ladder: `rungs` are names and normal forms, coarse to fine.
pub fn tokens(index_ring: &[u8; 32], class: &Class, rungs: &[(&str, &[u8])]) -> String {
    let mut text = String::new();
    for (name, form) in rungs {
        let tag = mac(kdf(index_ring, "rung", class), &tuple(&[name.as_bytes(), form]));
        for i in 0..12 {
            let five = (0..5).fold(0, |bits, j| {
                let at = i * 5 + j;
                bits << 1 | usize::from(tag[at / 8] >> (7 - at % 8) & 1)
            });
            text.push(char::from(b"abcdefghijklmnopqrstuvwxyz234567"[five]));
        }
    }
    text
}

/// What a value is bound to: nothing, or a record by the name of its collection and its key.
pub fn record(bound: Option<(&str, &[u8])>) -> Vec<u8> {
    bound.map(|(collection, key)| tuple(&[collection.as_bytes(), key])).unwrap_or_default()
}

/// Seals. `ladder` is empty or rungs and tokens; without a nonce the value makes it (mode d).
/// `record` is empty without the flag R.
// Every part of the format is named by whoever calls.
#[allow(clippy::too_many_arguments)]
pub fn seal(
    ring: &[u8; 32],
    class: &Class,
    mode: char,
    ladder: &str,
    flags: u8,
    nonce: Option<[u8; 12]>,
    record: &[u8],
    (kind, value): (u8, &[u8]),
) -> String {
    let mut text = [&[kind], value].concat();
    let nonce = nonce.unwrap_or_else(|| {
        mac(kdf(ring, "nonce-d", class), &tuple(&[&text]))[..12].try_into().unwrap()
    });
    if flags & 4 != 0 {
        text.push(0x80);
        let step = match text.len() {
            0..=256 => 16,
            // PADMÉ: e = floor(log2 L), s = floor(log2 e) + 1, the last e - s bits are zero.
            long => {
                let e = (long as f64).log2().floor();
                2_usize.pow((e - (e.log2().floor() + 1.0)) as u32)
            }
        };
        while text.len() % step != 0 {
            text.push(0);
        }
    }
    let kid = &kdf(ring, "kid", class)[..5];
    let head = format!("{mode}{ladder}");
    let aad = [b"LS1", head.as_bytes(), &[flags], kid, &tuple(&[record, b""])].concat();
    let key = kdf(ring, &format!("enc-{mode}"), class);
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &key).unwrap());
    cipher
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&aad), &mut text)
        .unwrap();
    let header = [&[flags], kid, &nonce[..]].concat();
    let mut commitment = Vec::new();
    if flags & 8 != 0 {
        let so_far = format!("ls1{head}{}", URL_SAFE_NO_PAD.encode(&header));
        commitment = mac(kdf(ring, "com", class), &[so_far.as_bytes(), &aad].concat());
        commitment.truncate(16);
    }
    let body = [header, commitment, text].concat();
    format!("ls1{head}{}", URL_SAFE_NO_PAD.encode(body))
}
