//! Replicas: who is waited for, who stops in time, how values are counted, and who rotates.

use std::{
    sync::{Arc, Barrier, Mutex},
    time::{Duration, Instant},
};

use labseal::{
    base::{
        clock::{Clock, SystemClock},
        ident::ClassId,
        refusal::Code,
    },
    crypto::Typed,
    keys::{
        AutoRotate, Freshness, Keys, KeysError, Membership, Ring, SealError, Snapshot, State,
        StoreAddress, WAIT, store::Row,
    },
};

use super::{create, kit, memory, open, opened, postgres, provider, seal, sqlite, tenant};

const NOW: Duration = Duration::ZERO;
const HOUR: Duration = Duration::from_secs(3_600);

/// The machine's clock, and what it is put forward by.
#[derive(Clone, Default)]
struct Hands(Arc<Mutex<Duration>>);

impl Hands {
    fn forward(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for Hands {
    fn wall(&self) -> Duration {
        SystemClock.wall() + *self.0.lock().unwrap()
    }

    fn instant(&self) -> Instant {
        SystemClock.instant() + *self.0.lock().unwrap()
    }
}

fn join(address: &StoreAddress, settings: Membership) -> (Keys, Hands) {
    let hands = Hands::default();
    let keys = Keys::open(address, &provider(), &tenant(), Arc::new(hands.clone())).unwrap();
    keys.join(settings).unwrap();
    (keys, hands)
}

/// What an operator can do who is sure that nobody seals any more, or only thinks so.
fn forget_all(address: &StoreAddress) {
    let mut store = address.open().unwrap();
    for seen in store.replicas().unwrap() {
        store.forget(&seen.row.id).unwrap();
    }
}

fn try_seal(keys: &Snapshot) -> Result<(), SealError> {
    let class = ClassId::new("c-res");
    keys.seal(&class, &Typed::from_text("1.10"), &mut Vec::new()).map(drop)
}

fn states(keys: &Keys) -> Vec<&'static str> {
    let versions = keys.describe().unwrap();
    let data = versions.iter().filter(|version| version.ring == Ring::Data);
    data.map(|version| version.state.as_str()).collect()
}

#[test]
fn a_version_is_activated_when_every_live_replica_has_acknowledged_it_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    for address in [memory(), sqlite(folder.path()), postgres(folder.path())] {
        let keys = create(&address);
        let (prompt, _) = join(&address, Membership::new("prompt"));
        let (slow, _) = join(&address, Membership::new("slow"));
        let error = std::thread::scope(|scope| {
            let rotation = scope.spawn(|| {
                keys.rotate_watched(Ring::Data, Duration::from_millis(600), &|_| ()).unwrap_err()
            });
            while !rotation.is_finished() {
                prompt.tick().unwrap();
                std::thread::sleep(Duration::from_millis(20));
            }
            rotation.join().unwrap()
        });
        let text = error.to_string();
        assert!(text.contains("slow") && !text.contains("prompt"), "{text}");
        assert_eq!(states(&keys), ["active", "pre_active"]);
        // The next one goes on from there.
        assert!(slow.tick().unwrap());
        assert_eq!(keys.rotate_watched(Ring::Data, NOW, &|_| ()).unwrap().version, 2);
        assert_eq!(states(&keys), ["decrypt_only", "active"]);
        // What stopped in order is not waited for.
        for replica in [&slow, &prompt] {
            replica.leave().unwrap();
            replica.tick().unwrap();
            assert!(matches!(try_seal(&replica.snapshot()), Err(SealError::Stale)));
        }
        assert_eq!(keys.replicas().unwrap(), []);
        assert_eq!(keys.rotate_watched(Ring::Data, NOW, &|_| ()).unwrap().version, 3);
    }
}

#[test]
fn a_replica_that_died_is_waited_for_until_its_own_lease_is_over() {
    let address = memory();
    let keys = create(&address);
    let short = Membership { lease: Duration::from_millis(300), ..Membership::new("short") };
    drop(join(&address, short));
    assert!(keys.rotate_watched(Ring::Data, NOW, &|_| ()).is_err());
    let begun = kit::now();
    assert_eq!(keys.rotate_watched(Ring::Data, WAIT, &|_| ()).unwrap().version, 2);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(!keys.replicas().unwrap()[0].is_live());
}

