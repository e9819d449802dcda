//! Preface and frame format: RFC 9113 §3.4, §4, §5.4, §5.5 and §7.

use crate::{
    play,
    wire::{
        CONTINUATION, Case, DATA, END_HEADERS, END_STREAM,
        Expect::{Alive, Answers, Connection, Stream},
        FRAME_SIZE, GOAWAY, HEADERS, PING, PROTOCOL, RST_STREAM, SETTINGS, WHOLE, bad, field, good,
    },
};

#[test]
fn a_preface_that_is_not_one_is_no_http_2() {
    let front = crate::front();
    let prefaces: [&[u8]; 5] = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rx",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n\r\n\r\n\r\n\r\n",
        b"PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n",
        b"PRI /bad HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for preface in prefaces {
        let bytes = [preface, &crate::wire::frame(SETTINGS, 0, 0, b"")].concat();
        let bytes = [bytes, crate::wire::frame(HEADERS, WHOLE, 1, &bad())].concat();
        let got = crate::kit::client::raw(front.labseal.address(), &bytes, crate::slow::PATIENCE);
        let shown = preface.escape_ascii();
        assert!(got.is_empty() || got.starts_with(b"HTTP/1.1 4"), "{shown}: {got:?}");
    }
    assert!(front.fake.requests().is_empty());
}

#[test]
fn frames_are_read_as_they_are_defined() {
    play(&FORMAT);
    assert_eq!(FORMAT.len(), 12);
}

const FORMAT: [Case; 12] = [
    Case("4.1 a frame of an unknown type", |p| _ = p.frame(0x16, 0xff, 0, b"0123"), Alive),
    Case("4.1 a flag without meaning", |p| _ = p.frame(PING, 0xfe, 0, b"conforms"), Alive),
    Case("4.1 the reserved bit", |p| _ = p.frame(PING, 0, 1 << 31, b"conforms"), Alive),
    Case(
        "4.2 DATA as large as it may be",
        |p| {
            p.head(1, &[good(), field("x", "y")].concat());
            p.frame(DATA, END_STREAM, 1, &[0; 1 << 14]);
        },
        Answers(1),
    ),
    Case(
        "4.2 DATA larger than that",
        |p| {
            p.head(1, &bad());
            p.frame(DATA, END_STREAM, 1, &[0; (1 << 14) + 1]);
        },
        Stream(&[FRAME_SIZE]),
    ),
    Case(
        "4.2 HEADERS larger than that",
        |p| _ = p.whole(1, &[bad(), field("x", &"y".repeat(120)).repeat(140)].concat()),
        Connection(&[FRAME_SIZE]),
    ),
    Case(
        "4.2 PING of the largest length there is",
        |p| _ = p.raw(&[0xff, 0xff, 0xff, PING, 0, 0, 0, 0, 0]),
        Connection(&[FRAME_SIZE]),
    ),
    Case(
        "5.4.1 an error ends it",
        |p| _ = p.frame(PING, 0, 0, b"short"),
        Connection(&[FRAME_SIZE]),
    ),
    Case(
        "5.5 an extension's frame on a stream",
        |p| {
            p.head(1, &good());
            p.frame(0x16, 0, 1, b"0123");
            p.frame(DATA, END_STREAM, 1, b"");
        },
        Answers(1),
    ),
    Case(
        "5.5 an extension's frame within a head",
        |p| {
            p.frame(HEADERS, END_STREAM, 1, &bad());
            p.frame(0x16, 0, 0, b"0123");
            p.frame(CONTINUATION, END_HEADERS, 1, b"");
        },
        Connection(&[PROTOCOL]),
    ),
    Case(
        "7 an unknown code in RST_STREAM",
        |p| {
            p.head(1, &bad());
            p.frame(RST_STREAM, 0, 1, &[0, 0, 0, 0xff]);
        },
        Alive,
    ),
    Case(
        "7 an unknown code in GOAWAY",
        |p| {
            p.frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff]);
            p.frame(PING, 0, 0, b"conforms");
            // Going on and going are both right.
            p.frame(SETTINGS, 0, 1, b"");
        },
        Connection(&[PROTOCOL, 0]),
    ),
];
