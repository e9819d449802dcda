//! The contract of a store, over every kind.

use labseal::keys::{
    Ring, StoreAddress,
    entry::Record,
    store::{Appended, Change, Row, SCHEMES, StoreError},
};

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{kit, memory, postgres, settings, sqlite};

fn record(epoch: u64, text: &str) -> Record {
    Record { epoch, body: text.as_bytes().to_vec(), mac: [epoch as u8; 32] }
}

const NONE: Change = Change { puts: BTreeMap::new(), deletes: BTreeSet::new() };

fn change(puts: &[(&str, &str)], deletes: &[&str]) -> Change {
    let put = |(name, bytes): &(&str, &str)| (name.to_string(), bytes.as_bytes().to_vec());
    Change {
        puts: puts.iter().map(put).collect(),
        deletes: deletes.iter().map(|name| name.to_string()).collect(),
    }
}

fn every_kind(test: impl Fn(&StoreAddress)) {
    let folder = tempfile::tempdir().unwrap();
    let kinds = [memory(), postgres(folder.path()), sqlite(folder.path())];
    // One more than the configurable kinds: memory.
    assert_eq!(kinds.len(), SCHEMES.len() + 1);
    kinds.iter().for_each(test);
}

#[test]
fn records_come_back_in_order_and_from_any_epoch() {
    every_kind(|address| {
        let mut store = address.create().unwrap();
        assert_eq!(store.load(0).unwrap(), []);
        let records = [record(0, "a"), record(1, "b"), record(2, "c")];
        assert_eq!(store.append(&records[..2], &NONE).unwrap(), Appended::Done);
        assert_eq!(store.append(&records[2..], &NONE).unwrap(), Appended::Done);
        assert_eq!(address.open().unwrap().load(0).unwrap(), records);
        assert_eq!(store.load(2).unwrap(), records[2..]);
        assert_eq!(store.load(3).unwrap(), []);
    });
}

#[test]
fn only_the_next_epoch_can_be_appended_and_a_batch_is_added_whole_or_not_at_all() {
    every_kind(|address| {
        let mut store = address.create().unwrap();
        assert_eq!(store.append(&[record(1, "gap")], &NONE).unwrap(), Appended::Conflict);
        assert_eq!(store.append(&[record(0, "a")], &NONE).unwrap(), Appended::Done);
        let late = [record(0, "late"), record(1, "late")];
        assert_eq!(store.append(&late, &NONE).unwrap(), Appended::Conflict);
        assert_eq!(store.append(&[record(2, "gap")], &NONE).unwrap(), Appended::Conflict);
        assert_eq!(store.load(0).unwrap(), [record(0, "a")]);
    });
}

#[test]
fn material_changes_with_its_records_or_not_at_all() {
    every_kind(|address| {
        let mut store = address.create().unwrap();
        assert_eq!(store.material().unwrap(), BTreeMap::new());
        let first = change(&[("ring/data/1", "a"), ("ring/data/2", "b")], &["ring/data/9"]);
        assert_eq!(store.append(&[record(0, "a")], &first).unwrap(), Appended::Done);
        let late = change(&[("ring/data/1", "late")], &["ring/data/2"]);
        assert_eq!(store.append(&[record(0, "late")], &late).unwrap(), Appended::Conflict);
        // Without a record there would be nothing to compare and nothing that says so.
        assert_eq!(store.append(&[], &late).unwrap(), Appended::Conflict);
        assert_eq!(store.material().unwrap(), first.puts);
        let second = change(&[("ring/data/2", "c"), ("root/2/file", "d")], &["ring/data/1"]);
        assert_eq!(store.append(&[record(1, "b")], &second).unwrap(), Appended::Done);
        assert_eq!(address.open().unwrap().material().unwrap(), second.puts);
    });
}

