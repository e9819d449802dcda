//! What a key log refuses: every edit, by somebody without the root key and by somebody with it.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use labseal::{
    base::{
        class::{ClassParams, Mode, Rung, ValueType, Years},
        clock::SystemClock,
        digest::Digest,
        ident::{ClassId, Kid, Tenant},
        secret::SecretKey,
    },
    crypto::{RootKey, WrapError},
    keys::{
        Keys, KeysError, Ring, StoreAddress,
        entry::{DigestText, Entry, KidText, Op, Record},
        life::Refused,
        log::LogError,
        mark::MarkError,
        memory::{MemoryProvider, MemoryStore},
        params::Span,
        provider::{Place, Provider as _},
        ring::Illegal,
        slot::{Slot, SlotError},
        store::{Change, Store as _},
    },
};

use super::{create, memory, open, provider, sqlite, tenant};

/// A store's records and material.
#[derive(Clone)]
struct Stored {
    records: Vec<Record>,
    material: BTreeMap<String, Vec<u8>>,
}

/// A good log: genesis, slot, two keys and activations, three classes, one rotation.
fn stored() -> Stored {
    let address = memory();
    create(&address).rotate(Ring::Data).unwrap();
    let mut store = address.open().unwrap();
    let (records, material) = (store.load(0).unwrap(), store.material().unwrap());
    assert_eq!((records.len(), material.len()), (11, 4));
    Stored { records, material }
}

impl Stored {
    fn address(&self) -> StoreAddress {
        let mut store = MemoryStore::default();
        let change = Change { puts: self.material.clone(), ..Change::default() };
        assert!(self.records.is_empty() || store.append(&self.records, &change).is_ok());
        StoreAddress::Memory(store)
    }

    /// The root key, as the provider gives it.
    fn root(&self) -> RootKey {
        let genesis = Entry::parse(&self.records[0].body).unwrap().0;
        let Op::Genesis { tenant, instance } = genesis.op else { panic!("no genesis") };
        let place = Place { tenant: Tenant::new(tenant), instance, generation: 1 };
        let slot = self.material.iter().find(|(name, _)| name.starts_with("root/1/")).unwrap().1;
        Slot::parse(slot).unwrap().unwrap(&provider(), &place).unwrap()
    }

    /// The same, linked and authenticated anew, as only somebody with the root key could.
    fn forged(mut self, edit: impl FnOnce(&mut Vec<Entry>)) -> Self {
        let root = self.root();
        let parse = |record: &Record| Entry::parse(&record.body).unwrap().0;
        let mut entries: Vec<Entry> = self.records.iter().map(parse).collect();
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
        self.records = entries.into_iter().enumerate().map(link).collect();
        self
    }
}

/// What opening this gives.
fn refused(stored: &Stored) -> KeysError {
    open(&stored.address()).err().expect("a bad log was accepted")
}

fn forged(edit: impl FnOnce(&mut Vec<Entry>)) -> Stored {
    stored().forged(edit)
}

fn illegal(stored: &Stored) -> Illegal {
    match refused(stored) {
        KeysError::Log(LogError::Illegal { reason, .. }) => reason,
        other => panic!("{other}"),
    }
}

#[test]
fn a_forger_who_changes_nothing_is_not_noticed() {
    open(&forged(|_| ()).address()).unwrap();
}

#[test]
fn an_edited_entry_is_refused_wherever_it_was_edited() {
    let good = stored();
    let mut tried = 0;
    for at in 0..good.records.len() {
        for byte in 0..good.records[at].body.len() {
            let mut bad = good.clone();
            bad.records[at].body[byte] ^= 1;
            let error = refused(&bad);
            let expected = at as u64;
            // An edited genesis may name another place for the root key, which then does not unwrap.
            let is_named = match &error {
                KeysError::Log(LogError::Authenticator { epoch }) => *epoch == expected,
                KeysError::Slot(_) => at == 0,
                _ => false,
            };
            assert!(is_named, "{error}");
            tried += 1;
        }
        let mut bad = good.clone();
        bad.records[at].mac[31] ^= 1;
        assert!(matches!(refused(&bad), KeysError::Log(LogError::Authenticator { .. })));
    }
    assert!(tried > 1_000);
}

