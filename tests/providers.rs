//! Providers of the root key as operators meet them: at `init`, at a start without them, while they are
//! gone, and when one takes the place of another.

mod kit;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use kit::{
    Fake, Labseal, Request,
    fake::{Act, answer, json},
    http::Message,
    kms::{self, Moto},
    labseal::{Setup, private},
    policy,
    process::{self, User},
    softhsm::{self, MODULE, PIN, SoftHsm},
    wait_until,
};

/// An API with one patient, the one that was written last.
fn one_patient() -> (Fake, Arc<Mutex<String>>) {
    let stored = Arc::new(Mutex::new(String::new()));
    let kept = stored.clone();
    let fake = Fake::start(move |request: &Message| -> Vec<Act> {
        let mut kept = kept.lock().unwrap();
        if request.start.starts_with("POST") {
            *kept = request.text();
            return vec![Act::Send(answer("201 Created", &[], b""))];
        }
        json(&format!("[{kept}]"))
    });
    (fake, stored)
}

/// Seals, and opens what was sealed. Gives what was stored.
fn round_trip(labseal: &Labseal, stored: &Mutex<String>, name: &str) -> String {
    let key = labseal.key("lims");
    let body = format!(r#"{{"mrn":"M-{name}","last_name":"{name}","notes":"note of {name}"}}"#);
    let written = Request::post("/patients", &body).key(key).send(labseal.address());
    assert_eq!(written.status, 201, "{}", written.text());
    let stored = stored.lock().unwrap().clone();
    assert!(stored.contains("ls1r") && !stored.contains(name), "{stored}");
    let read = Request::get("/patients?select=mrn,last_name,notes").key(key);
    assert_eq!(read.send(labseal.address()).text(), format!("[{body}]"));
    stored
}

fn token(hsm: &SoftHsm) -> (String, [(&'static str, String); 1]) {
    let members =
        format!("kind: pkcs11, module: {MODULE}, token: lab, key: kek-1, pin: \"file:pin\"");
    (members, [hsm.variable()])
}

fn pin(folder: &Path) {
    private(&folder.join("pin"), &format!("{PIN}\n"));
}

fn service(moto: &Moto) -> (String, Vec<(&'static str, String)>) {
    let arn = kms::make_key(moto.address());
    let members = format!("kind: aws-kms, key: \"{arn}\", endpoint: \"{}\"", moto.endpoint());
    let environment = kms::CREDENTIALS.map(|(name, value)| (name, value.to_owned()));
    (members, environment.into())
}

fn readiness(labseal: &Labseal) -> (u16, String) {
    let answer = Request::get("/readyz").try_send(labseal.ops());
    answer.map_or((0, String::new()), |answer| (answer.status, answer.text()))
}

/// Goes on for long enough that the data ring rotates by itself.
fn goes_on_alone(labseal: &Labseal, stored: &Mutex<String>) {
    let before = round_trip(labseal, stored, "Aardvark");
    let epoch = |metrics: &str| -> u64 {
        let line = metrics.lines().find(|line| line.starts_with("labseal_key_epoch"));
        line.unwrap().split(' ').next_back().unwrap().parse().unwrap()
    };
    let begun = epoch(&labseal.metrics());
    wait_until("the data ring to rotate", Duration::from_secs(60), || {
        round_trip(labseal, stored, "Badger");
        epoch(&labseal.metrics()) > begun
    });
    round_trip(labseal, stored, "Capybara");
    // What was sealed under the version before still opens.
    *stored.lock().unwrap() = before;
    let read = Request::get("/patients?select=mrn,last_name,notes").key(labseal.key("lims"));
    assert!(read.send(labseal.address()).text().contains("Aardvark"));
    assert_eq!(readiness(labseal).0, 200);
}

#[test]
fn a_token_that_is_pulled_out_after_the_start_is_not_missed() {
    let hsm = SoftHsm::new("lab");
    let (members, environment) = token(&hsm);
    let (fake, stored) = one_patient();
    let setup = Setup::new(policy::LAB, fake.address()).provider(&members, &environment);
    let mut labseal = setup.keys("auto_rotate: {values: 40}").init(pin);
    labseal.run();
    softhsm::take_away(hsm.folder());
    goes_on_alone(&labseal, &stored);
    assert!(!labseal.log().contains(PIN));
    assert_eq!(labseal.cli(&["keys", "status"]).status.code(), Some(1));
    softhsm::put_back(hsm.folder());
    labseal.stop();
    labseal.run();
    round_trip(&labseal, &stored, "Dormouse");
}

#[test]
fn a_key_service_that_goes_away_after_the_start_is_not_missed() {
    let mut moto = Moto::start();
    let (members, environment) = service(&moto);
    let (fake, stored) = one_patient();
    let setup = Setup::new(policy::LAB, fake.address()).provider(&members, &environment);
    let mut labseal = setup.keys("auto_rotate: {values: 40}").start();
    moto.kill();
    goes_on_alone(&labseal, &stored);
    labseal.stop();
    let secret = kms::CREDENTIALS[1].1;
    assert!(!labseal.log().contains(secret));
    labseal.begin_to_run(&["--wait-for-keys", "0s"]);
    labseal.ends(1);
    assert!(labseal.log().contains("AWS KMS cannot be reached"), "{}", labseal.log());
}

#[test]
fn a_start_without_the_token_waits_and_says_for_what() {
    let hsm = SoftHsm::new("lab");
    let (members, environment) = token(&hsm);
    let (fake, stored) = one_patient();
    let setup = Setup::new(policy::LAB, fake.address()).provider(&members, &environment);
    let mut labseal = setup.init(pin);
    softhsm::take_away(hsm.folder());
    labseal.begin_to_run(&[]);
    wait_until("a word of what is waited for", Duration::from_secs(30), || {
        readiness(&labseal).1.contains("there is no token labelled lab")
    });
    let (status, said) = readiness(&labseal);
    assert_eq!(status, 503);
    assert!(said.contains("\"starting\"") && said.contains("the pkcs11 provider"), "{said}");
    assert_eq!(Request::get("/livez").send(labseal.ops()).status, 200);
    assert_eq!(Request::get("/metrics").send(labseal.ops()).status, 503);
    assert!(Request::get("/patients").try_send(labseal.address()).is_err(), "nothing is served");
    let log = labseal.log();
    assert!(log.contains("waiting for the provider of the root key"), "{log}");
    softhsm::put_back(hsm.folder());
    labseal.until_ready();
    round_trip(&labseal, &stored, "Echidna");
}

#[test]
fn a_start_that_waits_ends_when_it_is_told_to_or_when_its_time_is_over() {
    let hsm = SoftHsm::new("lab");
    let (members, environment) = token(&hsm);
    let (fake, _stored) = one_patient();
    let setup = Setup::new(policy::LAB, fake.address()).provider(&members, &environment);
    let mut labseal = setup.init(pin);
    softhsm::take_away(hsm.folder());
    labseal.begin_to_run(&[]);
    wait_until("readiness", Duration::from_secs(30), || readiness(&labseal).0 == 503);
    labseal.stop();
    labseal.begin_to_run(&["--wait-for-keys", "1s"]);
    labseal.ends(1);
    assert!(labseal.log().contains("error: there is no token labelled lab"), "{}", labseal.log());
}

#[test]
fn a_wrong_pin_is_tried_once() {
    let hsm = SoftHsm::new("lab");
    let (members, environment) = token(&hsm);
    let (fake, _stored) = one_patient();
    let setup = Setup::new(policy::LAB, fake.address()).provider(&members, &environment);
    let mut labseal = setup.init(pin);
    private(&labseal.folder().join("pin"), "0000-wrong\n");
    labseal.begin_to_run(&[]);
    labseal.ends(1);
    let log = labseal.log();
    assert!(log.contains("token lab does not take the PIN"), "{log}");
    assert!(!log.contains("waiting for") && !log.contains("0000-wrong"), "{log}");
}

#[test]
fn init_says_what_is_to_be_done_about_each_wrapping_key() {
    let (fake, _stored) = one_patient();
    let hsm = SoftHsm::new("lab");
    let (members, environment) = token(&hsm);
    let setup = || Setup::new(policy::LAB, fake.address());
    let said = |setup: Setup| {
        let labseal = setup.init(pin);
        for name in ["labseal.db", "labseal.db-wal", "labseal.db-shm", "labseal.db.seen"] {
            let _ = std::fs::remove_file(labseal.folder().join(name));
        }
        labseal.must(&["init", "--json"])
    };
    let token = said(setup().provider(&members, &environment));
    assert!(token.contains(r#""provider":{"key":"lab/kek-1","kind":"pkcs11"}"#), "{token}");
    let moto = Moto::start();
    let (members, environment) = service(&moto);
    let kms = said(setup().provider(&members, &environment));
    assert!(kms.contains(r#""kind":"aws-kms""#) && kms.contains("arn:aws:kms:"), "{kms}");
}

/// The configuration of `labseal` with another provider, as a file.
fn other(labseal: &Labseal, members: &str) -> String {
    let text = std::fs::read_to_string(labseal.config()).unwrap();
    let (before, rest) = text.split_once("provider: {").unwrap();
    let (_, after) = rest.split_once('}').unwrap();
    let path = labseal.folder().join("next.yaml");
    std::fs::write(&path, format!("{before}provider: {{{members}}}{after}")).unwrap();
    path.display().to_string()
}

const FILE: &str = "kind: file, path: root.key, passphrase: \"file:passphrase\"";

#[test]
fn providers_change_while_everything_runs() {
    let hsm = SoftHsm::new("lab");
    let (token, environment) = token(&hsm);
    let (fake, stored) = one_patient();
    let setup = Setup::new(policy::LAB, fake.address()).provider(FILE, &environment);
    let mut labseal = setup.init(pin);
    labseal.run();
    let first = round_trip(&labseal, &stored, "Fennec");
    let next = other(&labseal, &token);
    let migrate = |labseal: &Labseal, more: &[&str]| {
        let to = ["keys", "migrate-provider", "--json", "--to", &next];
        let said = labseal.must(&[&to[..], more].concat());
        serde_json::from_str::<serde_json::Value>(&said).unwrap()
    };

    let foreseen = migrate(&labseal, &["--dry-run"]);
    assert_eq!(foreseen["added"], "pkcs11 key lab/kek-1");
    assert_eq!(foreseen["slots"].as_array().unwrap().len(), 1);
    // Before the first step nothing can be finished.
    let early = labseal.cli(&["keys", "migrate-provider", "--to", &next, "--finish", "--yes"]);
    assert_eq!(early.status.code(), Some(1));

    let added = migrate(&labseal, &[]);
    assert_eq!(added["added"], "pkcs11 key lab/kek-1");
    assert_eq!(added["slots"].as_array().unwrap().len(), 2);
    assert_eq!(added["replicas"].as_array().unwrap().len(), 1);
    let again = migrate(&labseal, &[]);
    assert_eq!(again["added"], serde_json::Value::Null);
    assert_eq!(again["slots"], added["slots"]);
    round_trip(&labseal, &stored, "Gerbil");

    // Either configuration starts.
    labseal.stop();
    labseal.run();
    std::fs::copy(&next, labseal.config()).unwrap();
    labseal.stop();
    labseal.run();

    // Nobody to ask is a no.
    let asked = labseal.cli(&["keys", "migrate-provider", "--finish"]);
    assert_eq!(asked.status.code(), Some(1));
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(said.contains("each must have been started with the new configuration"), "{said}");
    let done = labseal.must(&["keys", "migrate-provider", "--finish", "--yes", "--json"]);
    let done: serde_json::Value = serde_json::from_str(&done).unwrap();
    assert_eq!(done["slots"], serde_json::json!(["pkcs11 key lab/kek-1"]));
    assert!(done["removed"][0].as_str().unwrap().starts_with("file key "), "{done}");
    *stored.lock().unwrap() = first;
    let read = Request::get("/patients?select=mrn,last_name,notes").key(labseal.key("lims"));
    assert!(read.send(labseal.address()).text().contains("Fennec"));
    // The audit log of a replica holds what it has seen happen to the wrappings of the root key.
    wait_until("the audit log", Duration::from_secs(10), || {
        let files = std::fs::read_dir(labseal.audit()).unwrap();
        let texts = files.filter_map(|file| std::fs::read_to_string(file.unwrap().path()).ok());
        texts.collect::<String>().matches("\"slots\"").count() >= 2
    });
    labseal.stop();
    let status = labseal.must(&["keys", "status", "--json"]);
    assert!(status.contains("pkcs11") && !status.contains("\"file\""), "{status}");
    // The old configuration is of no use any more, and says why.
    let new = std::fs::read_to_string(labseal.config()).unwrap();
    let old = other(&labseal, FILE);
    std::fs::copy(&old, labseal.config()).unwrap();
    labseal.begin_to_run(&[]);
    labseal.ends(1);
    assert!(labseal.log().contains("pkcs11 key lab/kek-1"), "{}", labseal.log());
    // And back to a file that is there already, from the token.
    std::fs::write(labseal.config(), new).unwrap();
    let back = other(&labseal, FILE);
    let said = labseal.must(&["keys", "migrate-provider", "--to", &back]);
    assert!(said.contains("The root key is wrapped by file key"), "{said}");
}

#[test]
fn the_demonstration_plays_with_a_token() {
    let hsm = SoftHsm::new("lab");
    let mut demo = process::command(User::Same, env!("CARGO_BIN_EXE_labseal"));
    let members =
        format!("kind: pkcs11, module: {MODULE}, token: lab, key: kek-1, pin: \"env:LAB_PIN\"");
    demo.args(["demo", "--once", "--provider", &format!("{{{members}}}")]);
    demo.env("LAB_PIN", PIN).envs([hsm.variable()]);
    let told = String::from_utf8(process::run(demo)).unwrap();
    assert!(told.contains("checks passed") && !told.contains(PIN), "{told}");
}

#[test]
fn a_configuration_of_another_store_or_tenant_is_no_target() {
    let (fake, _stored) = one_patient();
    let labseal = Setup::new(policy::LAB, fake.address()).init(|_| {});
    let text = std::fs::read_to_string(labseal.config()).unwrap();
    for (from, to, says) in [
        ("tenant: main", "tenant: other", "the tenants differ"),
        ("sqlite:labseal.db", "sqlite:other.db", "keys.store differs"),
    ] {
        let path = labseal.folder().join("next.yaml");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let path = path.display().to_string();
        let refused = labseal.cli(&["keys", "migrate-provider", "--to", &path]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(1) && said.contains(says), "{said}");
    }
}
