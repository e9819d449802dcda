//! What a key log refuses: every edit, by somebody without the root key and by somebody with it.

use std::{path::Path, sync::Arc};

use labseal::{
    base::{
        class::{ClassParams, Mode, Rung, ValueType, Years},
        clock::SystemClock,
        ident::{ClassId, Kid, Tenant},
        secret::SecretKey,
    },
    crypto::{RootKey, WrapError},
    keys::{
        Keys, KeysError, Ring, StoreAddress,
        entry::{Entry, KidText, Op, Record},
        log::LogError,
        mark::MarkError,
        memory::{MemoryProvider, MemoryStore},
        params::Span,
        ring::Illegal,
        store::Store as _,
    },
};

use super::{create, memory, open, provider, sqlite, tenant};

/// A good log: genesis, two keys and activations, three classes, one rotation.
fn records() -> Vec<Record> {
    let address = memory();
    create(&address).rotate(Ring::Data).unwrap();
    let records = address.open().unwrap().load(0).unwrap();
    assert_eq!(records.len(), 10);
    records
}

/// What opening these records gives.
fn refused(records: &[Record]) -> KeysError {
    let mut store = MemoryStore::default();
    let _ = store.append(records).unwrap();
    open(&StoreAddress::Memory(store)).err().expect("a bad log was accepted")
}

/// The same records, linked and authenticated anew, as only somebody with the root key could.
fn forged(edit: impl FnOnce(&mut Vec<Entry>)) -> Vec<Record> {
    let root = RootKey::from_secret(SecretKey::new([7; 32]));
    let parse = |record: &Record| serde_json::from_slice::<Entry>(&record.body).unwrap();
    let mut entries: Vec<Entry> = records().iter().map(parse).collect();
    let mut prev = entries[0].prev;
    edit(&mut entries);
    let link = |(epoch, mut entry): (usize, Entry)| {
        (entry.prev, entry.epoch) = (prev, epoch as u64);
        let body = serde_json::to_vec(&entry).unwrap();
        let mac = root.mac(&body);
        let record = Record { epoch: epoch as u64, body, mac };
        prev = record.hash();
        record
    };
    entries.into_iter().enumerate().map(link).collect()
}

fn illegal(records: &[Record]) -> Illegal {
    match refused(records) {
        KeysError::Log(LogError::Illegal { reason, .. }) => reason,
        other => panic!("{other}"),
    }
}

#[test]
fn a_forger_who_changes_nothing_is_not_noticed() {
    let mut store = MemoryStore::default();
    let _ = store.append(&forged(|_| ())).unwrap();
    open(&StoreAddress::Memory(store)).unwrap();
}

#[test]
fn an_edited_entry_is_refused_wherever_it_was_edited() {
    let good = records();
    let mut tried = 0;
    for at in 0..good.len() {
        for byte in 0..good[at].body.len() {
            let mut bad = good.clone();
            bad[at].body[byte] ^= 1;
            let error = refused(&bad);
            let expected = at as u64;
            assert!(
                matches!(error, KeysError::Log(LogError::Authenticator { epoch }) if epoch == expected),
                "{error}"
            );
            tried += 1;
        }
        let mut bad = good.clone();
        bad[at].mac[31] ^= 1;
        assert!(matches!(refused(&bad), KeysError::Log(LogError::Authenticator { .. })));
    }
    assert!(tried > 1_000);
}

#[test]
fn reordered_and_missing_entries_are_refused() {
    let good = records();
    let mut swapped = good.clone();
    swapped.swap(3, 4);
    assert!(matches!(refused(&swapped), KeysError::Log(LogError::Gap { expected: 3, found: 4 })));
    (swapped[3].epoch, swapped[4].epoch) = (3, 4);
    assert!(matches!(refused(&swapped), KeysError::Log(LogError::Chain { epoch: 3 })));
    let mut holed = good.clone();
    holed.remove(5);
    assert!(matches!(refused(&holed), KeysError::Log(LogError::Gap { expected: 5, found: 6 })));
    assert!(matches!(refused(&[]), KeysError::Log(LogError::Empty)));
}

#[test]
fn an_entry_of_another_history_under_the_same_root_key_is_refused() {
    let mut mixed = records();
    mixed[9] = records()[9].clone();
    assert!(matches!(refused(&mixed), KeysError::Log(LogError::Chain { epoch: 9 })));
}

