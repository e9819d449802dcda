//! Keys outlive everything: rotation under load, and `kill -9` at any moment.

mod kit;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use kit::{
    Labseal, Postgres, Request, Stand, labseal::Setup, policy, random, stand::Direct, tee::Tee,
};

/// The eight characters that name flags, key version and class in an envelope of mode `r`.
fn header(envelope: &str) -> &str {
    assert!(envelope.starts_with("ls1r"), "{envelope}");
    &envelope[4..12]
}

fn write(stand: &Stand, n: u32) {
    let body = format!(r#"{{"mrn":"M{n}","last_name":"Name {n}","notes":"note {n}"}}"#);
    stand.lims(Request::post("/patients", &body));
}

/// Fails unless every stored value opens; gives how many records there are.
fn everything_opens(stand: &Stand) -> usize {
    let answer = stand.lims(Request::get("/patients?select=mrn,last_name,notes&order=id"));
    let rows = answer.json();
    let rows = rows.as_array().unwrap();
    for row in rows {
        let n = row["mrn"].as_str().unwrap().strip_prefix('M').unwrap();
        assert_eq!(row["last_name"], format!("Name {n}"));
        assert_eq!(row["notes"], format!("note {n}"));
        let found =
            Request::get(&format!("/patients?mrn=eq.M{n}&last_name=eq.Name%20{n}&select=mrn"));
        assert_eq!(stand.lims(found).text(), format!(r#"[{{"mrn":"M{n}"}}]"#));
    }
    rows.len()
}

fn newest(stand: &Stand) -> String {
    stand.sql("select notes from lab.patients order by id desc limit 1").trim().to_owned()
}

#[test]
fn a_rotation_is_in_use_within_a_second_and_old_values_still_open() {
    let stand = Stand::start();
    let mut seen = Vec::new();
    for n in 0..4 {
        write(&stand, n);
        seen.push(header(&newest(&stand)).to_owned());
        stand.labseal.must(&["keys", "rotate"]);
        std::thread::sleep(Duration::from_secs(1));
    }
    write(&stand, 4);
    seen.push(header(&newest(&stand)).to_owned());
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5, "each version has its own kid: {seen:?}");
    assert_eq!(everything_opens(&stand), 5);
    let listed = stand.labseal.must(&["keys", "list"]);
    assert!(listed.matches("decrypt").count() >= 4, "{listed}");
}

#[test]
fn a_rotation_asks_nothing_and_says_so_when_it_has_nothing_to_open() {
    let stand = Stand::start();
    std::fs::remove_file(stand.labseal.folder().join("root.key")).unwrap();
    let output = stand.labseal.cli(&["keys", "rotate"]);
    assert!(!output.status.success());
    // What runs has its keys, and goes on.
    write(&stand, 1);
    assert_eq!(everything_opens(&stand), 1);
}

/// Kills a command at moments that are spread over all of it, writes a record after each, and lets
/// labseal start again: everything opens, before and after.
fn kill_often(stand: &mut Stand, command: &[&str], kills: u32) {
    let start = kit::now();
    stand.labseal.must(command);
    let whole = start.elapsed();
    for n in 0..kills {
        let mut rotation = stand.labseal.begin(command);
        let jitter = u32::from(random::<1>()[0]) % 8;
        std::thread::sleep(whole * (n * 8 + jitter) / (kills * 8));
        rotation.kill();
        write(stand, n);
    }
    assert_eq!(everything_opens(stand), kills as usize);
    stand.labseal.stop();
    stand.labseal.run();
    assert_eq!(everything_opens(stand), kills as usize);
}

#[test]
fn rotations_killed_at_any_moment_lose_nothing() {
    let mut stand = Stand::start();
    kill_often(&mut stand, &["keys", "rotate"], 24);
    stand.labseal.must(&["keys", "rotate"]);
    stand.labseal.must(&["audit", "verify"]);
}

/// Writes records until told to stop; gives how many were acknowledged.
fn stream(labseal: &Labseal, from: u32, stop: &AtomicBool) -> Vec<u32> {
    let (key, address) = (labseal.key("lims").to_owned(), labseal.address());
    let next = AtomicU32::new(from);
    let worker = || {
        let mut done = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let body = format!(r#"{{"mrn":"M{n}","last_name":"Name {n}","notes":"note {n}"}}"#);
            let answer = Request::post("/patients", &body).key(&key).try_send(address);
            if answer.is_ok_and(|answer| answer.status == 201) {
                done.push(n);
            }
        }
        done
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

#[test]
fn a_run_killed_amid_writes_and_rotations_loses_nothing() {
    // One that was killed is waited for until its lease is over.
    let mut stand = Stand::keyed(&Postgres::shared(), "lease: 3s");
    let mut acknowledged = Vec::new();
    for round in 0..4 {
        let stop = Arc::new(AtomicBool::new(false));
        let done = std::thread::scope(|scope| {
            let (labseal, stopped) = (&stand.labseal, Arc::clone(&stop));
            let writers = scope.spawn(move || stream(labseal, round * 100_000, &stopped));
            std::thread::sleep(Duration::from_millis(150));
            labseal.must(&["keys", "rotate"]);
            std::thread::sleep(Duration::from_millis(u64::from(random::<1>()[0])));
            labseal.signal("KILL");
            std::thread::sleep(Duration::from_millis(50));
            stop.store(true, Ordering::Relaxed);
            writers.join().unwrap()
        });
        assert!(!done.is_empty(), "nothing was written in round {round}");
        acknowledged.extend(done);
        stand.labseal.kill();
        stand.labseal.run();
        assert!(everything_opens(&stand) >= acknowledged.len());
    }
    let stored = stand.lims(Request::get("/patients?select=mrn&limit=100000")).text();
    for n in acknowledged {
        assert!(stored.contains(&format!("\"M{n}\"")), "the acknowledged M{n} is gone");
    }
    stand.labseal.must(&["audit", "verify"]);
}

#[test]
fn eight_rotations_at_once_leave_every_key_resolvable() {
    let stand = Stand::start();
    write(&stand, 0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| stand.labseal.cli(&["keys", "rotate"]));
        }
        for n in 1..30 {
            write(&stand, n);
        }
    });
    assert_eq!(everything_opens(&stand), 30);
    stand.labseal.must(&["keys", "list"]);
}

#[test]
fn with_the_key_log_in_postgresql_rotations_and_restarts_are_the_same() {
    let server = Postgres::shared();
    let store = server.database("");
    let direct = Direct::sealed(&server);
    let tee = Tee::start(direct.address());
    let labseal = Setup::new(policy::LAB, tee.address()).store(&store.uri()).start();
    let mut stand = Stand { labseal, tee, direct };
    let count = "select count(*) from labseal_key_log";
    let before: u32 = store.sql(count).trim().parse().unwrap();
    for n in 0..3 {
        write(&stand, n);
        stand.labseal.must(&["keys", "rotate"]);
        // Its connections may go at any time.
        store.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity \
             where application_name = 'labseal keys' and datname = current_database()",
        );
        std::thread::sleep(Duration::from_secs(1));
        write(&stand, n + 10);
    }
    let after: u32 = store.sql(count).trim().parse().unwrap();
    assert_eq!(after, before + 6, "each rotation adds a key and activates it");
    assert_eq!(everything_opens(&stand), 6);
    stand.labseal.stop();
    stand.labseal.run();
    assert_eq!(everything_opens(&stand), 6);
    assert!(!stand.labseal.folder().join("labseal.db").exists());
    // An older copy of the log is noticed, whoever restored it.
    stand.labseal.stop();
    store.sql("delete from labseal_key_log where epoch >= 3");
    let refused = stand.labseal.cli(&["keys", "list"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("rolled back"), "{said}");
}

#[test]
fn root_rotations_killed_at_any_moment_lose_nothing() {
    let mut stand = Stand::keyed(&Postgres::shared(), "lease: 3s");
    let kills = 12;
    kill_often(&mut stand, &["keys", "rotate", "root"], kills);
    // What was cut short is settled by whoever comes next, and nothing of an older root key is left.
    stand.labseal.must(&["keys", "rotate", "root"]);
    let status = stand.labseal.must(&["keys", "status", "--json"]);
    assert!(status.contains(r#""handover":false"#), "{status}");
    assert_eq!(everything_opens(&stand), kills as usize);
}