#[test]
fn a_replica_has_one_row_whose_age_is_told_by_the_store() {
    every_kind(|address| {
        let mut store = address.create().unwrap();
        let row = |id: &str, text: &str| Row {
            id: id.to_owned(),
            body: text.as_bytes().to_vec(),
            mac: [7; 32],
        };
        store.beat(&row("a", "one")).unwrap();
        store.beat(&row("b", "one")).unwrap();
        std::thread::sleep(Duration::from_millis(1_100));
        store.beat(&row("a", "two")).unwrap();
        let seen = address.open().unwrap().replicas().unwrap();
        let rows: Vec<_> = seen.iter().map(|seen| seen.row.clone()).collect();
        assert_eq!(rows, [row("a", "two"), row("b", "one")]);
        assert!(seen[0].age < Duration::from_secs(1), "{:?}", seen[0].age);
        let old = Duration::from_secs(1)..Duration::from_secs(60);
        assert!(old.contains(&seen[1].age), "{:?}", seen[1].age);
        store.forget("b").unwrap();
        store.forget("b").unwrap();
        assert_eq!(store.replicas().unwrap().len(), 1);
    });
}

#[test]
fn leases_of_many_add_up_and_none_is_lost() {
    every_kind(|address| {
        drop(address.create().unwrap());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut store = address.open().unwrap();
                    for _ in 0..10 {
                        store.lease(Ring::Data, 1, 1 << 20).unwrap();
                    }
                });
            }
        });
        let mut store = address.open().unwrap();
        assert_eq!(store.lease(Ring::Data, 1, 1).unwrap(), 40 * (1 << 20) + 1);
        assert_eq!(store.lease(Ring::Data, 2, 1 << 40).unwrap(), 1 << 40);
        let leased = store.leased().unwrap();
        assert_eq!(leased[&(Ring::Data, 2)], 1 << 40);
        assert_eq!(leased.len(), 2);
    });
}

#[test]
fn what_was_erased_is_in_no_file_of_an_sqlite_store() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = sqlite(folder.path()).create().unwrap();
    let secret = "a wrapped key that is to be forgotten".repeat(200);
    let put = change(&[("a", &secret), ("b", &secret)], &[]);
    assert_eq!(store.append(&[record(0, "a")], &put).unwrap(), Appended::Done);
    let holds = |text: &str| {
        std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
            .filter(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
            .count()
    };
    assert_ne!(holds("a wrapped key that is to be forgotten"), 0);
    let erased = change(&[("a", "short")], &["b"]);
    assert_eq!(store.append(&[record(1, "b")], &erased).unwrap(), Appended::Done);
    assert_eq!(holds("a wrapped key that is to be forgotten"), 0);
    assert_eq!(holds("short"), 1);
}

#[test]
fn of_many_writers_of_one_epoch_one_wins() {
    every_kind(|address| {
        drop(address.create().unwrap());
        let won: usize = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8)
                .map(|writer| {
                    scope.spawn(move || {
                        let mut store = address.open().unwrap();
                        (0..10)
                            .filter(|&epoch| {
                                let record = record(epoch, &format!("writer {writer}"));
                                store.append(&[record], &NONE).unwrap() == Appended::Done
                            })
                            .count()
                    })
                })
                .collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).sum()
        });
        assert_eq!(won, address.open().unwrap().load(0).unwrap().len());
        assert!(won > 0);
    });
}

#[test]
fn an_sqlite_store_is_private_and_never_overwritten() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let address = sqlite(folder.path());
    assert!(matches!(address.open(), Err(StoreError::Missing { .. })));
    let mut store = address.create().unwrap();
    let _ = store.append(&[record(0, "a")], &NONE).unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(matches!(address.create(), Err(StoreError::Exists { .. })));
    let path = address.path().unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let Err(refused) = address.open() else { panic!("opened") };
    assert!(refused.to_string().contains("chmod 600"), "{refused}");
}

