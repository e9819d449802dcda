//! Several processes on one key log: nothing comes into use that a live one does not know, and who is
//! cut off stops sealing in time.

mod kit;

use std::time::Duration;

use kit::{
    Answer, Labseal, Postgres, Request, Stand, cut::Cut, labseal::Setup, policy, stand::Direct,
    wait_until,
};
use serde_json::Value;

fn write(labseal: &Labseal, n: u32) -> Answer {
    let body = format!(r#"{{"mrn":"M{n}","last_name":"Name {n}","notes":"note {n}"}}"#);
    Request::post("/patients", &body).key(labseal.key("lims")).send(labseal.address())
}

fn read(labseal: &Labseal, n: u32) -> Answer {
    let target = format!("/patients?select=notes&mrn=eq.M{n}");
    Request::get(&target).key(labseal.key("lims")).send(labseal.address())
}

fn assert_reads(labseal: &Labseal, n: u32) {
    let answer = read(labseal, n);
    assert_eq!(answer.text(), format!(r#"[{{"notes":"note {n}"}}]"#), "{}", answer.start);
}

fn code(answer: &Answer) -> String {
    answer.header("labseal-error").unwrap_or_default().to_owned()
}

fn status(labseal: &Labseal) -> Value {
    serde_json::from_str(&labseal.must(&["keys", "status", "--json"])).unwrap()
}

/// The states of the data ring's versions, in order.
fn states(labseal: &Labseal) -> Vec<String> {
    let status = status(labseal);
    let versions = status["versions"].as_array().unwrap().iter();
    let data = versions.filter(|version| version["ring"] == "data");
    data.map(|version| version["state"].as_str().unwrap().to_owned()).collect()
}

/// The kid under which the newest note is stored.
fn newest_header(direct: &Direct) -> String {
    let stored = direct.database.sql("select notes from lab.patients order by id desc limit 1");
    stored.trim()[4..12].to_owned()
}

fn audited(labseal: &Labseal) -> Vec<Value> {
    let mut lines = Vec::new();
    for (_, bytes) in kit::postgres::read_tree(&labseal.audit()) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        lines.extend(text.lines().filter_map(|line| serde_json::from_str(line).ok()));
    }
    lines
}

#[test]
fn cut_off_from_the_key_store_a_replica_stops_sealing_before_others_go_on_without_it() {
    let server = Postgres::shared();
    let store = server.database("");
    let wire = Cut::start(store.address());
    let direct = Direct::sealed(&server);
    let near =
        Setup::new(policy::LAB, direct.address()).store(&store.uri()).keys("lease: 3s").start();
    let far = Setup::new(policy::LAB, direct.address())
        .store(&store.uri_through(wire.address()))
        .keys("lease: 3s, grace: 20s")
        .beside(&near);
    for (n, labseal) in [(1, &near), (2, &far)] {
        assert_eq!(write(labseal, n).status, 201);
    }
    let old = newest_header(&direct);
    wire.cut();
    assert_eq!(write(&far, 3).status, 201, "it is in touch until its lease is over");
    // Activation waits for it, and by then it seals no more.
    let rotated = near.cli(&["keys", "rotate"]);
    let refused = write(&far, 4);
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    assert_eq!((refused.status, code(&refused)), (503, "LS533".to_owned()));
    assert_eq!(write(&near, 5).status, 201);
    assert_ne!(newest_header(&direct), old);
    // It opens what it knows, and does not take for foreign text what it does not.
    assert_reads(&far, 1);
    let unknown = read(&far, 5);
    assert_eq!((unknown.status, code(&unknown)), (503, "LS536".to_owned()));
    let ready = Request::get("/readyz").send(far.ops());
    assert!(ready.status == 503 && ready.text().contains("nothing is sealed"), "{}", ready.text());
    assert!(far.metrics().contains("labseal_keys_seal 0"));
    assert!(near.metrics().contains("labseal_keys_seal 1"));
    // After the grace it opens nothing, and a write that would answer something is not forwarded.
    wait_until("the end of the grace", Duration::from_secs(40), || code(&read(&far, 1)) == "LS534");
    assert!(far.metrics().contains("labseal_keys_open 0"));
    wire.mend();
    wait_until("touch", Duration::from_secs(30), || write(&far, 6).status == 201);
    assert_ne!(newest_header(&direct), old);
    for n in [1, 2, 3, 5, 6] {
        assert_reads(&far, n);
        assert_reads(&near, n);
    }
}

#[test]
fn a_replica_that_hangs_is_named_and_the_next_rotation_goes_on_from_there() {
    let server = Postgres::shared();
    let direct = Direct::sealed(&server);
    let first = Setup::new(policy::LAB, direct.address()).keys("lease: 60s").start();
    let file = first.folder().join("labseal.db");
    let second = Setup::new(policy::LAB, direct.address())
        .keys("lease: 60s")
        .store(&format!("sqlite:{}", file.display()))
        .beside(&first);
    let replicas = status(&first)["replicas"].clone();
    let live: Vec<_> = replicas.as_array().unwrap().iter().map(|r| r["state"].clone()).collect();
    assert_eq!(live, ["live", "live"]);
    second.signal("STOP");
    let foreseen = first.must(&["keys", "rotate", "--dry-run"]);
    assert!(foreseen.contains("2 live replicas"), "{foreseen}");
    assert_eq!(states(&first), ["active"]);
    let output = first.cli(&["keys", "rotate", "--wait", "2s"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("replica"), "{said}");
    assert_eq!(states(&first), ["active", "pre_active"]);
    let behind = status(&first)["replicas"].clone();
    let behind = behind.as_array().unwrap().iter().find(|r| r["state"] == "behind").cloned();
    let id = behind.unwrap()["id"].as_str().unwrap()[..8].to_owned();
    assert!(said.contains(&id), "{said}");
    assert_eq!(write(&first, 1).status, 201, "nobody else is held up");
    second.signal("CONT");
    first.must(&["keys", "rotate"]);
    assert_eq!(states(&first), ["decrypt_only", "active"]);
    for (n, labseal) in [(2, &first), (3, &second)] {
        assert_eq!(write(labseal, n).status, 201);
    }
    for n in 1..4 {
        assert_reads(&first, n);
        assert_reads(&second, n);
    }
}

#[test]
fn a_suspended_version_opens_nothing_and_the_audit_log_says_why() {
    let stand = Stand::start();
    assert_eq!(write(&stand.labseal, 1).status, 201);
    stand.labseal.must(&["keys", "rotate"]);
    assert_eq!(write(&stand.labseal, 2).status, 201);
    let asked = stand.labseal.cli(&["keys", "suspend", "1"]);
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(!asked.status.success() && said.contains("--yes"), "{said}");
    let active = stand.labseal.cli(&["keys", "suspend", "2", "--yes"]);
    let said = String::from_utf8_lossy(&active.stderr).into_owned();
    assert!(!active.status.success() && said.contains("rotate first"), "{said}");
    assert_reads(&stand.labseal, 1);
    stand.labseal.must(&["keys", "suspend", "1", "--yes"]);
    // Outside it is what any altered value is.
    let refused = read(&stand.labseal, 1);
    assert_eq!((refused.status, code(&refused)), (502, "LS501".to_owned()));
    assert!(!refused.text().contains("suspended"));
    assert_reads(&stand.labseal, 2);
    stand.labseal.must(&["keys", "resume", "1"]);
    assert_reads(&stand.labseal, 1);
    stand.labseal.must(&["keys", "compromise", "1", "--yes"]);
    assert_reads(&stand.labseal, 1);
    let lines = audited(&stand.labseal);
    assert!(lines.iter().any(|line| {
        line["refusal"] == "LS501" && line["key_states"] == serde_json::json!(["suspended"])
    }));
    let ops: Vec<_> = lines
        .iter()
        .filter(|line| line["milestone"] == "key_log")
        .map(|line| {
            (line["op"].as_str().unwrap(), line["ring"].clone(), line["key_version"].clone())
        })
        .filter(|(op, ..)| *op != "class")
        .map(|(op, ring, version)| format!("{op} {} {version}", ring.as_str().unwrap()))
        .collect();
    let expected =
        ["key data 2", "activate data 2", "suspend data 1", "resume data 1", "compromise data 1"];
    assert_eq!(ops, expected);
    stand.labseal.must(&["audit", "verify"]);
}

#[test]
fn the_root_key_is_replaced_under_load_and_after_a_restart_nothing_older_is_needed() {
    let mut stand = Stand::start();
    for n in 0..3 {
        assert_eq!(write(&stand.labseal, n).status, 201);
        let told = stand.labseal.must(&["keys", "rotate", "root", "--json"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["root"], n + 2);
        stand.labseal.must(&["keys", "rotate"]);
        assert_eq!(write(&stand.labseal, n + 10).status, 201);
    }
    let root = status(&stand.labseal)["root"].clone();
    assert_eq!((&root["generation"], &root["handover"]), (&4.into(), &false.into()));
    assert_eq!(root["slots"][0]["provider"], "file");
    stand.labseal.stop();
    assert_eq!(status(&stand.labseal)["replicas"], serde_json::json!([]));
    stand.labseal.run();
    for n in [0, 1, 2, 10, 11, 12] {
        assert_reads(&stand.labseal, n);
    }
}

#[test]
fn a_worn_key_is_replaced_by_the_service_itself_once() {
    let server = Postgres::shared();
    let stand = Stand::keyed(&server, "auto_rotate: {days: 30, values: 200}");
    // Two values of the data ring in each record.
    (0..110).for_each(|n| assert_eq!(write(&stand.labseal, n).status, 201));
    wait_until("the rotation", Duration::from_secs(20), || states(&stand.labseal).len() == 2);
    wait_until("its end", Duration::from_secs(20), || states(&stand.labseal)[1] == "active");
    assert_eq!(write(&stand.labseal, 200).status, 201);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(states(&stand.labseal), ["decrypt_only", "active"]);
    assert_reads(&stand.labseal, 1);
    assert_reads(&stand.labseal, 200);
}
