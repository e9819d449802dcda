//! Connections: interim answers, trailers, closing, old versions, pins, tunnels, and who goes away.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::kit::{
    Act, Front, Request,
    client::{raw, receive},
    fake,
    front::canary,
    http::{Follows, Reader},
    labseal::Setup,
    policy,
};

const PATIENCE: Duration = Duration::from_secs(5);

fn open(acts: Vec<Act>) -> Front {
    Front::with(policy::EMPTY, move |_| acts.clone())
}

fn connect(to: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(to).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

#[test]
fn a_client_that_waits_to_continue_is_told_to_once_its_request_may_go_on() {
    let front = Front::start();
    let body = r#"{"mrn":"A1"}"#;
    let request = Request::post("/patients", "").header("Expect", "100-continue");
    let request = request.key(front.labseal.key("lims")).claiming(body.len());
    let mut socket = connect(front.labseal.address());
    socket.write_all(&request.bytes()).unwrap();
    let mut interim = [0; 25];
    socket.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(body.as_bytes()).unwrap();
    assert_eq!(receive(&mut Reader::new(&socket), false).unwrap().status, 201);
    assert_eq!(front.got("/patients")[0].header("expect"), None);
}

#[test]
fn a_client_that_waits_to_continue_and_is_refused_gets_that_and_nothing_before_it() {
    let front = Front::shared();
    let request = Request::post("/notes", "").header("Expect", "100-continue").claiming(1000);
    let request = request.key(front.labseal.key("lims")).header("Connection", "close");
    let got = raw(front.labseal.address(), &request.bytes(), PATIENCE);
    let got = String::from_utf8_lossy(&got);
    assert!(got.starts_with("HTTP/1.1 403 ") && got.contains("LS204"), "{got}");
}

#[test]
fn early_hints_of_the_api_are_left_out_and_its_answer_is_not() {
    let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n";
    let front = open(vec![Act::Send([&hints[..], &fake::answer("200 OK", &[], b"x")].concat())]);
    let request = Request::get("/").header("Connection", "close");
    let got = raw(front.labseal.address(), &request.bytes(), PATIENCE);
    let got = String::from_utf8_lossy(&got);
    assert!(got.starts_with("HTTP/1.1 200 ") && got.ends_with('x'), "{got}");
}

#[test]
fn trailers_pass_both_ways_where_nothing_is_changed() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\na\r\n0\r\nX-Sum: 7\r\n\r\n";
    let front = open(vec![Act::Send(answer.into())]);
    let request = Request::new("POST", "/x")
        .header("Transfer-Encoding", "chunked")
        .header("Trailer", "X-Count")
        .header("TE", "trailers")
        .header("Connection", "close")
        .unframed(b"2\r\nab\r\n0\r\nX-Count: 9\r\n\r\n");
    let got = raw(front.labseal.address(), &request.bytes(), PATIENCE);
    let got = String::from_utf8_lossy(&got).to_lowercase();
    assert!(got.contains("trailer: x-sum") && got.contains("0\r\nx-sum: 7\r\n\r\n"), "{got}");
    let up = String::from_utf8_lossy(&front.fake.received()).to_lowercase();
    assert!(up.contains("trailer: x-count") && up.contains("x-count: 9"), "{up}");
}

#[test]
fn trailers_of_a_protected_write_are_refused_and_those_of_an_opened_answer_dropped() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\
        Trailer: Content-Digest\r\n\r\n2\r\n[]\r\n0\r\nContent-Digest: sha-256=:AAAA:\r\n\r\n";
    let front = Front::with(policy::LAB, move |_| vec![Act::Send(answer.into())]);
    let (_, canaries) = canary();
    let write = |trailer: &str| {
        let request = Request::new("POST", "/patients").header("Content-Type", "application/json");
        let request = request.header("Transfer-Encoding", "chunked");
        let request = if trailer.is_empty() { request } else { request.header("Trailer", trailer) };
        request.unframed(b"2\r\n{}\r\n0\r\nX-T: 1\r\n\r\n")
    };
    front.refuse("lims", write("X-T"), "LS109", &canaries);
    front.refuse("lims", write(""), "LS109", &canaries);
    let read = Request::get("/patients").header("TE", "trailers");
    let answer = front.send("lims", read);
    let raw = String::from_utf8_lossy(&answer.raw).to_lowercase();
    assert!(answer.body == b"[]" && !raw.contains("digest"), "{raw}");
}

#[test]
fn an_api_that_closes_its_connection_is_heard_and_a_client_that_does_is_obeyed() {
    let front =
        open(vec![Act::Send(fake::answer("200 OK", &[("Connection", "close")], b"x")), Act::Close]);
    let got = raw(front.labseal.address(), &Request::get("/").bytes(), PATIENCE);
    assert!(String::from_utf8_lossy(&got).to_lowercase().contains("connection: close"));
    let front = open(vec![Act::Send(fake::answer("200 OK", &[], b"x"))]);
    let began = crate::kit::now();
    let request = Request::get("/").header("Connection", "close");
    assert!(raw(front.labseal.address(), &request.bytes(), PATIENCE).ends_with(b"x"));
    assert!(crate::kit::now() - began < PATIENCE, "kept open");
}