#[test]
fn a_wrapped_key_in_the_place_of_another_is_refused_even_if_authenticated() {
    let swapped = forged(|entries| {
        let wrapped: Vec<(usize, Vec<u8>)> = entries
            .iter()
            .enumerate()
            .filter_map(|(at, entry)| match &entry.op {
                Op::Key { wrapped, .. } => Some((at, wrapped.clone())),
                _ => None,
            })
            .collect();
        for (target, source) in [(0, 1), (1, 0)] {
            if let Op::Key { wrapped: place, .. } = &mut entries[wrapped[target].0].op {
                place.clone_from(&wrapped[source].1);
            }
        }
    });
    let error = refused(&swapped);
    assert!(
        matches!(error, KeysError::Wrapped { source: WrapError::Commitment, version: 1, .. }),
        "{error}"
    );
}

#[test]
fn a_wrong_commitment_is_refused_even_if_authenticated() {
    let bad = forged(|entries| {
        let Op::Key { wrapped, .. } = &mut entries[1].op else { panic!("not a key") };
        *wrapped.last_mut().unwrap() ^= 1;
    });
    assert!(matches!(refused(&bad), KeysError::Wrapped { source: WrapError::Commitment, .. }));
}

#[test]
fn a_kid_that_its_key_does_not_give_is_refused_even_if_authenticated() {
    let bad = forged(|entries| {
        let Op::Class { kids, .. } = &mut entries[5].op else { panic!("not a class") };
        kids.values_mut().for_each(|kid| *kid = KidText(Kid([1; 5])));
    });
    assert!(matches!(refused(&bad), KeysError::Kid { epoch: 5, .. }));
}

#[test]
fn operations_that_the_state_does_not_allow_are_refused_even_if_authenticated() {
    let twice = forged(|entries| entries.insert(6, entries[5].clone()));
    assert!(matches!(illegal(&twice), Illegal::Class { .. }));
    let genesis = forged(|entries| entries.insert(3, entries[0].clone()));
    assert!(matches!(illegal(&genesis), Illegal::Genesis));
    let headless = forged(|entries| drop(entries.remove(0)));
    assert!(matches!(illegal(&headless), Illegal::Genesis));
    let again = forged(|entries| entries.push(entries[2].clone()));
    assert!(matches!(illegal(&again), Illegal::Activation { version: 1, .. }));
    let skipped = forged(|entries| {
        let Op::Key { version, .. } = &mut entries[8].op else { panic!("not a key") };
        *version = 3;
    });
    assert!(matches!(illegal(&skipped), Illegal::Version { version: 3, .. }));
    let unnamed = forged(|entries| {
        let Op::Key { kids, .. } = &mut entries[8].op else { panic!("not a key") };
        kids.pop_first();
    });
    assert!(matches!(illegal(&unnamed), Illegal::Kids));
    for (class, from, to) in [("c-name", 1, 9999), ("c-name", 1900, 2000), ("c-none", 1, 9999)] {
        let years = Span::new(Years::new(from, to).unwrap());
        let widened = forged(|entries| {
            let op = Op::Widen { class: class.to_owned(), years };
            entries.push(Entry { op, ..entries[0].clone() });
        });
        assert!(matches!(illegal(&widened), Illegal::Years { .. }));
    }
}

#[test]
fn the_years_of_a_class_grow_and_never_shrink() {
    let address = memory();
    let keys = create(&address);
    let class = |first, last| {
        let years = Years::new(first, last).unwrap();
        let class = super::class("c-born", Mode::Searchable, ValueType::Date, &[Rung::Year]);
        ClassParams { years, ..class }
    };
    let mut epochs = Vec::new();
    for (said, registered) in [
        ((1950, 2000), (1950, 2000)),
        ((1960, 1990), (1950, 2000)),
        ((1900, 1990), (1900, 2000)),
        ((1, 9999), (1, 9999)),
        ((1900, 2000), (1, 9999)),
    ] {
        keys.register(&[class(said.0, said.1)]).unwrap();
        let expected = Years::new(registered.0, registered.1).unwrap();
        for keys in [&keys, &open(&address).unwrap()] {
            let params = keys.snapshot().params(&ClassId::new("c-born")).unwrap().clone();
            assert_eq!(params.years, expected, "{said:?}");
        }
        epochs.push(keys.snapshot().epoch());
    }
    let first = epochs[0];
    assert_eq!(epochs, [first, first, first + 1, first + 2, first + 2]);
    let other = ClassParams { rungs: vec![Rung::Month], ..class(1, 9999) };
    assert!(matches!(keys.register(&[other]), Err(KeysError::ClassDiffers { .. })));
}