#[test]
fn a_row_that_is_not_under_the_root_key_holds_up_a_rotation_and_hurries_none() {
    let address = memory();
    let keys = create(&address);
    let (replica, _) = join(&address, Membership::new("r1"));
    let mut store = address.open().unwrap();
    let seen = store.replicas().unwrap().remove(0).row;
    let text = String::from_utf8(seen.body.clone()).unwrap();
    let (start, end) = text.split_once("\"epoch\":").unwrap();
    let end = end.split_once(',').unwrap().1;
    let body = format!("{start}\"epoch\":999,{end}").into_bytes();
    store.beat(&Row { body, ..seen.clone() }).unwrap();
    let error = keys.rotate_watched(Ring::Data, NOW, &|_| ()).unwrap_err();
    assert!(matches!(error, KeysError::Unacknowledged { .. }), "{error}");
    // Nor is a good row good for another replica.
    replica.tick().unwrap();
    let row = store.replicas().unwrap().remove(0).row;
    store.beat(&Row { id: "other".to_owned(), ..row }).unwrap();
    replica.tick().unwrap();
    assert!(keys.rotate_watched(Ring::Data, NOW, &|_| ()).is_err());
    store.forget("other").unwrap();
    replica.leave().unwrap();
    keys.rotate_watched(Ring::Data, NOW, &|_| ()).unwrap();
}

#[test]
fn out_of_touch_it_stops_sealing_after_the_lease_and_opening_after_the_grace() {
    let address = memory();
    let keys = create(&address);
    let (replica, hands) = join(&address, Membership::new("r1"));
    let snapshot = replica.snapshot();
    let sealed = seal(&snapshot, "c-res", "1.10");
    hands.forward(Duration::from_secs(9));
    try_seal(&snapshot).unwrap();
    hands.forward(Duration::from_secs(2));
    let refused = try_seal(&snapshot).unwrap_err();
    assert_eq!(refused.code(), Code::KeysStale, "{refused}");
    assert_eq!(replica.freshness(), Freshness::Stale);
    assert_eq!(opened(&snapshot, &sealed), "1.10");
    // Others may have gone on without it: what it does not know it does not judge.
    forget_all(&address);
    keys.rotate_watched(Ring::Data, NOW, &|_| ()).unwrap();
    let newer = seal(&keys.snapshot(), "c-res", "2");
    assert_eq!(opened(&snapshot, &newer), "(Unknown)");
    let foreign = seal(&create(&memory()).snapshot(), "c-res", "3");
    assert_eq!(opened(&snapshot, &foreign), "(Unknown)");
    hands.forward(23 * HOUR);
    assert_eq!(opened(&snapshot, &sealed), "1.10");
    hands.forward(HOUR);
    assert_eq!(opened(&snapshot, &sealed), "(Expired)");
    assert_eq!(replica.freshness(), Freshness::Expired);
    // In touch again, it knows all, and the exchange that began before seals with the newest key.
    replica.tick().unwrap();
    assert_eq!(opened(&snapshot, &newer), "2");
    assert_eq!(opened(&snapshot, &foreign), "(not ours)");
    let late = seal(&snapshot, "c-res", "4");
    let kid = labseal::crypto::envelope::parse(late.as_bytes()).unwrap().kid();
    assert_eq!(replica.snapshot().version_of(kid), Some((Ring::Data, 2)));
}

#[test]
fn a_machine_that_slept_does_not_seal_when_it_wakes() {
    /// A clock whose monotonic side stood still.
    struct Asleep(Hands);
    impl Clock for Asleep {
        fn wall(&self) -> Duration {
            self.0.wall()
        }
        fn instant(&self) -> Instant {
            SystemClock.instant()
        }
    }
    let address = memory();
    create(&address);
    let hands = Hands::default();
    let clock = Arc::new(Asleep(hands.clone()));
    let keys = Keys::open(&address, &provider(), &tenant(), clock).unwrap();
    keys.join(Membership::new("laptop")).unwrap();
    try_seal(&keys.snapshot()).unwrap();
    hands.forward(HOUR);
    assert!(matches!(try_seal(&keys.snapshot()), Err(SealError::Stale)));
    keys.tick().unwrap();
    try_seal(&keys.snapshot()).unwrap();
}

#[test]
fn a_key_that_was_brought_in_by_force_is_looked_for_before_it_is_called_foreign() {
    let address = memory();
    let keys = create(&address);
    let (replica, hands) = join(&address, Membership::new("r1"));
    let snapshot = replica.snapshot();
    let forced = || {
        forget_all(&address);
        keys.rotate_watched(Ring::Data, NOW, &|_| ()).unwrap();
        seal(&keys.snapshot(), "c-res", "2")
    };
    assert_eq!(opened(&snapshot, &forced()), "2");
    // Not more often than once in a second, or foreign texts would ask for all of them.
    assert_eq!(opened(&snapshot, &forced()), "(not ours)");
    hands.forward(Duration::from_secs(2));
    assert_eq!(opened(&snapshot, &forced()), "2");
}

