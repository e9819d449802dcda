//! What happens when the surroundings fail: no record, no release; and what was promised stays.

mod kit;

use std::{
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use kit::{
    Act, Front, Request, assert_refused, fake,
    front::{canary, quiet},
    policy,
};

/// From now on the process can write nothing into files, as on a full disk.
fn fill_the_disk_of(pid: u32) {
    limit(pid, "--fsize=0:unlimited");
}

fn empty_the_disk_of(pid: u32) {
    limit(pid, "--fsize=unlimited");
}

fn limit(pid: u32, limit: &str) {
    let status = Command::new("prlimit").args(["--pid", &pid.to_string(), limit]).status();
    assert!(status.unwrap().success());
}

/// An upstream that answers reads with what was last written.
fn remembering() -> Front {
    let last = Mutex::new("[]".to_owned());
    Front::with(policy::LAB, move |request| {
        if request.start.starts_with("POST ") {
            *last.lock().unwrap() = request.text();
        }
        fake::json(&last.lock().unwrap())
    })
}

#[test]
fn ls531_without_an_audit_log_nothing_is_done_or_released() {
    let (canary, canaries) = canary();
    let mut front = Front::start();
    front.labseal.stop();
    front.labseal.run_where_files_can_fail();
    let write = Request::post("/patients", &format!(r#"{{"mrn":"{canary}"}}"#));
    assert_eq!(front.send("lims", write.clone()).status, 201);
    let before = front.fake.requests().len();
    fill_the_disk_of(front.labseal.pid());
    let answer = front.send("lims", write.clone());
    assert_refused(&answer, "LS531", &canaries);
    assert_eq!(front.fake.requests().len(), before);
    empty_the_disk_of(front.labseal.pid());
    kit::wait_until("the audit log to come back", std::time::Duration::from_secs(20), || {
        front.send("lims", write.clone()).status == 201
    });
    front.labseal.stop();
    front.labseal.must(&["audit", "verify"]);
}

#[test]
fn ls531_a_read_is_not_released_without_a_record() {
    let mut front = remembering();
    let (canary, canaries) = canary();
    front.labseal.stop();
    front.labseal.run_where_files_can_fail();
    front.send("lims", Request::post("/patients", &format!(r#"{{"mrn":"{canary}"}}"#)));
    let read = Request::get(&format!("/patients?mrn=eq.{canary}"));
    assert!(front.send("lims", read.clone()).text().contains(&canary));
    fill_the_disk_of(front.labseal.pid());
    assert_refused(&front.send("lims", read), "LS531", &canaries);
}

#[test]
fn ls532_a_write_whose_outcome_cannot_be_recorded_says_so() {
    let pid = Arc::new(AtomicU32::new(0));
    let filled = Arc::clone(&pid);
    let reply = move |request: &kit::http::Message| -> Vec<Act> {
        match filled.load(Ordering::Relaxed) {
            0 => {}
            pid => fill_the_disk_of(pid),
        }
        quiet(request)
    };
    let (canary, canaries) = canary();
    let mut front = Front::with(policy::LAB, reply);
    front.labseal.stop();
    front.labseal.run_where_files_can_fail();
    pid.store(front.labseal.pid(), Ordering::Relaxed);
    let write = Request::post("/patients", &format!(r#"{{"mrn":"{canary}"}}"#));
    let answer = front.send("lims", write);
    assert_refused(&answer, "LS532", &canaries);
    assert_eq!(front.fake.requests().len(), 1);
}

#[test]
fn an_answer_cut_mid_body_is_never_a_clean_end() {
    let (_, canaries) = canary();
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[{\"id\":1",
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n[{\"id\":1\r\n",
    ] {
        let acts = vec![Act::Send(bytes.into()), Act::Reset];
        let front = Front::with(policy::LAB, move |_| acts.clone());
        let answer = Request::get("/patients?select=id").key(front.labseal.key("lims"));
        match answer.try_send(front.labseal.address()) {
            Ok(answer) => assert_eq!(answer.status, 502, "{}", answer.text()),
            Err(_) => continue,
        }
        canaries.assert_none("upstream", &front.fake.received());
    }
}

#[test]
fn a_long_answer_that_stops_opening_is_torn_down() {
    // Past a mebibyte the head has gone; then a stored value turns out to be altered.
    let mut rows = String::from("[");
    for n in 0..40_000 {
        rows.push_str(&format!(
            r#"{{"id":{n},"ward":"a ward with a long enough name","notes":null}},"#
        ));
    }
    rows.push_str(r#"{"id":-1,"ward":"last","notes":"plaintext"}]"#);
    let front = Front::with(policy::LAB, move |_| fake::json(&rows));
    let request = Request::get("/patients").key(front.labseal.key("lims"));
    match request.try_send(front.labseal.address()) {
        Ok(answer) => panic!("came to a clean end: {}, {} bytes", answer.start, answer.body.len()),
        Err(error) => assert!(!error.to_string().contains("plaintext")),
    }
}

#[test]
fn a_policy_that_is_wrong_does_not_replace_the_one_in_force() {
    let mut front = Front::start();
    let path = front.labseal.folder().join("policy.yaml");
    std::fs::write(&path, "apiVersion: labseal/v1\nkind: Policy\nclasses: {mrn: {mode: none}}\n")
        .unwrap();
    front.labseal.signal("HUP");
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(front.labseal.runs());
    let (canary, canaries) = canary();
    let body = format!(r#"{{"mrn":"{canary}"}}"#);
    assert_eq!(front.send("lims", Request::post("/patients", &body)).status, 201);
    canaries.assert_none("upstream", &front.fake.received());
    // One that is right does, without a restart.
    let closed =
        policy::LAB.replace("lims:      {\"*\": {read: clear, filter: allow, write: allow}}", "");
    std::fs::write(&path, closed).unwrap();
    front.labseal.signal("HUP");
    kit::wait_until("the new policy", std::time::Duration::from_secs(10), || {
        front.send("lims", Request::post("/patients", &body)).status == 403
    });
}
