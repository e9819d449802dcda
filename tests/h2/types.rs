//! Each type of frame: RFC 9113 §6 and §8.4.

use crate::{
    play,
    wire::{
        ACK, CONTINUATION, Case, DATA, END_HEADERS, END_STREAM,
        Expect::{Alive, Answers, Connection, Stream},
        FLOW_CONTROL, FRAME_SIZE, Frame, GOAWAY, HEADERS, Next, PADDED, PING, PRIORITISED,
        PRIORITY, PROTOCOL, PUSH_PROMISE, Peer, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, bad,
        field, good, setting,
    },
};

const MOST: u32 = (1 << 31) - 1;

#[test]
fn each_type_of_frame_is_taken_where_and_as_it_may_be() {
    play(&TYPES);
    assert_eq!(TYPES.len(), 46);
}

const TYPES: [Case; 46] = [
    Case("6.1 DATA on no stream", |p| _ = p.frame(DATA, 1, 0, b"x"), Connection(&[PROTOCOL])),
    Case(
        "6.1 DATA with more padding than data",
        |p| {
            p.head(1, &bad());
            p.frame(DATA, END_STREAM | PADDED, 1, &[9, b'x', 0, 0]);
        },
        Connection(&[PROTOCOL]),
    ),
    Case(
        "6.1 DATA with padding and no length of it",
        |p| {
            p.head(1, &bad());
            p.frame(DATA, END_STREAM | PADDED, 1, b"");
        },
        Connection(&[PROTOCOL, FRAME_SIZE]),
    ),
    Case(
        "6.1 DATA with padding",
        |p| {
            p.head(1, &good());
            p.frame(DATA, END_STREAM | PADDED, 1, &[2, b'x', 0, 0]);
        },
        Answers(1),
    ),
    Case("6.2 HEADERS on no stream", |p| _ = p.whole(0, &bad()), Connection(&[PROTOCOL])),
    Case(
        "6.2 HEADERS with padding",
        |p| _ = p.frame(HEADERS, WHOLE | PADDED, 1, &[&[2], &good()[..], &[0, 0]].concat()),
        Answers(1),
    ),
    Case(
        "6.2 HEADERS with more padding than fields",
        |p| _ = p.frame(HEADERS, WHOLE | PADDED, 1, &[&[255], &bad()[..]].concat()),
        Connection(&[PROTOCOL]),
    ),
    Case(
        "6.2 HEADERS with a priority",
        |p| {
            let block = [&[0x80, 0, 0, 3, 15], &good()[..]].concat();
            p.frame(HEADERS, WHOLE | PRIORITISED, 1, &block);
        },
        Answers(1),
    ),
    Case(
        "6.2 HEADERS cut within its priority",
        |p| _ = p.frame(HEADERS, WHOLE | PRIORITISED, 1, &[0, 0, 0]),
        Connection(&[PROTOCOL, FRAME_SIZE]),
    ),
    Case(
        "6.2 PRIORITY within a head",
        |p| {
            p.frame(HEADERS, END_STREAM, 1, &bad());
            p.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]);
            p.frame(CONTINUATION, END_HEADERS, 1, b"");
        },
        Connection(&[PROTOCOL]),
    ),
    Case(
        "6.2 HEADERS of another stream within a head",
        |p| {
            p.frame(HEADERS, END_STREAM, 1, &bad());
            p.whole(3, &bad());
        },
        Connection(&[PROTOCOL]),
    ),
    Case(
        "6.2 DATA within a head",
        |p| {
            p.frame(HEADERS, 0, 1, &bad());
            p.frame(DATA, END_STREAM, 1, b"x");
        },
        Connection(&[PROTOCOL]),
    ),
    Case(
        "6.3 PRIORITY on no stream",
        |p| _ = p.frame(PRIORITY, 0, 0, &[0, 0, 0, 0, 1]),
        Connection(&[PROTOCOL]),
    ),
    Case(
        "6.3 PRIORITY of four bytes",
        |p| _ = p.frame(PRIORITY, 0, 1, &[0, 0, 0, 0]),
        Stream(&[FRAME_SIZE]),
    ),
    Case(
        "6.3 PRIORITY of an idle stream",
        |p| {
            p.frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1]);
            p.whole(1, &good());
        },
        Answers(1),
    ),
    Case(
        "6.4 RST_STREAM on no stream",
        |p| _ = p.frame(RST_STREAM, 0, 0, &[0; 4]),
        Connection(&[PROTOCOL]),
    ),
    Case(
        "6.4 RST_STREAM of an idle stream",
        |p| _ = p.frame(RST_STREAM, 0, 1, &[0; 4]),
        Connection(&[PROTOCOL]),
    ),
    Case(
        "6.4 RST_STREAM of three bytes",
        |p| {
            p.head(1, &bad());
            p.frame(RST_STREAM, 0, 1, &[0; 3]);
        },
        Connection(&[FRAME_SIZE]),
    ),
    Case(
        "6.5 an acknowledgement with settings",
        |p| _ = p.frame(SETTINGS, ACK, 0, &setting(3, 1)),
        Connection(&[FRAME_SIZE]),
    ),
    Case("6.5 SETTINGS on a stream", |p| _ = p.frame(SETTINGS, 0, 1, b""), Connection(&[PROTOCOL])),
    Case(
        "6.5 SETTINGS of five bytes",
        |p| _ = p.frame(SETTINGS, 0, 0, &[0; 5]),
        Connection(&[FRAME_SIZE]),
    ),
    Case(
        "6.5.2 ENABLE_PUSH of two",
        |p| _ = p.frame(SETTINGS, 0, 0, &setting(2, 2)),
        Connection(&[PROTOCOL]),
    ),
    Case(
        "6.5.2 INITIAL_WINDOW_SIZE beyond the largest",
        |p| _ = p.frame(SETTINGS, 0, 0, &setting(4, MOST + 1)),
        Connection(&[FLOW_CONTROL]),
    ),
    Case(
        "6.5.2 MAX_FRAME_SIZE below the smallest",
        |p| _ = p.frame(SETTINGS, 0, 0, &setting(5, (1 << 14) - 1)),
        Connection(&[PROTOCOL]),
    ),
    Case(
        "6.5.2 MAX_FRAME_SIZE beyond the largest",
        |p| _ = p.frame(SETTINGS, 0, 0, &setting(5, 1 << 24)),
        Connection(&[PROTOCOL]),
    ),
    Case(
        "6.5.2 an unknown setting",
        |p| {
            p.frame(SETTINGS, 0, 0, &setting(0xff, 1));
            p.whole(1, &good());
        },
        Answers(1),
    ),
    Case(
        "6.5.3 the last of equal settings holds, and all are acknowledged",
        |p| {
            p.frame(SETTINGS, 0, 0, &[setting(4, 100), setting(4, 1)].concat());
            p.until("acknowledgement", is_acknowledgement);
            p.until("acknowledgement", is_acknowledgement);
            p.whole(1, &good());
            data(p, b"[");
        },
        Alive,
    ),
    Case("6.7 PING", |p| p.read(), Alive),
    Case(
        "6.7 PING that acknowledges is not answered",
        |p| {
            p.frame(PING, ACK, 0, b"mistaken");
            p.frame(PING, 0, 0, b"all read");
            let got = p.until("PING", |frame| frame.kind == PING);
            if got.is_some_and(|frame| frame.payload != b"all read") {
                p.faults.push("answered".to_owned());
            }
        },
        Alive,
    ),
    Case("6.7 PING on a stream", |p| _ = p.frame(PING, 0, 1, &[0; 8]), Connection(&[PROTOCOL])),
    Case("6.7 PING of six bytes", |p| _ = p.frame(PING, 0, 0, &[0; 6]), Connection(&[FRAME_SIZE])),
    Case("6.8 GOAWAY on a stream", |p| _ = p.frame(GOAWAY, 0, 1, &[0; 8]), Connection(&[PROTOCOL])),
    Case(
        "6.8 GOAWAY of four bytes",
        |p| _ = p.frame(GOAWAY, 0, 0, &[0; 4]),
        Connection(&[FRAME_SIZE, PROTOCOL]),
    ),
    Case(
        "6.8 what was asked before GOAWAY is answered",
        |p| {
            p.whole(1, &good());
            p.frame(GOAWAY, 0, 0, &[0; 8]);
            p.answered(1);
            p.frame(SETTINGS, 0, 1, b"");
        },
        Connection(&[PROTOCOL, 0]),
    ),
    Case(
        "6.9 WINDOW_UPDATE of nothing for the connection",
        |p| _ = p.frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        Connection(&[PROTOCOL]),
    ),
    Case(
        "6.9 WINDOW_UPDATE of nothing for a stream",
        |p| {
            p.head(1, &bad());
            p.frame(WINDOW_UPDATE, 0, 1, &[0; 4]);
        },
        Stream(&[PROTOCOL]),
    ),
    Case(
        "6.9 WINDOW_UPDATE of three bytes",
        |p| _ = p.frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1]),
        Connection(&[FRAME_SIZE]),
    ),
    Case(
        "6.9.1 a window of one byte lets one byte through",
        |p| {
            p.frame(SETTINGS, 0, 0, &setting(4, 1));
            p.whole(1, &good());
            data(p, b"[");
            p.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 2]);
            data(p, b"1,");
        },
        Alive,
    ),
    Case(
        "6.9.1 a window of the connection beyond the largest",
        |p| {
            for _ in 0..2 {
                p.frame(WINDOW_UPDATE, 0, 0, &MOST.to_be_bytes());
            }
        },
        Connection(&[FLOW_CONTROL]),
    ),
    Case(
        "6.9.1 a window of a stream beyond the largest",
        |p| {
            p.head(1, &bad());
            for _ in 0..2 {
                p.frame(WINDOW_UPDATE, 0, 1, &MOST.to_be_bytes());
            }
        },
        Stream(&[FLOW_CONTROL]),
    ),
    Case(
        "6.9.2 a window below nothing is made up for first",
        |p| {
            p.frame(SETTINGS, 0, 0, &setting(4, 3));
            p.whole(1, &good());
            data(p, b"[1,");
            p.frame(SETTINGS, 0, 0, &setting(4, 1));
            p.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 2]);
            p.read();
            p.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
            data(p, b"2");
        },
        Alive,
    ),
    Case(
        "6.10 a head in many pieces",
        |p| {
            p.frame(HEADERS, END_STREAM, 1, b"");
            for piece in good().chunks(20) {
                p.frame(CONTINUATION, 0, 1, piece);
            }
            p.frame(CONTINUATION, END_HEADERS, 1, b"");
        },
        Answers(1),
    ),
    Case(
        "6.10 CONTINUATION on no stream",
        |p| {
            p.frame(HEADERS, END_STREAM, 1, &bad());
            p.frame(CONTINUATION, END_HEADERS, 0, b"");
        },
        Connection(&[PROTOCOL]),
    ),
    Case(
        "6.10 CONTINUATION of a head that has ended",
        |p| {
            p.head(1, &bad());
            p.frame(CONTINUATION, END_HEADERS, 1, &field("x", "y"));
        },
        Connection(&[PROTOCOL]),
    ),
    Case(
        "6.10 CONTINUATION of no head",
        |p| _ = p.frame(CONTINUATION, END_HEADERS, 1, &bad()),
        Connection(&[PROTOCOL]),
    ),
    Case(
        "8.4 PUSH_PROMISE of a client",
        |p| _ = p.frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], &bad()[..]].concat()),
        Connection(&[PROTOCOL]),
    ),
];

fn is_acknowledgement(frame: &Frame) -> bool {
    frame.kind == SETTINGS && frame.flags & ACK != 0
}

/// The next DATA must be exactly this, and no more may come until something is said again.
fn data(peer: &mut Peer, bytes: &[u8]) {
    let mut got = Vec::new();
    while got.len() < bytes.len() {
        match peer.until("DATA", |frame| frame.kind == DATA) {
            Some(frame) => got.extend(frame.payload),
            None => return,
        }
    }
    peer.frame(PING, 0, 0, b"no more.");
    loop {
        match peer.next() {
            Next::Frame(frame) if frame.kind == DATA => got.extend(frame.payload),
            Next::Frame(frame) if frame.kind == PING => break,
            Next::Frame(_) => {}
            Next::Closed | Next::Silence => return peer.faults.push("no PING".to_owned()),
        }
    }
    if got != bytes {
        peer.faults.push(format!("{bytes:?} and not {got:?}"));
    }
}