#[test]
fn another_database_and_no_database_are_not_taken_for_a_key_store() {
    let folder = tempfile::tempdir().unwrap();
    let address = sqlite(folder.path());
    let path = address.path().unwrap();
    labseal::keys::private::create(path, &[b'x'; 8192]).unwrap();
    assert!(matches!(address.open(), Err(StoreError::Foreign { .. })));
    std::fs::remove_file(path).unwrap();
    labseal::keys::private::create(path, b"").unwrap();
    assert!(matches!(address.open(), Err(StoreError::Foreign { .. })));
}

#[test]
fn an_address_of_an_unknown_kind_is_refused() {
    let with_password = "postgres://labseal:secret@db/keys";
    for address in ["labseal.db", "mysql://db/keys", "sqlite:", "", with_password, "postgres://["] {
        let parsed = StoreAddress::parse(&settings(address, std::path::Path::new("/")));
        let Err(error) = parsed else { panic!("{address} was taken") };
        assert!(matches!(error, StoreError::Address), "{address}");
        assert!(!error.to_string().contains("secret"));
    }
}

#[test]
fn a_table_of_another_instance_is_never_overwritten_and_a_missing_one_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let address = postgres(folder.path());
    assert!(matches!(address.open(), Err(StoreError::MissingIn { .. })));
    let mut store = address.create().unwrap();
    assert_eq!(store.append(&[record(0, "a")], &NONE).unwrap(), Appended::Done);
    assert!(matches!(address.create(), Err(StoreError::ExistsIn { .. })));
    assert_eq!(address.open().unwrap().load(0).unwrap(), [record(0, "a")]);
}

#[test]
fn a_store_that_lost_its_connection_makes_another() {
    let folder = tempfile::tempdir().unwrap();
    let database = kit::Postgres::shared().database("");
    let address = StoreAddress::parse(&settings(&database.uri(), folder.path())).unwrap();
    let mut store = address.create().unwrap();
    let _ = store.append(&[record(0, "a")], &NONE).unwrap();
    database.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity \
         where application_name = 'labseal keys' and datname = current_database()",
    );
    // The loss may be noticed by the first question; the second has a connection of its own.
    let _ = store.load(0);
    assert_eq!(store.load(0).unwrap(), [record(0, "a")]);
    assert_eq!(store.append(&[record(1, "b")], &NONE).unwrap(), Appended::Done);
}

#[test]
fn a_server_that_is_away_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings("postgres://labseal@127.0.0.1:1/keys", folder.path());
    let Err(error) = StoreAddress::parse(&settings).unwrap().open() else { panic!("opened") };
    assert!(matches!(error, StoreError::Server { .. }));
    assert!(error.to_string().contains("postgres://127.0.0.1/keys"), "{error}");
}

#[test]
fn a_store_of_the_first_version_gets_the_tables_that_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let database = kit::Postgres::shared().database("");
    let address = StoreAddress::parse(&settings(&database.uri(), folder.path())).unwrap();
    let mut store = address.create().unwrap();
    assert_eq!(store.append(&[record(0, "a")], &NONE).unwrap(), Appended::Done);
    database.sql("drop table labseal_key_material, labseal_key_usage, labseal_replicas");
    // Many at once, as when all replicas are replaced by newer ones.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(address.open().unwrap().material().unwrap().len(), 0));
        }
    });
    assert_eq!(address.open().unwrap().load(0).unwrap(), [record(0, "a")]);
    // A user who may not make them is told what to grant.
    database.sql(
        "create role reader login; grant select, insert, update, delete on labseal_key_log to reader; \
         drop table labseal_key_usage; revoke create on schema public from public",
    );
    let uri = database.uri().replace("postgres@", "reader@");
    let Err(refused) = StoreAddress::parse(&settings(&uri, folder.path())).unwrap().open() else {
        panic!("opened")
    };
    let text = refused.to_string();
    assert!(text.contains("labseal_key_usage") && text.contains("CREATE"), "{text}");
}
