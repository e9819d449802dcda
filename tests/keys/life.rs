//! The life of a version: every turn in every state, and what each state opens.

use std::time::Duration;

use labseal::keys::{
    Keys, KeysError, Ring, State,
    life::{Standing, Turn},
};

use super::{create, memory, open, opened, seal, sqlite};

const NOW: Duration = Duration::from_secs(1_000);
const DUE: Duration = Duration::from_secs(2_000);
const SOON: Duration = Duration::ZERO;

const TURNS: [Turn; 9] = [
    Turn::Activate,
    Turn::Suspend,
    Turn::Resume,
    Turn::Compromise,
    Turn::Retire,
    Turn::Unretire,
    Turn::Schedule(DUE),
    Turn::Undo,
    Turn::Destroy,
];

/// Rows: states. Columns: [`TURNS`]. A dash is a refusal; `before` is where it came from.
const TABLE: [(State, &str); 7] = [
    (State::PreActive, "active - - compromised - - - - -"),
    (State::Active, "- - - - - - - - -"),
    (State::DecryptOnly, "- suspended - compromised retired - - - -"),
    (State::Suspended, "- - before - - - - - -"),
    (State::Compromised, "- suspended - - retired - - - -"),
    (State::Retired, "- - - - - before retired - -"),
    (State::Destroyed, "- - - - - - - - -"),
];

#[test]
fn every_turn_in_every_state_does_what_the_table_says() {
    assert_eq!(TABLE.map(|(state, _)| state), State::ALL);
    let mut tried = 0;
    for (state, row) in TABLE {
        let cells: Vec<_> = row.split(' ').collect();
        assert_eq!(cells.len(), TURNS.len(), "{state}");
        for before in [State::DecryptOnly, State::Compromised] {
            for (turn, expected) in TURNS.into_iter().zip(&cells) {
                let standing = Standing { state, before, due: None };
                match (standing.turned(turn, NOW), *expected) {
                    (Err(remedy), "-") => assert!(remedy.len() > 10, "{state} {turn:?}"),
                    (Ok(after), "before") => assert_eq!(after.state, before, "{state} {turn:?}"),
                    (Ok(after), word) => assert_eq!(after.state.as_str(), word, "{state} {turn:?}"),
                    (Err(remedy), word) => panic!("{state} {turn:?}: {word}, not {remedy}"),
                }
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 7 * 9 * 2);
}

#[test]
fn a_version_is_destroyed_when_its_time_has_come_and_not_if_that_was_undone() {
    let retired = Standing { state: State::Retired, before: State::DecryptOnly, due: None };
    let scheduled = retired.turned(Turn::Schedule(DUE), NOW).unwrap();
    assert_eq!(scheduled.due, Some(DUE));
    assert!(scheduled.turned(Turn::Destroy, NOW).is_err());
    let undone = scheduled.turned(Turn::Undo, NOW).unwrap();
    assert_eq!(undone, retired);
    assert!(undone.turned(Turn::Destroy, DUE).is_err());
    assert_eq!(scheduled.turned(Turn::Unretire, NOW).unwrap().due, None);
    assert_eq!(scheduled.turned(Turn::Destroy, DUE).unwrap().state, State::Destroyed);
}

fn turn(keys: &Keys, turn: Turn) -> Result<State, KeysError> {
    keys.turn(Ring::Data, 1, turn, SOON).map(|change| change.to)
}

#[test]
fn what_a_state_does_not_open_fails_and_says_in_which_state_the_key_is() {
    let address = memory();
    let keys = create(&address);
    let value = seal(&keys.snapshot(), "c-res", "1.10");
    keys.rotate(Ring::Data).unwrap();
    for (made, expected) in [
        (Turn::Suspend, "(suspended)"),
        (Turn::Resume, "1.10"),
        (Turn::Compromise, "1.10"),
        (Turn::Suspend, "(suspended)"),
        (Turn::Resume, "1.10"),
        (Turn::Retire, "(retired)"),
        (Turn::Unretire, "1.10"),
        (Turn::Retire, "(retired)"),
        (Turn::Schedule(Duration::ZERO), "(retired)"),
        (Turn::Destroy, "(destroyed)"),
    ] {
        turn(&keys, made).unwrap();
        assert_eq!(opened(&keys.snapshot(), &value), expected, "{made:?}");
        // The same for whoever reads the log anew, and for whoever follows it.
        assert_eq!(opened(&open(&address).unwrap().snapshot(), &value), expected, "{made:?}");
    }
    assert!(
        keys.snapshot().knows(labseal::crypto::envelope::parse(value.as_bytes()).unwrap().kid())
    );
}

#[test]
fn the_active_version_can_only_be_replaced_and_the_refusal_says_so() {
    let keys = create(&memory());
    for made in [Turn::Suspend, Turn::Compromise, Turn::Retire, Turn::Schedule(DUE), Turn::Destroy]
    {
        let error = turn(&keys, made).unwrap_err();
        assert!(error.to_string().contains("rotate first"), "{error}");
    }
    let index = keys.turn(Ring::Index, 1, Turn::Suspend, SOON).unwrap_err();
    assert!(matches!(index, KeysError::Turn(_)), "{index}");
    let missing = keys.turn(Ring::Data, 9, Turn::Suspend, SOON).unwrap_err();
    assert!(matches!(missing, KeysError::NoVersion { version: 9, .. }), "{missing}");
}

#[test]
fn a_destroyed_key_is_in_no_file_and_its_number_and_kids_are_never_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let address = sqlite(folder.path());
    let keys = create(&address);
    let before = keys.describe().unwrap()[0].clone();
    keys.rotate(Ring::Data).unwrap();
    let wrapped = address.open().unwrap().material().unwrap()["ring/data/1"].clone();
    let holds = || {
        std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
            .any(|bytes| bytes.windows(wrapped.len()).any(|window| window == wrapped))
    };
    assert!(holds());
    for made in [Turn::Retire, Turn::Schedule(Duration::ZERO), Turn::Destroy] {
        turn(&keys, made).unwrap();
    }
    assert!(!holds());
    // A class that comes later has no kid under it, and everything goes on.
    keys.register(&[super::class(
        "c-later",
        labseal::base::class::Mode::Random,
        labseal::base::class::ValueType::Json,
        &[],
    )])
    .unwrap();
    assert_eq!(keys.rotate(Ring::Data).unwrap().version, 3);
    let after = open(&address).unwrap().describe().unwrap()[0].clone();
    assert_eq!(after.state, State::Destroyed);
    assert_eq!((after.digest, &after.kids), (before.digest, &before.kids));
}

#[test]
fn a_staged_version_that_was_compromised_is_never_activated() {
    let keys = create(&memory());
    let stop = || -> ! { std::panic::resume_unwind(Box::new(())) };
    let cut_short = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        keys.rotate_watched(Ring::Data, SOON, &|step| {
            if step == labseal::keys::Step::Staged {
                stop();
            }
        })
    }));
    assert!(cut_short.is_err());
    assert!(keys.turn(Ring::Data, 2, Turn::Activate, SOON).is_err());
    keys.turn(Ring::Data, 2, Turn::Compromise, SOON).unwrap();
    assert_eq!(keys.rotate(Ring::Data).unwrap().version, 3);
    let states: Vec<_> = keys.describe().unwrap().iter().map(|v| v.state.as_str()).collect();
    assert_eq!(states, ["decrypt_only", "compromised", "active", "active"]);
}
