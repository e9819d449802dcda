//! What is looked for, computed by the parent: known secrets, and what the documented derivations make of
//! them, on top of aws-lc-rs.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde_json::Value;

/// Secrets by name.
pub type Secrets = Vec<(String, Vec<u8>)>;

fn named<const N: usize>(secrets: [(&str, Vec<u8>); N]) -> Secrets {
    secrets.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

pub const TENANT: &str = "lab-a";
pub const CLASS: &str = "c-hiv";

pub fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/keys/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Bytes that stand nowhere else.
fn made_up(name: &str) -> Vec<u8> {
    let key = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    key.as_ref().to_vec()
}

struct Bytes32;

impl hkdf::KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}

fn kdf(key: &[u8], label: &str, ctx: &[&str]) -> Vec<u8> {
    let mut tuple = vec![ctx.len() as u8];
    for part in ctx {
        tuple.extend((part.len() as u16).to_be_bytes());
        tuple.extend(part.as_bytes());
    }
    let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, key);
    let mut derived = [0; 32];
    let parts = [b"labseal/v1\0", label.as_bytes(), &tuple];
    prk.expand(&parts, Bytes32).unwrap().fill(&mut derived).unwrap();
    derived.to_vec()
}

/// What an HMAC-SHA256 keeps instead of its key, as words lie in memory: as good as the key.
fn keyed_state(key: &[u8]) -> Vec<u8> {
    let mut block = [0x36; 64];
    block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
    let mut state = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];
    sha2::block_api::compress256(&mut state, &[block]);
    state.iter().flat_map(|word: &u32| word.to_ne_bytes()).collect()
}

pub fn of_keys() -> Secrets {
    let (root, ring) = (made_up("root"), made_up("ring"));
    let class = |label| kdf(&ring, label, &[TENANT, CLASS]);
    named([
        ("enc-r", class("enc-r")),
        ("enc-s", class("enc-s")),
        ("enc-d", class("enc-d")),
        ("nonce-d", class("nonce-d")),
        ("nonce-d-state", keyed_state(&class("nonce-d"))),
        ("rung", class("rung")),
        ("rung-state", keyed_state(&class("rung"))),
        ("com", class("com")),
        ("com-state", keyed_state(&class("com"))),
        ("ring-state", keyed_state(&ring)),
        ("wrap", kdf(&root, "wrap", &[])),
        ("wrap-commit", kdf(&root, "wrap-commit", &[])),
        ("log-mac", kdf(&root, "log-mac", &[])),
        ("log-mac-state", keyed_state(&kdf(&root, "log-mac", &[]))),
        ("root-state", keyed_state(&root)),
        ("root", root),
        ("ring", ring),
    ])
}

/// Passphrase and slot of the frozen root key file.
fn frozen_root() -> (Vec<u8>, [Vec<u8>; 2], Vec<u8>) {
    let passphrase = std::fs::read(fixture("passphrase.txt")).unwrap();
    let passphrase = passphrase.trim_ascii_end().to_vec();
    let file: Value = serde_json::from_slice(&std::fs::read(fixture("root.key")).unwrap()).unwrap();
    let slot = &file["slots"]["passphrase"];
    let text = |name: &str| BASE64.decode(slot[name].as_str().unwrap()).unwrap();
    let mut keys = [0; 64];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(65_536, 3, 4, Some(64)).unwrap())
        .hash_password_into(&passphrase, &text("salt"), &mut keys)
        .unwrap();
    let (wrap, commitment) = keys.split_at(32);
    let root = unwrap(wrap, &text("wrapped"), b"labseal/v1 root key file: passphrase");
    (passphrase, [wrap.to_vec(), commitment.to_vec()], root)
}

/// `alg[1] nonce[12] ct[32] tag[16] commitment[32]`
fn unwrap(key: &[u8], wrapped: &[u8], aad: &[u8]) -> Vec<u8> {
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, key).unwrap());
    let nonce = Nonce::assume_unique_for_key(wrapped[1..13].try_into().unwrap());
    let mut text = wrapped[13..61].to_vec();
    cipher.open_in_place(nonce, Aad::from(aad), &mut text).unwrap().to_vec()
}

