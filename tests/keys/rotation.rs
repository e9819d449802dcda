//! Rotation: while others use the keys, and while others rotate.

use std::{collections::BTreeSet, sync::Barrier};

use labseal::keys::{KeysError, Ring, State, Step, WAIT};

use super::{create, memory, open, opened, seal, sqlite};

#[test]
fn after_a_rotation_new_values_have_another_kid_and_old_ones_still_open() {
    let keys = create(&memory());
    let before = keys.snapshot();
    let old = ["c-mrn", "c-name", "c-res"].map(|class| seal(&before, class, "4711"));
    let rotated = keys.rotate(Ring::Data).unwrap();
    assert_eq!(rotated.version, 2);
    let after = keys.snapshot();
    let new = ["c-mrn", "c-name", "c-res"].map(|class| seal(&after, class, "4711"));
    assert_eq!(old[0], new[0], "the index ring has not moved");
    assert_ne!(old[2], new[2]);
    for envelope in old.iter().chain(&new) {
        assert_eq!(opened(&after, envelope), "4711");
    }
    assert_eq!(opened(&before, &new[2]), "(not ours)");
    let classes: Vec<&str> = rotated.kids.iter().map(|(class, _)| class.as_str()).collect();
    assert_eq!(classes, ["c-name", "c-res"]);
    for (_, kid) in &rotated.kids {
        assert_eq!(after.version_of(*kid), Some((Ring::Data, 2)));
    }
}

#[test]
fn the_index_ring_is_not_rotated_and_the_reason_is_given() {
    let error = create(&memory()).rotate(Ring::Index).unwrap_err();
    assert!(matches!(error, KeysError::IndexRotation));
    assert!(error.to_string().contains("sealed again"));
}

#[test]
fn another_process_learns_a_key_before_anybody_seals_with_it() {
    let address = memory();
    let ours = create(&address);
    let theirs = open(&address).unwrap();
    assert!(!theirs.refresh().unwrap());
    let rotated = ours
        .rotate_watched(Ring::Data, WAIT, &|step| {
            if step == Step::Staged {
                assert!(theirs.refresh().unwrap());
            }
        })
        .unwrap();
    let kid = rotated.kids[0].1;
    assert!(theirs.snapshot().knows(kid));
    let sealed = seal(&ours.snapshot(), "c-res", "1.10");
    assert_eq!(opened(&theirs.snapshot(), &sealed), "1.10");
    assert_eq!(opened(&ours.snapshot(), &seal(&theirs.snapshot(), "c-res", "2")), "2");
    assert!(theirs.refresh().unwrap());
    let theirs = theirs.snapshot();
    let envelope = seal(&theirs, "c-res", "3");
    let kid = labseal::crypto::envelope::parse(envelope.as_bytes()).unwrap().kid();
    assert_eq!(theirs.version_of(kid), Some((Ring::Data, 2)));
}

/// crypto.md §9.9: concurrent rotation orphans a key.
#[test]
fn of_eight_concurrent_rotators_all_finish_with_one_active_key_and_no_orphan() {
    let folder = tempfile::tempdir().unwrap();
    let address = sqlite(folder.path());
    let first = create(&address);
    let mut sealed = vec![seal(&first.snapshot(), "c-res", "0")];
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        let rotators: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let keys = open(&address).unwrap();
                    start.wait();
                    let mut sealed = Vec::new();
                    for _ in 0..3 {
                        keys.rotate(Ring::Data).unwrap();
                        sealed.push(seal(&keys.snapshot(), "c-res", "0"));
                    }
                    sealed
                })
            })
            .collect();
        for rotator in rotators {
            sealed.extend(rotator.join().unwrap());
        }
    });
    let keys = open(&address).unwrap();
    let snapshot = keys.snapshot();
    let versions = keys.describe().unwrap();
    let data: Vec<_> = versions.iter().filter(|version| version.ring == Ring::Data).collect();
    assert_eq!(data.iter().filter(|version| version.state == State::Active).count(), 1);
    assert_eq!(data.last().unwrap().state, State::Active);
    assert!(data.iter().all(|version| version.state != State::PreActive));
    assert!((4..=25).contains(&data.len()), "{}", data.len());
    assert_eq!(sealed.len(), 25);
    for envelope in &sealed {
        assert_eq!(opened(&snapshot, envelope), "0");
    }
    let kids: Vec<_> = versions.iter().flat_map(|version| &version.kids).collect();
    assert!(kids.iter().all(|(_, kid)| snapshot.knows(*kid)));
    let unique: BTreeSet<_> = kids.iter().map(|(_, kid)| kid).collect();
    assert_eq!(unique.len(), kids.len());
}
