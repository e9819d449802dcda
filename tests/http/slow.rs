//! Clients of HTTP/1.1 that stop midway: what they hold is let go of.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use crate::kit::{Fake, Labseal, Request, fake, labseal::Setup, now, policy};

const LONG: Duration = Duration::from_secs(10);
const TIMES: &str = "timeouts: {body_idle: 2s, head: 2s}\nlimits: {connections: 1}\n";

/// A labseal that loses its patience soon and has a place for one connection.
fn impatient(policy: &str) -> (Labseal, Fake) {
    let fake = Fake::answering(fake::answer("200 OK", &[], b"[]"));
    (Setup::new(policy, fake.address()).also(TIMES).start(), fake)
}

fn connect(labseal: &Labseal) -> TcpStream {
    let socket = TcpStream::connect(labseal.address()).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

#[test]
fn a_head_that_comes_byte_by_byte_and_stops_holds_no_place() {
    let (labseal, fake) = impatient(policy::EMPTY);
    let whole = Request::get("/kept").bytes();
    // The first on its connection, and one after another.
    for before in [&b""[..], &whole] {
        let mut socket = connect(&labseal);
        socket.write_all(before).unwrap();
        for byte in &Request::get("/never").bytes()[..30] {
            socket.write_all(&[*byte]).unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
        let began = now();
        let _ = socket.read_to_end(&mut Vec::new());
        assert!(now() - began < LONG, "held");
        assert_eq!(Request::get("/next").send(labseal.address()).text(), "[]");
    }
    assert!(fake.requests().iter().all(|request| !request.start.contains("/never")));
}

#[test]
fn a_connection_that_is_kept_and_not_used_holds_no_place() {
    let (labseal, _fake) = impatient(policy::EMPTY);
    let mut socket = connect(&labseal);
    socket.write_all(&Request::get("/kept").bytes()).unwrap();
    let mut got = Vec::new();
    socket.read_to_end(&mut got).expect("a clean end");
    assert!(got.ends_with(b"[]"));
    assert_eq!(Request::get("/next").send(labseal.address()).text(), "[]");
}

#[test]
fn a_body_that_stalls_is_refused_and_nothing_of_it_forwarded() {
    let (labseal, fake) = impatient(policy::LAB);
    let request = Request::post("/patients", r#"[{"mrn":"A1"}"#).key(labseal.key("lims"));
    let mut socket = connect(&labseal);
    socket.write_all(&request.claiming(1000).bytes()).unwrap();
    let mut got = String::new();
    let _ = socket.read_to_string(&mut got);
    assert!(got.starts_with("HTTP/1.1 408 ") && got.contains("LS505"), "{got}");
    assert!(fake.received().is_empty());
}
