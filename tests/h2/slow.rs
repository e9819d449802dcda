//! Clients of HTTP/2 that take or say nothing: what they hold is let go of.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use crate::{
    kit::{Front, Labseal, fake, labseal::Setup, now, policy},
    wire::{
        DATA, END_STREAM, Frame, GOAWAY, HEADERS, Next, Peer, RST_STREAM, SETTINGS, bad, field,
        good, request, setting,
    },
};

/// How long nothing may come of what is no HTTP/2.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// How long anything here may take until it is let go of.
const LONG: Duration = Duration::from_secs(12);

const TIMES: &str = "timeouts: {body_idle: 2s, head: 2s}\nlimits: {connections: 1}\n";

/// A labseal that loses its patience soon, has a place for one connection, and an API to play.
fn impatient() -> (Labseal, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    (Setup::new(policy::EMPTY, to).also(TIMES).start(), listener)
}

/// A client that says in its settings that it takes nothing.
fn reading_nothing(labseal: &Labseal) -> Peer {
    let mut peer = Peer::open(labseal.address());
    peer.frame(SETTINGS, 0, 0, &setting(4, 0));
    peer.whole(1, &good());
    peer
}

/// A request as the API has it.
fn asked(listener: &TcpListener) -> TcpStream {
    let (mut api, _) = listener.accept().unwrap();
    api.set_write_timeout(Some(LONG)).unwrap();
    assert!(api.read(&mut [0; 4096]).unwrap() > 0);
    api
}

/// Waits for a frame of this kind or, without one, for the end of the connection.
fn wait_for(peer: &mut Peer, kind: Option<u8>) -> Option<Frame> {
    let began = now();
    loop {
        match peer.next() {
            Next::Frame(frame) if Some(frame.kind) == kind => return Some(frame),
            Next::Closed if kind.is_none() => return None,
            Next::Closed => panic!("closed and no {kind:?}"),
            Next::Frame(_) | Next::Silence => assert!(now() - began < LONG, "no {kind:?}"),
        }
    }
}

#[test]
fn an_answer_that_no_window_is_opened_for_lets_go_of_its_upstream_connection_and_its_stream() {
    let (labseal, listener) = impatient();
    let mut peer = reading_nothing(&labseal);
    let mut api = asked(&listener);
    let began = now();
    api.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").unwrap();
    while api.write_all(&[b'x'; 64 << 10]).is_ok() {
        assert!(now() - began < LONG, "still taken");
    }
    let reset = wait_for(&mut peer, Some(RST_STREAM)).unwrap();
    assert_eq!(reset.stream, 1);
    // The connection goes on.
    peer.frame(SETTINGS, 0, 0, &setting(4, 1 << 16));
    peer.whole(3, &good());
    asked(&listener).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]").unwrap();
    let answered = peer.until("answer", |frame| frame.kind == DATA && frame.stream == 3);
    assert_eq!(answered.unwrap().payload, b"[]");
}

#[test]
fn a_short_answer_that_no_window_is_opened_for_is_reset_and_its_connection_ended() {
    let (labseal, listener) = impatient();
    let mut peer = reading_nothing(&labseal);
    asked(&listener).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]").unwrap();
    wait_for(&mut peer, Some(RST_STREAM));
    wait_for(&mut peer, Some(GOAWAY));
    wait_for(&mut peer, None);
}

#[test]
fn an_answer_that_is_taken_slowly_is_not_ended() {
    let (labseal, listener) = impatient();
    let mut peer = reading_nothing(&labseal);
    let mut api = asked(&listener);
    api.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n").unwrap();
    api.write_all(&[b'x'; 60_000]).unwrap();
    let mut got = 0;
    while got < 60_000 {
        std::thread::sleep(Duration::from_millis(800));
        peer.frame(crate::wire::WINDOW_UPDATE, 0, 1, &(12_u32 << 10).to_be_bytes());
        let piece = peer.until("DATA", |frame| frame.kind == DATA);
        got += piece.expect("it goes on").payload.len();
    }
}

/// Does something on the only connection there is room for, which then must end so that somebody
/// else is answered. Gives the time that took.
fn holds_no_place(play: impl FnOnce(&mut Peer)) -> Duration {
    let fake = fake::Fake::answering(fake::answer("200 OK", &[], b"[]"));
    let labseal = Setup::new(policy::EMPTY, fake.address()).also(TIMES).start();
    let mut peer = Peer::open(labseal.address());
    play(&mut peer);
    let began = now();
    wait_for(&mut peer, None);
    let mut next = Peer::open(labseal.address());
    next.whole(1, &good());
    next.judge(crate::wire::Expect::Answers(1)).unwrap();
    now() - began
}

#[test]
fn a_connection_on_which_nothing_is_asked_is_ended() {
    let never = holds_no_place(|_| {});
    let once = holds_no_place(|peer| {
        peer.whole(1, &good());
        peer.answered(1);
    });
    for took in [never, once] {
        assert!(took > Duration::from_secs(1) && took < LONG, "{took:?}");
    }
}

#[test]
fn a_head_that_stops_midway_ends_its_connection() {
    holds_no_place(|peer| _ = peer.frame(HEADERS, END_STREAM, 1, &bad()));
    // Byte by byte, within a frame.
    holds_no_place(|peer| {
        for byte in &crate::wire::frame(HEADERS, END_STREAM, 1, &bad())[..20] {
            peer.raw(&[*byte]);
        }
    });
}

#[test]
fn a_body_that_stalls_is_refused_and_nothing_of_it_forwarded() {
    let fake = fake::Fake::answering(fake::answer("200 OK", &[], b"[]"));
    let labseal = Setup::new(policy::LAB, fake.address()).also(TIMES).start();
    let front = Front { labseal, fake };
    let mut peer = Peer::open(front.labseal.address());
    let own = [("content-type", "application/json"), ("x-api-key", front.labseal.key("lims"))];
    let own: Vec<_> = own.iter().flat_map(|(name, value)| field(name, value)).collect();
    peer.head(1, &[request("POST", "/patients"), own].concat());
    peer.frame(DATA, 0, 1, b"[{\"mrn\":");
    let refusal = peer.until("refusal", |frame| frame.kind == DATA).unwrap();
    let refusal = String::from_utf8_lossy(&refusal.payload).into_owned();
    assert!(refusal.contains("LS505"), "{refusal}");
    assert!(front.fake.received().is_empty());
}