#[test]
fn http_1_0_may_keep_its_connection_and_reads_a_body_to_the_end() {
    let front = open(vec![Act::Send(fake::answer("200 OK", &[], b"x"))]);
    let socket = connect(front.labseal.address());
    let request = Request::get("/").old().header("Connection", "keep-alive");
    for _ in 0..2 {
        (&socket).write_all(&request.bytes()).unwrap();
        assert_eq!(receive(&mut Reader::new(&socket), false).unwrap().body, b"x");
    }
    let chunks =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n";
    let front = open(vec![Act::Send(chunks.into())]);
    let got = raw(front.labseal.address(), &Request::get("/").old().bytes(), PATIENCE);
    assert!(got.ends_with(b"\r\n\r\nabc"), "{}", String::from_utf8_lossy(&got));
}

#[test]
fn json_that_ends_with_the_connection_before_its_own_end_is_no_answer() {
    let (_, canaries) = canary();
    for version in ["1.0", "1.1"] {
        let head = format!("HTTP/{version} 200 OK\r\nContent-Type: application/json\r\n\r\n");
        let acts = vec![Act::Send(format!("{head}[{{\"code\":\"A\"}},{{\"co").into()), Act::Close];
        let front = Front::with(policy::LAB, move |_| acts.clone());
        for target in ["/wards", "/patients"] {
            front.refuse("lims", Request::get(target), "LS503", &canaries);
        }
        let acts = vec![Act::Send(format!("{head}[{{\"code\":\"A\"}}]").into()), Act::Close];
        let front = Front::with(policy::LAB, move |_| acts.clone());
        assert_eq!(front.send("lims", Request::get("/wards")).text(), "[{\"code\":\"A\"}]");
    }
}

#[test]
fn what_is_no_json_and_ends_with_the_connection_passes_as_it_came() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\n\r\n";
    let acts = vec![Act::Send(format!("{head}code,name\nA,\"cut").into()), Act::Close];
    let front = Front::with(policy::LAB, move |_| acts.clone());
    let request = Request::get("/wards").header("Accept", "text/csv");
    assert_eq!(front.send("lims", request).text(), "code,name\nA,\"cut");
}

