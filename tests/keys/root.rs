//! Another root key: what it replaces, who follows, and what an old store can still do.

use std::{sync::Arc, time::Duration};

use labseal::{
    base::{clock::SystemClock, secret::SecretKey},
    keys::{
        Keys, KeysError, Membership, Ring, StoreAddress,
        life::Turn,
        log::LogError,
        memory::{MemoryProvider, MemoryStore},
        store::{Change, Store},
    },
};

use super::{create, memory, open, opened, postgres, provider, seal, sqlite, tenant};

const SOON: Duration = Duration::ZERO;

#[test]
fn after_a_rotation_of_the_root_key_everything_opens_and_nothing_of_the_old_one_is_left() {
    let folder = tempfile::tempdir().unwrap();
    for address in [memory(), sqlite(folder.path()), postgres(folder.path())] {
        let keys = create(&address);
        keys.rotate(Ring::Data).unwrap();
        let sealed = seal(&keys.snapshot(), "c-name", "Svensson");
        let before = address.open().unwrap().material().unwrap();
        assert_eq!(keys.rotate_root(&provider(), SOON).unwrap().generation, 2);
        let after = address.open().unwrap().material().unwrap();
        assert_eq!(after.len(), before.len());
        assert!(!after.values().any(|bytes| before.values().any(|old| old == bytes)));
        assert!(
            after.keys().all(|name| !name.starts_with("root/1/") && !name.contains("handover"))
        );
        for keys in [&keys, &open(&address).unwrap()] {
            assert_eq!(opened(&keys.snapshot(), &sealed), "Svensson");
        }
        // And the next one, from a process that never knew the first.
        let again = open(&address).unwrap();
        assert_eq!(again.rotate_root(&provider(), SOON).unwrap().generation, 3);
        again.rotate(Ring::Data).unwrap();
        let status = open(&address).unwrap().status().unwrap();
        assert_eq!((status.root.0, status.handover, status.slots.len()), (3, false, 1));
    }
}

#[test]
fn a_live_replica_follows_without_asking_the_provider_and_the_handover_waits_for_it() {
    let address = memory();
    let keys = create(&address);
    let replica = open(&address).unwrap();
    replica.join(Membership::new("r1")).unwrap();
    let error = keys.rotate_root(&provider(), SOON).unwrap_err();
    assert!(error.to_string().contains("r1"), "{error}");
    let held = |address: &StoreAddress| {
        let material = address.open().unwrap().material().unwrap();
        material.keys().any(|name| name.starts_with("handover/"))
    };
    assert!(held(&address) && open(&address).unwrap().status().unwrap().handover);
    assert!(replica.tick().unwrap());
    // The same command goes on from there and begins nothing new.
    assert_eq!(keys.rotate_root(&provider(), SOON).unwrap().generation, 2);
    assert!(!held(&address));
    replica.tick().unwrap();
    let rotated = keys.rotate(Ring::Data).err();
    assert!(rotated.is_none() || replica.tick().is_ok());
    assert_eq!(replica.status().unwrap().root.0, 2);
}

#[test]
fn a_process_that_was_away_while_the_root_key_was_replaced_has_to_start_again() {
    let address = memory();
    let keys = create(&address);
    let away = open(&address).unwrap();
    let sealed = seal(&away.snapshot(), "c-res", "1.10");
    keys.rotate_root(&provider(), SOON).unwrap();
    let error = away.refresh().unwrap_err();
    assert!(matches!(error, KeysError::Handover { generation: 2 }), "{error}");
    assert_eq!(opened(&away.snapshot(), &sealed), "1.10", "what it has it keeps");
    assert_eq!(opened(&open(&address).unwrap().snapshot(), &sealed), "1.10");
}

/// A store in memory with edited records.
fn edited(address: &StoreAddress, edit: impl Fn(usize, &mut Vec<u8>)) -> StoreAddress {
    let mut store = address.open().unwrap();
    let (mut records, puts) = (store.load(0).unwrap(), store.material().unwrap());
    for (at, record) in records.iter_mut().enumerate() {
        edit(at, &mut record.body);
    }
    let mut copy = MemoryStore::default();
    let change = Change { puts, ..Change::default() };
    let _ = copy.append(&records, &change).unwrap();
    StoreAddress::Memory(copy)
}

#[test]
fn entries_from_before_the_root_key_are_held_in_place_by_the_chain() {
    let address = memory();
    let keys = create(&address);
    keys.rotate_root(&provider(), SOON).unwrap();
    keys.rotate(Ring::Data).unwrap();
    let all = address.open().unwrap().load(0).unwrap();
    let root =
        all.iter().position(|record| record.body.windows(7).any(|w| w == b"\"root\":")).unwrap();
    assert!((1..all.len() - 1).contains(&root));
    open(&edited(&address, |_, _| ())).unwrap();
    for target in 0..all.len() {
        // A moment of time is in every entry, and any digit will do.
        let bad = edited(&address, |at, body| {
            if at == target {
                let place = body.windows(7).position(|w| w == b"\"time\":").unwrap() + 12;
                body[place] = if body[place] == b'1' { b'2' } else { b'1' };
            }
        });
        let error = open(&bad).err().unwrap();
        let expected = target as u64;
        match error {
            KeysError::Log(LogError::Chain { epoch }) => assert_eq!(epoch, expected + 1),
            KeysError::Log(LogError::Authenticator { epoch }) => {
                assert!(epoch == expected && target >= root, "{epoch} {target}");
            }
            other => panic!("{target}: {other}"),
        }
    }
}

#[test]
fn another_provider_can_be_added_and_the_first_removed_but_never_the_last() {
    let address = memory();
    let keys = create(&address);
    let sealed = seal(&keys.snapshot(), "c-res", "1.10");
    let other = MemoryProvider::new(SecretKey::new([8; 32]));
    let reopened = |by: &MemoryProvider| Keys::open(&address, by, &tenant(), Arc::new(SystemClock));
    assert!(matches!(reopened(&other), Err(KeysError::NoSlot { .. })));
    let first = keys.slots().unwrap()[0].name();
    let second = keys.add_slot(&other).unwrap();
    for by in [&other, &provider()] {
        assert_eq!(opened(&reopened(by).unwrap().snapshot(), &sealed), "1.10");
    }
    keys.remove_slot(&first).unwrap();
    assert!(matches!(reopened(&provider()), Err(KeysError::NoSlot { .. })));
    assert_eq!(opened(&reopened(&other).unwrap().snapshot(), &sealed), "1.10");
    for name in [&first, &second] {
        assert!(matches!(keys.remove_slot(name), Err(KeysError::LastSlot { .. })));
    }
    keys.rotate_root(&other, SOON).unwrap();
    reopened(&other).unwrap();
}

#[test]
fn a_compromised_version_still_opens_under_the_next_root_key() {
    let address = memory();
    let keys = create(&address);
    let sealed = seal(&keys.snapshot(), "c-res", "1.10");
    keys.rotate(Ring::Data).unwrap();
    keys.turn(Ring::Data, 1, Turn::Compromise, SOON).unwrap();
    keys.rotate_root(&provider(), SOON).unwrap();
    assert_eq!(opened(&open(&address).unwrap().snapshot(), &sealed), "1.10");
}