#[test]
fn reordered_and_missing_entries_are_refused() {
    let good = stored();
    let mut swapped = good.clone();
    swapped.records.swap(3, 4);
    assert!(matches!(refused(&swapped), KeysError::Log(LogError::Gap { expected: 3, found: 4 })));
    (swapped.records[3].epoch, swapped.records[4].epoch) = (3, 4);
    assert!(matches!(refused(&swapped), KeysError::Log(LogError::Chain { epoch: 3 })));
    let mut holed = good.clone();
    holed.records.remove(5);
    assert!(matches!(refused(&holed), KeysError::Log(LogError::Gap { expected: 5, found: 6 })));
    let nothing = Stored { records: Vec::new(), material: BTreeMap::new() };
    assert!(matches!(refused(&nothing), KeysError::Log(LogError::Empty)));
}

#[test]
fn an_entry_of_another_history_under_the_same_root_key_is_refused() {
    let mut mixed = stored();
    // The same operation a moment later: another history of the same instance.
    let other = mixed.clone().forged(|entries| entries[9].time += Duration::from_millis(1));
    mixed.records[10] = other.records[10].clone();
    assert!(matches!(refused(&mixed), KeysError::Log(LogError::Chain { epoch: 10 })));
}

#[test]
fn wrapped_keys_that_were_swapped_altered_or_lost_are_refused_and_named() {
    let good = stored();
    let names: Vec<_> = good.material.keys().cloned().collect();
    let rings = ["ring/data/1", "ring/data/2", "ring/index/1"];
    assert_eq!(names[..3], rings);
    for (one, other) in [(0, 1), (1, 2), (0, 2)] {
        let mut bad = good.clone();
        let swapped = good.material[rings[other]].clone();
        bad.material.insert(rings[one].to_owned(), swapped);
        let error = refused(&bad);
        assert!(matches!(&error, KeysError::Swapped { name } if name == rings[one]), "{error}");
    }
    for name in &names {
        let mut bad = good.clone();
        bad.material.get_mut(name).unwrap()[20] ^= 1;
        let is_named = match refused(&bad) {
            KeysError::Swapped { name: named } => named == *name,
            KeysError::NoSlot { .. } => name.starts_with("root/"),
            _ => false,
        };
        assert!(is_named, "{name}");
        bad.material.remove(name);
        let is_named = match refused(&bad) {
            KeysError::Missing { name: named } => named == *name,
            // Without a slot the provider's own key is taken for the root key of an old store.
            KeysError::Log(LogError::Authenticator { epoch: 0 }) => name.starts_with("root/"),
            _ => false,
        };
        assert!(is_named, "{name}");
    }
}

#[test]
fn a_wrapped_key_in_the_place_of_another_is_refused_even_if_the_log_says_so() {
    let mut bad = stored();
    let swapped = bad.material["ring/data/2"].clone();
    bad.material.insert("ring/data/1".to_owned(), swapped.clone());
    let bad = bad.forged(|entries| {
        let key = entries.iter_mut().find_map(|entry| match &mut entry.op {
            Op::Key { ring: Ring::Data, version: 1, digest, .. } => Some(digest),
            _ => None,
        });
        *key.unwrap() = DigestText(Digest::of(&[&swapped]));
    });
    let error = refused(&bad);
    assert!(
        matches!(error, KeysError::Wrapped { source: WrapError::Commitment, version: 1, .. }),
        "{error}"
    );
}

#[test]
fn a_wrong_commitment_is_refused_even_if_the_log_says_so() {
    let mut bad = stored();
    let wrapped = bad.material.get_mut("ring/data/1").unwrap();
    *wrapped.last_mut().unwrap() ^= 1;
    let altered = wrapped.clone();
    let bad = bad.forged(|entries| {
        let Op::Key { digest, .. } = &mut entries[2].op else { panic!("not a key") };
        *digest = DigestText(Digest::of(&[&altered]));
    });
    assert!(matches!(refused(&bad), KeysError::Wrapped { source: WrapError::Commitment, .. }));
}

#[test]
fn a_root_key_in_the_slot_of_another_store_has_the_wrong_commitment() {
    let (one, other) = (stored(), stored());
    let slot = |stored: &Stored| {
        let (name, text) =
            stored.material.iter().find(|(name, _)| name.starts_with("root")).unwrap();
        (name.clone(), serde_json::from_slice::<serde_json::Value>(text).unwrap())
    };
    // The provider's word for the place is not enough: it may be one that knows of no place.
    let ((name, mut text), (_, foreign)) = (slot(&one), slot(&other));
    text["commitment"] = foreign["commitment"].clone();
    let mut bad = one.clone();
    bad.material.insert(name.clone(), text.to_string().into_bytes());
    let error = refused(&bad);
    assert!(error.to_string().contains("wrong commitment"), "{error}");
    bad.material.insert(name, foreign.to_string().into_bytes());
    assert!(matches!(refused(&bad), KeysError::Slot(SlotError::Refused { .. })));
}

