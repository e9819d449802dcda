//! The contract of a store, over every kind.

use labseal::keys::{
    StoreAddress,
    entry::Record,
    store::{Appended, SCHEMES, StoreError},
};

use super::{kit, memory, postgres, settings, sqlite};

fn record(epoch: u64, text: &str) -> Record {
    Record { epoch, body: text.as_bytes().to_vec(), mac: [epoch as u8; 32] }
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
        assert_eq!(store.append(&records[..2]).unwrap(), Appended::Done);
        assert_eq!(store.append(&records[2..]).unwrap(), Appended::Done);
        assert_eq!(address.open().unwrap().load(0).unwrap(), records);
        assert_eq!(store.load(2).unwrap(), records[2..]);
        assert_eq!(store.load(3).unwrap(), []);
    });
}

#[test]
fn only_the_next_epoch_can_be_appended_and_a_batch_is_added_whole_or_not_at_all() {
    every_kind(|address| {
        let mut store = address.create().unwrap();
        assert_eq!(store.append(&[record(1, "gap")]).unwrap(), Appended::Conflict);
        assert_eq!(store.append(&[record(0, "a")]).unwrap(), Appended::Done);
        let late = [record(0, "late"), record(1, "late")];
        assert_eq!(store.append(&late).unwrap(), Appended::Conflict);
        assert_eq!(store.append(&[record(2, "gap")]).unwrap(), Appended::Conflict);
        assert_eq!(store.load(0).unwrap(), [record(0, "a")]);
    });
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
                                store.append(&[record]).unwrap() == Appended::Done
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
    let _ = store.append(&[record(0, "a")]).unwrap();
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
    assert_eq!(store.append(&[record(0, "a")]).unwrap(), Appended::Done);
    assert!(matches!(address.create(), Err(StoreError::ExistsIn { .. })));
    assert_eq!(address.open().unwrap().load(0).unwrap(), [record(0, "a")]);
}

#[test]
fn a_store_that_lost_its_connection_makes_another() {
    let folder = tempfile::tempdir().unwrap();
    let database = kit::Postgres::shared().database("");
    let address = StoreAddress::parse(&settings(&database.uri(), folder.path())).unwrap();
    let mut store = address.create().unwrap();
    let _ = store.append(&[record(0, "a")]).unwrap();
    database.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity \
         where application_name = 'labseal keys' and datname = current_database()",
    );
    // The loss may be noticed by the first question; the second has a connection of its own.
    let _ = store.load(0);
    assert_eq!(store.load(0).unwrap(), [record(0, "a")]);
    assert_eq!(store.append(&[record(1, "b")]).unwrap(), Appended::Done);
}

#[test]
fn a_server_that_is_away_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings("postgres://labseal@127.0.0.1:1/keys", folder.path());
    let Err(error) = StoreAddress::parse(&settings).unwrap().open() else { panic!("opened") };
    assert!(matches!(error, StoreError::Server { .. }));
    assert!(error.to_string().contains("postgres://127.0.0.1/keys"), "{error}");
}