pub fn of_passphrase() -> Secrets {
    let (passphrase, [wrap, commitment], root) = frozen_root();
    named([
        ("passphrase", passphrase),
        ("stretched-wrap", wrap),
        ("stretched-commitment", commitment),
        ("root", root),
    ])
}

/// An escrow key, and two shares of which it takes two.
pub fn of_escrow() -> Secrets {
    let key = made_up("escrow");
    let mut secrets: Secrets = blahaj::Sharks(2)
        .dealer(&key)
        .take(2)
        .map(|share| (format!("share-{}", share.x.0), Vec::from(&share)[1..].to_vec()))
        .collect();
    let derived = ["wrap", "escrow-commit", "escrow-check"];
    for label in derived {
        secrets.push((label.to_owned(), kdf(&key, label, &[])));
        secrets.push((format!("{label}-state"), keyed_state(&kdf(&key, label, &[]))));
    }
    secrets.push(("escrow-key".to_owned(), key));
    secrets
}

/// A value, and the form of it that a search token is made of.
pub fn of_values() -> Secrets {
    let value = b"SVENSSON-4711-hiv-POSITIVE-2026-11-27-0123456789".to_vec();
    let folded = value.to_ascii_lowercase();
    named([("value", value), ("folded", folded)])
}

/// The frozen key store: everything between the passphrase and the keys of classes.
pub fn of_store() -> Secrets {
    let (passphrase, [wrap, commitment], root) = frozen_root();
    let uri = format!("file:{}?immutable=1", fixture("labseal.db"));
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_URI;
    let store = rusqlite::Connection::open_with_flags(uri, flags).unwrap();
    let mut bodies = store.prepare("SELECT body FROM key_log ORDER BY epoch").unwrap();
    let bodies = bodies.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    let bodies: Vec<Value> =
        bodies.map(|body| serde_json::from_slice(&body.unwrap()).unwrap()).collect();
    let genesis = &bodies[0]["op"]["genesis"];
    let wrapping = kdf(&root, "wrap", &[]);
    let mut secrets = Vec::new();
    for op in bodies.iter().map(|body| &body["op"]["key"]).filter(|op| op.is_object()) {
        let version = op["version"].to_string();
        let mut place = Vec::new();
        for part in [
            "labseal/v1 ring key",
            genesis["instance"].as_str().unwrap(),
            genesis["tenant"].as_str().unwrap(),
            op["ring"].as_str().unwrap(),
            &version,
        ] {
            place.extend((part.len() as u64).to_be_bytes());
            place.extend(part.as_bytes());
        }
        let wrapped = BASE64.decode(op["wrapped"].as_str().unwrap()).unwrap();
        let ring = unwrap(&wrapping, &wrapped, &place);
        let name = format!("{}-{version}", op["ring"].as_str().unwrap());
        let labels = match &*name {
            "data-1" | "data-2" => [("enc-r", "c-note"), ("enc-r", "c-res"), ("enc-s", "c-name")],
            "index-1" => [("enc-d", "c-mrn"), ("nonce-d", "c-mrn"), ("rung", "c-name")],
            other => panic!("{other}"),
        };
        for (label, class) in labels {
            let key = kdf(&ring, label, &["frozen-lab", class]);
            secrets.push((format!("{name}-{label}-{class}-state"), keyed_state(&key)));
            secrets.push((format!("{name}-{label}-{class}"), key));
        }
        secrets.push((name, ring));
    }
    assert_eq!(secrets.len(), 3 * 7);
    secrets.extend(named([
        ("passphrase", passphrase),
        ("stretched-wrap", wrap),
        ("stretched-commitment", commitment),
        ("root", root),
        ("wrap", wrapping),
    ]));
    secrets
}