#[test]
fn what_this_version_does_not_know_is_refused_even_if_authenticated() {
    let root = RootKey::from_secret(SecretKey::new([7; 32]));
    let good = String::from_utf8(records()[0].body.clone()).unwrap();
    for (from, to) in [
        ("\"genesis\"", "\"destroy\""),
        ("\"v\":1", "\"v\":2"),
        ("\"approvals\":[]", "\"approvals\":[\"x\"]"),
        ("\"v\":1", "\"v\":1,\"more\":true"),
        ("\"v\":1", "\"v\":1,\"v\":1"),
        ("\"tenant\"", "\"quorum\":2,\"tenant\""),
    ] {
        let body = good.replacen(from, to, 1).into_bytes();
        assert_ne!(body, good.as_bytes());
        let mac = root.mac(&body);
        let error = refused(&[Record { epoch: 0, body, mac }]);
        assert!(matches!(error, KeysError::Log(LogError::Unreadable { epoch: 0, .. })), "{error}");
    }
}

#[test]
fn a_store_is_refused_under_another_root_key_and_for_another_tenant() {
    let address = memory();
    create(&address);
    let other = MemoryProvider::new(SecretKey::new([8; 32]));
    let wrong = Keys::open(&address, &other, &tenant(), Arc::new(SystemClock)).err().unwrap();
    assert!(matches!(wrong, KeysError::Log(LogError::Authenticator { epoch: 0 })));
    let other = Tenant::new("other");
    let wrong = Keys::open(&address, &provider(), &other, Arc::new(SystemClock)).err().unwrap();
    let text = wrong.to_string();
    assert!(text.contains("main") && text.contains("other"), "{text}");
}

fn edit(folder: &Path, sql: &str) {
    let changed = rusqlite::Connection::open(folder.join("labseal.db")).unwrap().execute(sql, []);
    assert!(changed.unwrap() > 0);
}

#[test]
fn a_store_that_was_rolled_back_is_refused_at_start_and_while_running() {
    let folder = tempfile::tempdir().unwrap();
    let address = sqlite(folder.path());
    let running = create(&address);
    running.rotate(Ring::Data).unwrap();
    edit(folder.path(), "DELETE FROM key_log WHERE epoch > 7");
    let error = running.refresh().unwrap_err();
    assert!(matches!(error, KeysError::Mark(MarkError::RolledBack { seen: 9 })), "{error}");
    assert!(running.rotate(Ring::Data).is_err());
    let error = open(&address).err().unwrap();
    assert!(matches!(error, KeysError::Mark(MarkError::RolledBack { seen: 9 })), "{error}");
}

#[test]
fn a_store_that_was_forked_is_refused_at_start_and_while_running() {
    let folder = tempfile::tempdir().unwrap();
    let address = sqlite(folder.path());
    let running = create(&address);
    running.rotate(Ring::Data).unwrap();
    // The other history: the same store as of before, rotated elsewhere.
    let mark = folder.path().join("labseal.db.seen");
    let seen = std::fs::read(&mark).unwrap();
    edit(folder.path(), "DELETE FROM key_log WHERE epoch > 7");
    std::fs::remove_file(&mark).unwrap();
    let elsewhere = open(&address).unwrap();
    elsewhere.rotate(Ring::Data).unwrap();
    elsewhere.rotate(Ring::Data).unwrap();
    assert!(matches!(running.refresh(), Err(KeysError::Mark(MarkError::Forked { epoch: 9 }))));
    drop(elsewhere);
    std::fs::write(&mark, seen).unwrap();
    let error = open(&address).err().unwrap();
    assert!(matches!(error, KeysError::Mark(MarkError::Forked { epoch: 9 })), "{error}");
}
