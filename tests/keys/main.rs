//! Keys from outside: contracts of stores and providers, what a log refuses, rotation under
//! competition and sudden death, and what a snapshot does.

// Tests may.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod aws_kms;
mod committed;
mod crash;
mod frozen;
#[path = "../kit/mod.rs"]
mod kit;
mod life;
mod log;
mod pkcs11;
mod provider;
mod replica;
mod rig;
mod root;
mod rotation;
mod snapshot;
mod store;

use std::{path::Path, sync::Arc};

use labseal::{
    base::{
        class::{ClassParams, Commitment, Equality, Mode, Rung, ValueType, Years},
        clock::SystemClock,
        ident::{ClassId, Tenant},
        secret::SecretKey,
    },
    crypto::Typed,
    keys::{
        Keys, KeysError, Opened, Snapshot, StoreAddress, memory::MemoryProvider, store::Settings,
    },
};

fn provider() -> MemoryProvider {
    MemoryProvider::new(SecretKey::new([7; 32]))
}

fn tenant() -> Tenant {
    Tenant::new("main")
}

fn settings(address: &str, folder: &Path) -> Settings {
    Settings { address: address.to_owned(), folder: folder.to_owned(), password: None, tls: None }
}

fn sqlite(folder: &Path) -> StoreAddress {
    StoreAddress::parse(&settings("sqlite:labseal.db", folder)).unwrap()
}

/// A database of its own on a real server, with the mark in `folder`.
fn postgres(folder: &Path) -> StoreAddress {
    let database = kit::Postgres::shared().database("");
    StoreAddress::parse(&settings(&database.uri(), folder)).unwrap()
}

fn memory() -> StoreAddress {
    StoreAddress::Memory(Default::default())
}

fn create(address: &StoreAddress) -> Keys {
    let keys = Keys::create(address, &provider(), &tenant(), Arc::new(SystemClock)).unwrap();
    keys.register(&classes()).unwrap();
    keys
}

fn open(address: &StoreAddress) -> Result<Keys, KeysError> {
    Keys::open(address, &provider(), &tenant(), Arc::new(SystemClock))
}

fn class(id: &str, mode: Mode, ty: ValueType, rungs: &[Rung]) -> ClassParams {
    ClassParams {
        id: ClassId::new(id),
        mode,
        ty,
        rungs: rungs.to_vec(),
        equality: Equality::Exact,
        years: Years::ALL,
        commitment: Commitment::Absent,
    }
}

fn classes() -> Vec<ClassParams> {
    vec![
        class("c-mrn", Mode::Deterministic, ValueType::Text, &[]),
        class("c-name", Mode::Searchable, ValueType::Text, &[Rung::Ieq, Rung::Eq]),
        class("c-res", Mode::Random, ValueType::Numeric { precision: 12, scale: 4 }, &[]),
    ]
}

fn seal(keys: &Snapshot, class: &str, text: &str) -> String {
    let mut out = Vec::new();
    keys.seal(&ClassId::new(class), &Typed::from_text(text), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The text of an envelope that opens, else a word that says why there is none.
fn opened(keys: &Snapshot, envelope: &str) -> String {
    match keys.open(envelope.as_bytes()) {
        Opened::Fails { state: Some(state), .. } => format!("({state})"),
        Opened::Fails { state: None, .. } => "(fails)".to_owned(),
        Opened::Unavailable(why) => format!("({why:?})"),
        Opened::NotOurs => "(not ours)".to_owned(),
        Opened::Value { typed, .. } => String::from_utf8(typed.value.expose().to_vec()).unwrap(),
    }
}
