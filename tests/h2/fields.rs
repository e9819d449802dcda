//! Requests as HTTP/2 has them: RFC 9113 §8.

use crate::{
    play,
    wire::{
        Case, DATA, END_STREAM,
        Expect::{Answers, Stream},
        HEADERS, PROTOCOL, Peer, WHOLE, bad, field, fields, good, request,
    },
};

/// What is malformed.
const MALFORMED: crate::wire::Expect = Stream(&[PROTOCOL]);

fn with(p: &mut Peer, name: &str, value: &str) {
    p.whole(1, &[bad(), field(name, value)].concat());
}

fn only(p: &mut Peer, all: &[(&str, &str)]) {
    p.whole(1, &fields(all));
}

/// A request with one body in pieces, and a length that it says it has.
fn body(p: &mut Peer, length: &str, pieces: &[&[u8]]) {
    p.head(1, &[bad(), field("content-length", length)].concat());
    for (n, piece) in pieces.iter().enumerate() {
        p.frame(DATA, u8::from(n + 1 == pieces.len()), 1, piece);
    }
}

/// The HTTP library takes such trailers (§8.1 would have them refused), and drops the field.
#[test]
fn a_pseudo_field_in_trailers_goes_no_further() {
    let front = crate::front();
    let mut peer = Peer::open(front.labseal.address());
    peer.head(1, &[request("POST", "/good"), field("trailer", "x-sum")].concat());
    peer.frame(DATA, 0, 1, b"x");
    peer.whole(1, &fields(&[(":method", "PUT"), ("x-sum", "1")]));
    peer.judge(Answers(1)).unwrap();
    let got = String::from_utf8_lossy(&front.got("/good")[0].raw).to_lowercase();
    assert!(got.contains("x-sum: 1") && !got.contains("put"), "{got}");
}

#[test]
fn a_request_is_answered_or_refused_by_what_its_fields_are() {
    play(&CASES);
    assert_eq!(CASES.len(), 45);
}

