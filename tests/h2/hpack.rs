//! Compressed fields: RFC 9113 §4.3 and RFC 7541.

use crate::{
    play,
    wire::{
        COMPRESSION, CONTINUATION, Case, END_HEADERS, END_STREAM,
        Expect::{Answers, Connection},
        HEADERS, PROTOCOL, SETTINGS, bad, good, setting,
    },
};

#[test]
fn compressed_fields_are_read_as_they_are_defined() {
    play(&CASES);
    assert_eq!(CASES.len(), 21);
}

const BROKEN: crate::wire::Expect = Connection(&[COMPRESSION]);

/// A request whose fields end with these bytes.
fn bad_and(bytes: &[u8]) -> Vec<u8> {
    [&bad(), bytes].concat()
}

/// GET of `/good` with `:method` and `:scheme` from the static table, and these bytes before it.
fn short(before: &[u8]) -> Vec<u8> {
    [before, b"\x82\x86\x04\x05/good\x41\x01a"].concat()
}

const CASES: [Case; 21] = [
    Case("4.3 a head that is cut", |p| _ = p.whole(1, &bad_and(&[0x40])), BROKEN),
    Case("4.3 a value that is cut", |p| _ = p.whole(1, &bad_and(b"\x00\x01x\x05y")), BROKEN),
    Case(
        "4.3 a head that is cut, in two frames",
        |p| {
            p.frame(HEADERS, END_STREAM, 1, &bad());
            p.frame(CONTINUATION, END_HEADERS, 1, b"\x00\x7f");
        },
        BROKEN,
    ),
    Case(
        "4.3 a field that ends in the next frame",
        |p| {
            let block = good();
            let (first, second) = block.split_at(block.len() - 3);
            p.frame(HEADERS, END_STREAM, 1, first);
            p.frame(CONTINUATION, END_HEADERS, 1, second);
        },
        Answers(1),
    ),
    Case(
        "4.3 a head that is broken on a stream that was reset is broken all the same",
        |p| {
            p.head(1, &bad());
            p.frame(crate::wire::RST_STREAM, 0, 1, &[0, 0, 0, 8]);
            p.whole(3, &[0x80]);
        },
        BROKEN,
    ),
    Case(
        "7541 2.3.2 fields of the dynamic table",
        |p| {
            p.whole(1, &short(b""));
            // What was put into the table last is the first of it.
            p.whole(3, b"\x82\x86\x04\x05/good\xbe");
        },
        Answers(2),
    ),
    Case(
        "7541 2.3.3 an index beyond both tables",
        |p| _ = p.whole(1, &bad_and(&[0xff, 0x7f])),
        BROKEN,
    ),
    Case(
        "7541 2.3.3 such an index of a name",
        |p| _ = p.whole(1, &bad_and(b"\x7f\x70\x01y")),
        BROKEN,
    ),
    Case("7541 2.3.3 the first of an empty table", |p| _ = p.whole(1, &bad_and(&[0xbe])), BROKEN),
    Case(
        "7541 4.2 a table size after the first field",
        |p| _ = p.whole(1, &bad_and(&[0x20])),
        BROKEN,
    ),
    Case(
        "7541 4.2 a table size before the fields",
        |p| _ = p.whole(1, &short(&[0x20])),
        Answers(1),
    ),
    Case(
        "7541 4.2 two table sizes before the fields",
        |p| _ = p.whole(1, &short(&[0x20, 0x3f, 0x21])),
        Answers(1),
    ),
    Case(
        "7541 4.3 an empty table has nothing of before",
        |p| {
            p.whole(1, &short(b""));
            p.whole(3, b"\x20\x83\x86\x04\x04/bad\xbe");
        },
        BROKEN,
    ),
    Case("7541 5.1 a number without end", |p| _ = p.whole(1, &bad_and(&[0xff; 20])), BROKEN),
    Case(
        "7541 5.1 a number beyond all bounds",
        |p| _ = p.whole(1, &bad_and(b"\x00\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x")),
        BROKEN,
    ),
    Case(
        "7541 5.2 Huffman",
        |p| {
            // `/` `g` `o` `o` `d`: 011000 100110 00111 00111 100100, and four ones.
            p.whole(1, b"\x82\x86\x04\x84\x62\x63\x9e\x4f\x41\x01a");
        },
        Answers(1),
    ),
    Case(
        "7541 5.2 more than seven bits of padding",
        |p| {
            _ = p.whole(1, &bad_and(b"\x00\x01x\x82\x1f\xff"));
        },
        BROKEN,
    ),
    Case(
        "7541 5.2 padding that is not ones",
        |p| {
            _ = p.whole(1, &bad_and(b"\x00\x01x\x81\x18"));
        },
        BROKEN,
    ),
    Case(
        "7541 5.2 the end of text within it",
        |p| {
            _ = p.whole(1, &bad_and(b"\x00\x01x\x84\xff\xff\xff\xff"));
        },
        BROKEN,
    ),
    Case("7541 6.1 index zero", |p| _ = p.whole(1, &bad_and(&[0x80])), BROKEN),
    Case(
        "7541 6.3 a table larger than was granted",
        |p| {
            p.frame(SETTINGS, 0, 0, &setting(1, 1 << 20));
            p.whole(1, &[&[0x3f, 0xe1, 0xff, 0x03], &bad()[..]].concat());
        },
        Connection(&[COMPRESSION, PROTOCOL]),
    ),
];