#[test]
fn values_are_counted_before_they_are_sealed_and_no_more_are_sealed_than_may_be() {
    let address = memory();
    create(&address);
    let few = Membership { block: 4, hard_stop: 10, auto_rotate: None, ..Membership::new("few") };
    let (one, _) = join(&address, few.clone());
    let leased = || address.open().unwrap().leased().unwrap()[&(Ring::Data, 1)];
    let mut sealed = 0;
    for _ in 0..3 {
        try_seal(&one.snapshot()).unwrap();
        sealed += 1;
        assert!(leased() >= sealed);
    }
    one.tick().unwrap();
    // It dies, and what it had counted ahead is counted for good.
    drop(one);
    let (two, _) = join(&address, few);
    let mut more = 0;
    let refused = loop {
        two.tick().unwrap();
        match try_seal(&two.snapshot()) {
            Ok(()) => more += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.code(), Code::KeyExhausted, "{refused}");
    assert_eq!(more, 2, "of ten, eight were counted by the one that died");
    assert!(leased() >= sealed + more);
    // Mode d is not counted, and after a rotation everything goes on.
    seal(&two.snapshot(), "c-mrn", "M1");
    two.rotate(Ring::Data).unwrap();
    try_seal(&two.snapshot()).unwrap();
}

#[test]
fn sealing_waits_for_the_count_and_not_the_count_for_sealing() {
    let address = memory();
    create(&address);
    let (keys, _) = join(&address, Membership { block: 4, ..Membership::new("fast") });
    (0..4).for_each(|_| try_seal(&keys.snapshot()).unwrap());
    assert!(matches!(try_seal(&keys.snapshot()), Err(SealError::Uncounted)));
    keys.tick().unwrap();
    // Who seals fast is given more at once.
    (0..16).for_each(|_| try_seal(&keys.snapshot()).unwrap());
}

#[test]
fn two_services_that_rotate_by_themselves_at_once_make_one_version() {
    let folder = tempfile::tempdir().unwrap();
    for address in [sqlite(folder.path()), postgres(folder.path())] {
        create(&address);
        let worn = Some(AutoRotate { age: HOUR, values: 10 });
        let worn = |name| Membership { auto_rotate: worn, block: 2, ..Membership::new(name) };
        let services = ["a", "b"].map(|name| join(&address, worn(name)).0);
        for service in &services {
            assert!(service.auto_rotate(WAIT).unwrap().is_none());
        }
        for _ in 0..10 {
            try_seal(&services[0].snapshot()).unwrap();
            services[0].tick().unwrap();
        }
        let start = Barrier::new(2);
        let (start, services) = (&start, &services);
        std::thread::scope(|scope| {
            for service in services {
                scope.spawn(move || {
                    let begun = kit::now();
                    start.wait();
                    let rotating = scope.spawn(move || service.auto_rotate(WAIT).unwrap());
                    while !rotating.is_finished() || begun.elapsed() < Duration::from_secs(1) {
                        service.tick().unwrap();
                        std::thread::sleep(Duration::from_millis(20));
                    }
                });
            }
        });
        for service in services {
            service.tick().unwrap();
            assert_eq!(states(service), ["decrypt_only", "active"]);
            assert!(service.auto_rotate(WAIT).unwrap().is_none(), "it has just been done");
        }
    }
}

#[test]
fn an_old_version_is_rotated_away_and_the_age_counts_from_its_activation() {
    let address = memory();
    create(&address);
    let worn = Some(AutoRotate { age: 24 * HOUR, values: 1 << 32 });
    let (keys, hands) = join(&address, Membership { auto_rotate: worn, ..Membership::new("a") });
    hands.forward(23 * HOUR);
    keys.tick().unwrap();
    assert!(keys.auto_rotate(WAIT).unwrap().is_none());
    hands.forward(2 * HOUR);
    keys.tick().unwrap();
    assert_eq!(keys.auto_rotate(WAIT).unwrap().unwrap().version, 2);
    hands.forward(23 * HOUR);
    keys.tick().unwrap();
    assert!(keys.auto_rotate(WAIT).unwrap().is_none());
    let active = keys.describe().unwrap().into_iter().find(|v| v.state == State::Active).unwrap();
    assert_eq!(active.version, 2);
}

#[test]
fn who_cannot_follow_the_log_acknowledges_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let address = sqlite(folder.path());
    let keys = create(&address);
    let (replica, _) = join(&address, Membership::new("r1"));
    keys.register(&[]).unwrap();
    let seen = |address: &StoreAddress| address.open().unwrap().replicas().unwrap()[0].age;
    let database = rusqlite::Connection::open(folder.path().join("labseal.db")).unwrap();
    database.execute("DELETE FROM key_log WHERE epoch > 5", []).unwrap();
    std::thread::sleep(Duration::from_millis(1_200));
    assert!(replica.tick().is_err());
    assert!(seen(&address) > Duration::from_secs(1));
    assert!(open(&address).is_err());
}
