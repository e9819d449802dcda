//! The states of streams, their numbers and how many there may be: RFC 9113 §5.

use crate::{
    play,
    wire::{
        CLOSED, CONTINUATION, Case, DATA, END_HEADERS, END_STREAM,
        Expect::{Alive, Answers, Connection, Stream},
        Frame, HEADERS, Next, PRIORITISED, PRIORITY, PROTOCOL, Peer, REFUSED, RST_STREAM, WHOLE,
        WINDOW_UPDATE, bad, good,
    },
};

#[test]
fn a_stream_takes_what_its_state_lets_it_take() {
    play(&STATES);
    assert_eq!(STATES.len(), 20);
}

/// A stream that the client has closed and the server has not seen.
fn reset(p: &mut Peer) {
    p.head(1, &bad());
    p.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
}

/// A stream that both have ended.
fn ended(p: &mut Peer) {
    p.whole(1, &good());
    p.answered(1);
}

const STATES: [Case; 20] = [
    Case("5.1 idle: DATA", |p| _ = p.frame(DATA, 1, 1, b"x"), Connection(&[PROTOCOL])),
    Case(
        "5.1 idle: WINDOW_UPDATE",
        |p| _ = p.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9]),
        Connection(&[PROTOCOL]),
    ),
    Case(
        "5.1 half-closed: DATA",
        |p| {
            p.frame(HEADERS, WHOLE, 1, &good());
            p.frame(DATA, END_STREAM, 1, b"x");
        },
        Connection(&[CLOSED]),
    ),
    Case(
        "5.1 half-closed: HEADERS",
        |p| {
            p.whole(1, &good());
            p.whole(1, &bad());
        },
        Connection(&[CLOSED, PROTOCOL]),
    ),
    Case(
        "5.1 half-closed: CONTINUATION",
        |p| {
            p.whole(1, &good());
            p.frame(CONTINUATION, END_HEADERS, 1, &bad());
        },
        Connection(&[CLOSED, PROTOCOL]),
    ),
    Case(
        "5.1 half-closed: WINDOW_UPDATE and PRIORITY",
        |p| {
            p.whole(1, &good());
            p.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9]);
            p.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]);
        },
        Answers(1),
    ),
    Case(
        "5.1 closed by RST_STREAM: DATA",
        |p| {
            reset(p);
            p.frame(DATA, END_STREAM, 1, b"x");
        },
        Stream(&[CLOSED]),
    ),
    Case(
        "5.1 closed by RST_STREAM: HEADERS",
        |p| {
            reset(p);
            p.whole(1, &bad());
        },
        Stream(&[CLOSED, PROTOCOL]),
    ),
    Case(
        "5.1 closed by RST_STREAM: CONTINUATION",
        |p| {
            reset(p);
            p.frame(CONTINUATION, END_HEADERS, 1, &bad());
        },
        Connection(&[CLOSED, PROTOCOL]),
    ),
    Case(
        "5.1 closed by RST_STREAM: WINDOW_UPDATE, RST_STREAM and PRIORITY",
        |p| {
            reset(p);
            p.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9]);
            p.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
            p.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]);
        },
        Alive,
    ),
    Case(
        "5.1 closed by END_STREAM: DATA",
        |p| {
            ended(p);
            p.frame(DATA, END_STREAM, 1, b"x");
        },
        Stream(&[CLOSED]),
    ),
    Case(
        "5.1 closed by END_STREAM: HEADERS",
        |p| {
            ended(p);
            p.whole(1, &bad());
        },
        Connection(&[CLOSED, PROTOCOL]),
    ),
    Case(
        "5.1 closed by END_STREAM: CONTINUATION",
        |p| {
            ended(p);
            p.frame(CONTINUATION, END_HEADERS, 1, &bad());
        },
        Connection(&[CLOSED, PROTOCOL]),
    ),
    Case(
        "5.1 closed by END_STREAM: PRIORITY, and the connection goes on",
        |p| {
            ended(p);
            p.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]);
            p.whole(3, &good());
        },
        Answers(1),
    ),
    Case("5.1.1 an even number", |p| _ = p.whole(2, &bad()), Connection(&[PROTOCOL])),
    Case(
        "5.1.1 a number smaller than one before",
        |p| {
            p.whole(5, &good());
            p.whole(3, &bad());
        },
        Connection(&[PROTOCOL, CLOSED]),
    ),
    Case("5.1.1 the largest number", |p| _ = p.whole((1 << 31) - 1, &good()), Answers(1)),
    Case(
        "5.1.2 more streams than are granted",
        |p| {
            p.read();
            for n in 0..129 {
                p.head(2 * n + 1, &bad());
            }
        },
        Stream(&[REFUSED, PROTOCOL]),
    ),
    Case(
        "5.3.1 HEADERS that depends on itself",
        |p| {
            let block = [&[0, 0, 0, 1, 15], &bad()[..]].concat();
            p.frame(HEADERS, WHOLE | PRIORITISED, 1, &block);
        },
        Stream(&[PROTOCOL]),
    ),
    Case(
        "5.3.1 PRIORITY that depends on itself",
        |p| _ = p.frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 15]),
        Stream(&[PROTOCOL]),
    ),
];

#[test]
fn streams_that_are_refused_leave_the_others_alone() {
    let front = crate::front();
    let mut peer = Peer::open(front.labseal.address());
    peer.read();
    for n in 0..200 {
        peer.head(2 * n + 1, &bad());
    }
    let mut refused = 0;
    peer.frame(crate::wire::PING, 0, 0, b"all read");
    loop {
        match peer.next() {
            Next::Frame(Frame { kind: RST_STREAM, payload, .. }) => {
                assert_eq!(payload, [0, 0, 0, 7]);
                refused += 1;
            }
            Next::Frame(Frame { kind: crate::wire::PING, .. }) => break,
            Next::Frame(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 200 - 128);
    // One goes, and there is a place again.
    peer.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    peer.read();
    peer.whole(1001, &good());
    peer.judge(Answers(1)).unwrap();
    assert!(front.got("/bad").is_empty());
}