const CASES: [Case; 45] = [
    Case("8.1 GET", |p| _ = p.whole(1, &request("GET", "/good")), Answers(1)),
    Case("8.1 HEAD", |p| _ = p.whole(1, &request("HEAD", "/good")), Answers(1)),
    Case("8.1 OPTIONS", |p| _ = p.whole(1, &request("OPTIONS", "/good")), Answers(1)),
    Case(
        "8.1 a body in pieces, some of them empty",
        |p| {
            p.head(1, &request("POST", "/good"));
            for piece in [&b""[..], b"[", b"", b"1]"] {
                p.frame(DATA, 0, 1, piece);
            }
            p.frame(DATA, END_STREAM, 1, b"");
        },
        Answers(1),
    ),
    Case(
        "8.1 trailers",
        |p| {
            p.head(1, &request("POST", "/good"));
            p.frame(DATA, 0, 1, b"x");
            p.whole(1, &field("x-sum", "1"));
        },
        Answers(1),
    ),
    Case(
        "8.1 requests at the same time",
        |p| {
            for n in 0..20 {
                p.whole(2 * n + 1, &good());
            }
        },
        Answers(20),
    ),
    Case(
        "8.1 a second head that does not end the stream",
        |p| {
            p.head(1, &bad());
            p.head(1, &bad());
        },
        MALFORMED,
    ),
    Case(
        "8.1 trailers that do not end the stream",
        |p| {
            p.head(1, &bad());
            p.frame(DATA, 0, 1, b"x");
            p.head(1, &field("x-sum", "1"));
        },
        MALFORMED,
    ),
    Case("8.2.1 upper case", |p| with(p, "X-Upper", "a"), MALFORMED),
    Case("8.2.1 a space in a name", |p| with(p, "x y", "a"), MALFORMED),
    Case("8.2.1 a colon in a name", |p| with(p, "x:y", "a"), MALFORMED),
    Case("8.2.1 no name", |p| with(p, "", "a"), MALFORMED),
    Case("8.2.1 a zero byte in a name", |p| with(p, "x\0", "a"), MALFORMED),
    Case("8.2.1 a byte beyond ASCII in a name", |p| with(p, "xé", "a"), MALFORMED),
    Case("8.2.1 a zero byte in a value", |p| with(p, "x", "a\0"), MALFORMED),
    Case("8.2.1 CR in a value", |p| with(p, "x", "a\rb"), MALFORMED),
    Case("8.2.1 LF in a value", |p| with(p, "x", "a\nb"), MALFORMED),
    Case("8.2.2 connection", |p| with(p, "connection", "keep-alive"), MALFORMED),
    Case("8.2.2 proxy-connection", |p| with(p, "proxy-connection", "keep-alive"), MALFORMED),
    Case("8.2.2 keep-alive", |p| with(p, "keep-alive", "timeout=5"), MALFORMED),
    Case("8.2.2 transfer-encoding", |p| with(p, "transfer-encoding", "chunked"), MALFORMED),
    Case("8.2.2 upgrade", |p| with(p, "upgrade", "h2c"), MALFORMED),
    Case("8.2.2 te of more than trailers", |p| with(p, "te", "trailers, deflate"), MALFORMED),
    Case(
        "8.2.2 te of trailers",
        |p| _ = p.whole(1, &[good(), field("te", "trailers")].concat()),
        Answers(1),
    ),
    Case(
        "8.2.3 cookies in pieces",
        |p| {
            let cookies = [field("cookie", "a=1"), field("cookie", "b=2")].concat();
            p.whole(1, &[good(), cookies].concat());
        },
        Answers(1),
    ),
    Case("8.3 an unknown pseudo-field", |p| with(p, ":test", "ok"), MALFORMED),
    Case("8.3 a pseudo-field of answers", |p| with(p, ":status", "200"), MALFORMED),
    Case(
        "8.3 a pseudo-field after another field",
        |p| {
            let all = [(":method", "POST"), (":scheme", "http"), ("x", "y"), (":path", "/bad")];
            only(p, &all);
        },
        MALFORMED,
    ),
    Case("8.3.1 no :method", |p| only(p, &[(":scheme", "http"), (":path", "/bad")]), MALFORMED),
    Case("8.3.1 no :scheme", |p| only(p, &[(":method", "POST"), (":path", "/bad")]), MALFORMED),
    Case("8.3.1 no :path", |p| only(p, &[(":method", "POST"), (":scheme", "http")]), MALFORMED),
    Case("8.3.1 an empty :path", |p| _ = p.whole(1, &request("POST", "")), MALFORMED),
    Case(
        "8.3.1 a :path that begins with no slash",
        |p| _ = p.whole(1, &request("POST", "bad")),
        MALFORMED,
    ),
    Case(
        "8.3.1 two :method",
        |p| _ = p.whole(1, &[field(":method", "GET"), bad()].concat()),
        MALFORMED,
    ),
    Case(
        "8.3.1 two :scheme",
        |p| _ = p.whole(1, &[field(":scheme", "http"), bad()].concat()),
        MALFORMED,
    ),
    Case("8.3.1 two :path", |p| _ = p.whole(1, &[field(":path", "/x"), bad()].concat()), MALFORMED),
    Case(
        "8.3.1 two :authority",
        |p| _ = p.whole(1, &[field(":authority", "b"), bad()].concat()),
        MALFORMED,
    ),
    Case(
        "8.3.1 host that is :authority",
        |p| _ = p.whole(1, &[good(), field("host", "A")].concat()),
        Answers(1),
    ),
    Case("8.3.1 host that is not :authority", |p| with(p, "host", "other"), MALFORMED),
    Case(
        "8.5 CONNECT",
        |p| only(p, &[(":method", "CONNECT"), (":authority", "bad:80")]),
        MALFORMED,
    ),
    Case(
        "RFC 8441 CONNECT with a protocol that was not granted",
        |p| {
            let protocol = field(":protocol", "websocket");
            p.whole(1, &[request("CONNECT", "/bad"), protocol].concat());
        },
        MALFORMED,
    ),
    Case("8.1.1 less than its length", |p| body(p, "3", &[b"x"]), MALFORMED),
    Case("8.1.1 more than its length", |p| body(p, "1", &[b"x", b"y"]), MALFORMED),
    Case(
        "8.1.1 a length and no body",
        |p| _ = p.frame(HEADERS, WHOLE, 1, &[bad(), field("content-length", "1")].concat()),
        MALFORMED,
    ),
    Case(
        "8.1.1 two lengths",
        |p| {
            let lengths = fields(&[("content-length", "1"), ("content-length", "2")]);
            p.head(1, &[bad(), lengths].concat());
            p.frame(DATA, END_STREAM, 1, b"xy");
        },
        MALFORMED,
    ),
];