#[test]
fn a_kid_that_its_key_does_not_give_is_refused_even_if_authenticated() {
    let bad = forged(|entries| {
        let Op::Class { kids, .. } = &mut entries[6].op else { panic!("not a class") };
        kids.values_mut().for_each(|kid| *kid = KidText(Kid([1; 5])));
    });
    assert!(matches!(refused(&bad), KeysError::Kid { epoch: 6, .. }));
}

#[test]
fn operations_that_the_state_does_not_allow_are_refused_even_if_authenticated() {
    let twice = forged(|entries| entries.insert(7, entries[6].clone()));
    assert!(matches!(illegal(&twice), Illegal::Class { .. }));
    let genesis = forged(|entries| entries.insert(3, entries[0].clone()));
    assert!(matches!(illegal(&genesis), Illegal::Genesis));
    let slots = forged(|entries| {
        let Op::Slots { digests, .. } = &mut entries[1].op else { panic!("no slots") };
        digests.clear();
    });
    assert!(matches!(illegal(&slots), Illegal::Digests));
    let again = forged(|entries| entries.push(entries[3].clone()));
    assert!(matches!(illegal(&again), Illegal::Turn(Refused { version: 1, .. })));
    let skipped = forged(|entries| {
        let Op::Key { version, .. } = &mut entries[9].op else { panic!("not a key") };
        *version = 3;
    });
    assert!(matches!(illegal(&skipped), Illegal::Version { version: 3, .. }));
    let unnamed = forged(|entries| {
        let Op::Key { kids, .. } = &mut entries[9].op else { panic!("not a key") };
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
    let stored = stored();
    let root = stored.root();
    let good = String::from_utf8(stored.records[2].body.clone()).unwrap();
    for (from, to) in [
        ("\"key\"", "\"melt\""),
        ("\"v\":2", "\"v\":3"),
        ("\"v\":2", "\"v\":1"),
        ("\"approvals\":[]", "\"approvals\":[\"x\"]"),
        ("\"v\":2", "\"v\":2,\"more\":true"),
        ("\"v\":2", "\"v\":2,\"v\":2"),
        ("\"digest\"", "\"quorum\":2,\"digest\""),
    ] {
        let body = good.replacen(from, to, 1).into_bytes();
        assert_ne!(body, good.as_bytes());
        let mac = root.mac(&body);
        let mut bad = stored.clone();
        bad.records[2] = Record { epoch: 2, body, mac };
        let error = refused(&bad);
        assert!(matches!(error, KeysError::Log(LogError::Unreadable { epoch: 2, .. })), "{error}");
    }
}

#[test]
fn a_store_is_refused_under_another_root_key_and_for_another_tenant() {
    let address = memory();
    create(&address);
    let other = MemoryProvider::new(SecretKey::new([8; 32]));
    let wrong = Keys::open(&address, &other, &tenant(), Arc::new(SystemClock)).err().unwrap();
    let text = wrong.to_string();
    let named = [&other, &provider()].map(|provider| provider.key().unwrap());
    assert!(named.iter().all(|key| text.contains(key)), "{text}");
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
    edit(folder.path(), "DELETE FROM key_log WHERE epoch > 8");
    let error = running.refresh().unwrap_err();
    assert!(matches!(error, KeysError::Mark(MarkError::RolledBack { seen: 10 })), "{error}");
    assert!(running.rotate(Ring::Data).is_err());
    let error = open(&address).err().unwrap();
    assert!(matches!(error, KeysError::Mark(MarkError::RolledBack { seen: 10 })), "{error}");
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
    edit(folder.path(), "DELETE FROM key_log WHERE epoch > 8");
    std::fs::remove_file(&mark).unwrap();
    let elsewhere = open(&address).unwrap();
    elsewhere.rotate(Ring::Data).unwrap();
    elsewhere.rotate(Ring::Data).unwrap();
    assert!(matches!(running.refresh(), Err(KeysError::Mark(MarkError::Forked { epoch: 10 }))));
    drop(elsewhere);
    std::fs::write(&mark, seen).unwrap();
    let error = open(&address).err().unwrap();
    assert!(matches!(error, KeysError::Mark(MarkError::Forked { epoch: 10 })), "{error}");
}