/// An API that knows who is on a connection: it challenges, and then answers with what it was told.
struct Bound {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Bound {
    fn start(scheme: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        // The thread ends with the test.
        std::thread::spawn(move || {
            for mut socket in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::spawn(move || {
                    let mut known = None;
                    let mut from = Reader::new(socket.try_clone().unwrap());
                    while let Ok(Some(request)) = from.message(|_| Follows::Said) {
                        if let Some(said) = request.header("authorization") {
                            known = Some(said.to_owned());
                        }
                        let answer = match &known {
                            Some(who) => fake::answer("200 OK", &[], who.as_bytes()),
                            None => {
                                let challenge = [("WWW-Authenticate", scheme)];
                                fake::answer("401 Unauthorized", &challenge, b"")
                            }
                        };
                        if socket.write_all(&answer).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, connections }
    }
}

#[test]
fn who_proved_themselves_on_a_connection_is_alone_on_it() {
    for scheme in ["NTLM", "Negotiate"] {
        let api = Bound::start(scheme);
        let labseal = Setup::new(policy::EMPTY, api.address).start();
        let ask = |socket: &TcpStream, proof: Option<&str>| {
            let request = Request::get("/x");
            let request = proof.into_iter().fold(request, |r, p| r.header("Authorization", p));
            let mut writer = socket;
            writer.write_all(&request.bytes()).unwrap();
            receive(&mut Reader::new(socket), false).unwrap()
        };
        let (one, two) = (connect(labseal.address()), connect(labseal.address()));
        assert_eq!(ask(&one, None).status, 401);
        let proofs = [format!("{scheme} AAAA"), format!("{scheme} BBBB")];
        assert_eq!(ask(&one, Some(&proofs[0])).text(), proofs[0]);
        assert_eq!(ask(&two, Some(&proofs[1])).text(), proofs[1]);
        // From now on each is known without saying it again, and nobody else is.
        for _ in 0..3 {
            assert_eq!(ask(&one, None).text(), proofs[0]);
            assert_eq!(ask(&two, None).text(), proofs[1]);
            assert_eq!(ask(&connect(labseal.address()), None).status, 401);
        }
        assert!(api.connections.load(Ordering::Relaxed) >= 3);
    }
}

const WEBSOCKET: [(&str, &str); 3] =
    [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "AAAA")];

fn upgrade() -> Request {
    WEBSOCKET.iter().fold(Request::get("/wards"), |r, (name, value)| r.header(name, value))
}

#[test]
fn an_upgrade_is_refused_unless_the_policy_lets_the_api_have_it() {
    let front = Front::shared();
    let (_, canaries) = canary();
    front.refuse("lims", upgrade(), "LS109", &canaries);
}

#[test]
fn an_offer_of_http_2_is_left_out_and_never_a_tunnel() {
    let tunnels = policy::LAB.replace(
        "    schemas: [lab, archive]",
        "    schemas: [lab, archive]\n    upgrades: {tunnel: true, why: \"a feed without patient data\"}",
    );
    for policy in [policy::LAB, &tunnels, policy::EMPTY] {
        let front = Front::with(policy, |_| crate::kit::fake::json("[]"));
        // What the HTTP client of Java sends first on every connection without TLS.
        let request = Request::get("/patients")
            .header("Connection", "Upgrade, HTTP2-Settings")
            .header("Upgrade", "h2c")
            .header("HTTP2-Settings", "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA");
        assert_eq!(front.send("lims", request).status, 200);
        let got = front.fake.requests().pop().unwrap();
        for name in ["Upgrade", "HTTP2-Settings", "Connection"] {
            assert_eq!(got.header(name), None, "{name}");
        }
    }
}

#[test]
fn an_upgrade_that_the_policy_allows_becomes_a_tunnel() {
    let allowing = policy::LAB.replace(
        "    schemas: [lab, archive]",
        "    schemas: [lab, archive]\n    upgrades: {tunnel: true, why: \"a feed without patient data\"}",
    );
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello";
    let front = Front::with(&allowing, move |request| match request.header("upgrade") {
        Some("websocket") => {
            vec![Act::Send(switched.into()), Act::Wait(Duration::from_millis(300))]
        }
        _ => crate::kit::fake::json("[]"),
    });
    let mut socket = connect(front.labseal.address());
    socket.write_all(&upgrade().key(front.labseal.key("lims")).bytes()).unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"hello") {
        let mut byte = [0];
        socket
            .read_exact(&mut byte)
            .unwrap_or_else(|e| panic!("{e} {}", String::from_utf8_lossy(&got)));
        got.extend(byte);
    }
    assert!(got.starts_with(b"HTTP/1.1 101 "));
    socket.write_all(b"\x81\x85no http\r\n\r\n").unwrap();
    crate::kit::wait_until("the bytes", PATIENCE, || {
        front.fake.received().ends_with(b"no http\r\n\r\n")
    });
    // Everything else of the API is as before.
    assert_eq!(front.send("lims", Request::get("/patients")).status, 200);
}

#[test]
fn what_a_client_sends_before_its_upgrade_is_answered_reaches_who_it_is_for() {
    let policy = policy::LAB.replace(
        "    schemas: [lab, archive]",
        "    schemas: [lab, archive]\n    upgrades: {tunnel: true, why: \"a feed without patient data\"}",
    );
    let agree = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello";
    let front = Front::with(&policy, move |request| {
        let pause = Act::Wait(Duration::from_millis(300));
        match request.header("upgrade") {
            Some("websocket") => vec![pause.clone(), Act::Send(agree.into()), pause],
            Some(_) => [vec![pause], crate::kit::fake::json("[1]")].concat(),
            None => crate::kit::fake::json("[2]"),
        }
    });
    let key = front.labseal.key("lims");
    let asking = String::from_utf8(upgrade().key(key).bytes()).unwrap();
    let mut socket = connect(front.labseal.address());
    socket.write_all(asking.as_bytes()).unwrap();
    socket.write_all(b"\x81\x85no\nhttp\n\n").unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"hello") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        got.extend(byte);
    }
    socket.write_all(b"more").unwrap();
    crate::kit::wait_until("the bytes", PATIENCE, || {
        front.fake.received().ends_with(b"\x81\x85no\nhttp\n\nmore")
    });

    // One that is declined was a request like any other.
    let mut socket = connect(front.labseal.address());
    socket.write_all(asking.replace("websocket", "other").as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let next = Request::get("/patients").header("Connection", "close").key(key).bytes();
    socket.write_all(&next).unwrap();
    let mut got = String::new();
    socket.read_to_string(&mut got).unwrap();
    assert!(got.contains("[1]") && got.ends_with("[2]"), "{got}");
}

#[test]
fn a_client_that_goes_away_ends_its_request_upstream() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let labseal = Setup::new(policy::EMPTY, listener.local_addr().unwrap()).start();
    let client = connect(labseal.address());
    (&client).write_all(&Request::get("/slow").bytes()).unwrap();
    let (mut api, _) = listener.accept().unwrap();
    api.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(api.read(&mut [0; 4096]).unwrap() > 0);
    drop(client);
    assert_eq!(api.read(&mut [0; 1]).unwrap(), 0, "the API was not told");
}

#[test]
fn a_client_that_reads_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let labseal = Setup::new(policy::EMPTY, listener.local_addr().unwrap())
        .also("timeouts: {body_idle: 2s}\n")
        .start();
    let client = connect(labseal.address());
    (&client).write_all(&Request::get("/large").bytes()).unwrap();
    let (mut api, _) = listener.accept().unwrap();
    assert!(api.read(&mut [0; 4096]).unwrap() > 0);
    let began = crate::kit::now();
    api.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").unwrap();
    while api.write_all(&[b'x'; 64 << 10]).is_ok() {
        assert!(crate::kit::now() - began < 4 * PATIENCE, "still taken");
    }
}
