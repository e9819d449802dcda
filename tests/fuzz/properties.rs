//! What must hold for any bytes. Fuzz targets look for bytes for which it does not; `tests/corpora.rs`
//! tries those that were found, and the seeds, in every run.

#![allow(dead_code)] // Each target uses one of them.

#[path = "../bodies/mod.rs"]
mod bodies;

use std::sync::{Arc, LazyLock};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bodies::{Lab, in_pieces, patients, whole};
use http::{HeaderMap, Method};
use labseal::{
    base::{
        class::{ClassParams, Equality, Mode, Rung, ValueType, Years},
        ident::{ClassId, EntityName, FieldName, Tenant},
        secret::{Plaintext, SecretKey},
    },
    crypto::{
        DataClassKey, IndexClassKey, Kind, Ladder, MAX_DETERMINISTIC, Nonces, Parity, RingKey,
        Typed, envelope, open_deterministic, open_random, open_searchable, seal_deterministic,
        seal_random, seal_searchable, size,
    },
    dialect::{DIALECTS, Dialect, Head},
    keys::Snapshot,
    model::{Cells, EntityDecl, Node, Operation, Rest, Surface, Test, UseKind, Verb},
    policy::Plan,
    seal::{self, Form, MARKER, Transform},
};
use percent_encoding::percent_decode_str;
use serde_json::Value;

static LAB: LazyLock<Lab> = LazyLock::new(Lab::new);
static KEYS: LazyLock<Arc<Snapshot>> = LazyLock::new(|| LAB.snapshot());
static PATIENTS: LazyLock<Plan> = LazyLock::new(|| LAB.plan("clear", Verb::Create, patients()));
static NOTHING: LazyLock<Plan> = LazyLock::new(|| LAB.plan("clear", Verb::Create, Node::default()));
static DIALECT: LazyLock<Box<dyn Dialect>> = LazyLock::new(dialect);

const COLUMNS: [&str; 5] = ["mrn", "name", "note", "result", "doc"];

/// The scan and splice of JSON bodies.
pub fn json(data: &[u8]) {
    if let Ok(untouched) = LAB.seal(&NOTHING, data) {
        assert!(untouched == data, "nothing is declared, and something changed");
    }
    if let Ok(opened) = LAB.open(&PATIENTS, data)
        && !has(data, "ls1")
        && !has(data, "\\u")
    {
        let marked = has(&opened, MARKER);
        assert!(opened == data || marked, "nothing is sealed, and something changed");
    }

    let pieces = [usize::from(data.first().copied().unwrap_or(1)), 1, 7, 64];
    let cut = in_pieces(LAB.sealing(&PATIENTS), data, &pieces).map(|(sealed, _)| sealed);
    let sealed = match (LAB.seal(&PATIENTS, data), cut) {
        (Ok(sealed), Ok(cut)) => {
            let (whole, cut) = (LAB.open(&PATIENTS, &sealed), LAB.open(&PATIENTS, &cut));
            assert_eq!(whole.ok(), cut.ok(), "the pieces matter");
            sealed
        }
        // Of two faults in one body, the pieces decide which is seen first.
        (Err(_), Err(_)) => return,
        (whole, cut) => panic!("the pieces matter: {:?}, {:?}", whole.is_ok(), cut.is_ok()),
    };
    // Another reader finds nothing in clear at a declared place.
    if let Ok(value) = serde_json::from_slice::<Value>(&sealed) {
        match &value {
            Value::Array(records) => records.iter().for_each(assert_sealed),
            record => assert_sealed(record),
        }
    }
    // What comes back is in the form of the type, so it comes back again.
    let opened = LAB.open(&PATIENTS, &sealed).expect("what was sealed opens");
    let again = LAB.seal(&PATIENTS, &opened).expect("what came back can be sealed");
    let again = LAB.open(&PATIENTS, &again).expect("what was sealed opens");
    assert!(opened == again, "not what was sealed");
}

fn assert_sealed(record: &Value) {
    let is_sealed = |value: Option<&Value>| match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => envelope::parse(text.as_bytes()).is_ok(),
        Some(_) => false,
    };
    for column in COLUMNS {
        assert!(is_sealed(record.get(column)), "{column} is in clear");
    }
    for contact in record.get("contacts").and_then(Value::as_array).into_iter().flatten() {
        assert!(is_sealed(contact.get("name")), "the name of a contact is in clear");
    }
}

/// One JSON text on each line.
pub fn ndjson(data: &[u8]) {
    let Some(sealed) = sealed_and_opened(Form::Ndjson, Returns::Same, data) else { return };
    for line in sealed.split(|byte| *byte == b'\n') {
        if let Ok(record) = serde_json::from_slice::<Value>(line) {
            assert_sealed(&record);
        }
    }
}

/// CSV, in both ways of writing cells.
pub fn csv(data: &[u8]) {
    for cells in [Cells::Plain, Cells::Record] {
        // PostgreSQL answers in another spelling than it reads. The text of a cell is taken for a JSON
        // string where the class is of type json.
        let returns = match cells {
            Cells::Record => Returns::Otherwise,
            Cells::Plain if has(data, "do") => Returns::Opened,
            Cells::Plain => Returns::Same,
        };
        let Some(sealed) = sealed_and_opened(Form::Csv(cells), returns, data) else { continue };
        let (before, after) = (rows(data), rows(&sealed));
        assert_eq!(before.len(), after.len(), "rows came or went");
        let Some(((header, _), _)) = before.split_first().zip(after.first()) else { continue };
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before.len(), after.len(), "cells came or went");
        }
        for (before, after) in before.iter().zip(&after).skip(1) {
            for ((name, before), after) in header.iter().zip(before).zip(after) {
                let is_ours = COLUMNS.iter().any(|column| name.text == column.as_bytes());
                let is_null = match cells {
                    Cells::Plain => after.text.is_empty() && !after.is_quoted,
                    Cells::Record => after.text == b"NULL",
                };
                let is_sealed = || is_null || envelope::parse(&after.text).is_ok();
                assert!(!is_ours || is_sealed(), "a cell is in clear");
                assert!(is_ours || name.text == b"contacts" || before == after, "a cell changed");
            }
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cell {
    text: Vec<u8>,
    is_quoted: bool,
}

/// Another reader of CSV, for what was accepted. Lines without a character are no rows.
fn rows(data: &[u8]) -> Vec<Vec<Cell>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), Cell::default());
    let mut inside = false;
    let mut bytes = data.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if inside && bytes.next_if_eq(&b'"').is_some() => cell.text.push(b'"'),
            b'"' if inside => inside = false,
            b'"' if cell == Cell::default() => (inside, cell.is_quoted) = (true, true),
            b',' if !inside => row.push(std::mem::take(&mut cell)),
            b'\r' if !inside && bytes.peek() == Some(&b'\n') => {}
            b'\n' if !inside => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            other => cell.text.push(other),
        }
    }
    if !row.is_empty() || cell != Cell::default() {
        row.push(cell);
        rows.push(row);
    }
    rows.retain(|row| *row != [Cell::default()]);
    rows
}

/// What a sealed request is like, taken as an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Returns {
    /// It opens.
    Opened,
    /// It is none.
    Otherwise,
    /// It opens, and what was opened can be written again and is the same.
    Same,
}

/// Seals, whole and in pieces, and opens again; `None` if it is refused.
fn sealed_and_opened(form: Form, returns: Returns, data: &[u8]) -> Option<Vec<u8>> {
    let sealing = |form| Transform::sealing(&PATIENTS, KEYS.clone(), form);
    let seal = |form, data: &[u8]| whole(sealing(form), data).map(|(out, _)| out);
    let open = |form, data: &[u8]| {
        whole(Transform::opening(&PATIENTS, KEYS.clone(), form), data).map(|(out, _)| out)
    };
    let pieces = [usize::from(data.first().copied().unwrap_or(1)), 1, 7, 64];
    let cut = in_pieces(sealing(form), data, &pieces).map(|(sealed, _)| sealed);
    let sealed = match (seal(form, data), cut) {
        (Ok(sealed), Ok(cut)) => {
            let is_same = open(form, &sealed).ok() == open(form, &cut).ok();
            assert!(is_same || returns == Returns::Otherwise, "the pieces matter");
            sealed
        }
        (Err(_), Err(_)) => return None,
        (whole, cut) => panic!("the pieces matter: {:?}, {:?}", whole.is_ok(), cut.is_ok()),
    };
    if returns == Returns::Otherwise {
        return Some(sealed);
    }
    let opened = open(form, &sealed).expect("what was sealed opens");
    if returns == Returns::Same {
        let second = seal(form, &opened).expect("what came back can be sealed");
        let second = open(form, &second).expect("what was sealed opens");
        assert!(opened == second, "not what was sealed");
    }
    Some(sealed)
}

/// The targets of PostgREST: `METHOD /target`, or a target alone.
pub fn postgrest(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (method, target) = text.split_once(' ').unwrap_or(("GET", text));
    let Ok(method) = method.parse::<Method>() else { return };
    if !target.starts_with('/') || target.contains(|c: char| c.is_control() || c == ' ') {
        return;
    }
    let headers = HeaderMap::new();
    let head = |target| Head { method: &method, target, headers: &headers };
    let Ok(operation) = DIALECT.classify(head(target)) else { return };
    let Ok(plan) = LAB.plan_of("clear", &operation) else { return };
    let Ok(sealed) = seal::readdress(&plan, &operation, &KEYS) else { return };
    let replacements = sealed.replacements;
    let Ok(readdressed) = DIALECT.readdress(head(target), &replacements) else { return };
    let rewritten = readdressed.target;
    if operation.verb == Verb::Describe {
        return;
    }
    if replacements.iter().all(Option::is_none) {
        assert_eq!(rewritten, target, "nothing was to be replaced");
    }
    let again = DIALECT.classify(head(&rewritten));
    let again = again.unwrap_or_else(|refusal| panic!("cannot be read again: {refusal}"));
    assert_eq!((again.verb, &again.target), (operation.verb, &operation.target));
    for literal in literals(&again) {
        assert!(literal.starts_with("ls1"), "a literal is in clear: {rewritten}");
    }
    // As often as a literal was tested, it is gone.
    let decoded = |target: &str| {
        percent_decode_str(&target.replace('+', " ")).decode_utf8_lossy().into_owned()
    };
    let (before, after) = (decoded(target), decoded(&rewritten));
    let tested = literals(&operation);
    // What has escapes in it cannot be counted.
    if before.contains('\\') {
        return;
    }
    for literal in &tested {
        if literal.len() < 8 || !literal.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            continue;
        }
        let times = tested.iter().filter(|other| *other == literal).count();
        let (before, after) =
            (before.matches(&**literal).count(), after.matches(&**literal).count());
        assert!(after + times <= before, "{literal} is still in {rewritten}");
    }
}

/// The literals of tests of protected columns.
fn literals(operation: &Operation) -> Vec<String> {
    let of = |test: &Test| -> Vec<Plaintext> {
        match test {
            Test::Equal(literal) | Test::Bound { literal, .. } => vec![literal.clone()],
            Test::Pattern { pattern, .. } => vec![pattern.clone()],
            Test::In(literals) => literals.clone(),
            Test::IsNull | Test::Other => Vec::new(),
        }
    };
    let mut found = Vec::new();
    for one in &operation.uses {
        let is_ours = one.entity.as_ref().is_some_and(|name| name.as_str() == "public.patients");
        if let (true, UseKind::Filter(filter)) = (is_ours, &one.kind)
            && COLUMNS.contains(&one.column.as_str())
        {
            found.extend(of(&filter.test));
        }
    }
    found.iter().map(|text| String::from_utf8_lossy(text.expose()).into_owned()).collect()
}

fn dialect() -> Box<dyn Dialect> {
    let (_, build) = DIALECTS.iter().find(|(name, _)| *name == "postgrest").expect("it is there");
    let fields = COLUMNS.iter().map(|column| FieldName::new(*column)).collect();
    let entity = EntityDecl {
        name: EntityName::new("public.patients"),
        fields,
        rest: Rest::default(),
        bind: None,
        key: Vec::new(),
    };
    let surface =
        Surface { schemas: vec!["public".into()], entities: vec![entity], ..Surface::default() };
    build(&surface).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// The keys of one class, for each mode.
struct ClassKeys {
    random: DataClassKey,
    searchable: DataClassKey,
    index: IndexClassKey,
}

static CLASS: LazyLock<ClassKeys> = LazyLock::new(|| {
    let ring = RingKey::from_secret(SecretKey::new([7; 32]));
    let (tenant, class) = (Tenant::new("main"), ClassId::new("c"));
    let data = |mode| DataClassKey::derive(&ring, &tenant, &class, mode).expect("names are short");
    ClassKeys {
        random: data(Mode::Random),
        searchable: data(Mode::Searchable),
        index: IndexClassKey::derive(&ring, &tenant, &class).expect("names are short"),
    }
});

/// Envelopes: read from any bytes, and made of any bytes.
pub fn envelope(data: &[u8]) {
    read_envelope(data);
    let value = Typed::new(Kind::Bytes, Plaintext::new(data.to_vec()));
    let flipped = usize::from(data.first().copied().unwrap_or(0));
    for mode in [Mode::Deterministic, Mode::Random, Mode::Searchable] {
        if mode == Mode::Deterministic && data.len() > MAX_DETERMINISTIC {
            continue;
        }
        let mut text = seal_in(mode, &value);
        let rungs = if mode == Mode::Searchable { vec![Rung::Eq] } else { Vec::new() };
        let (id, ty, equality) = (ClassId::new("c"), ValueType::Text, Equality::Exact);
        let params = ClassParams { id, mode, ty, rungs, equality, years: Years::ALL };
        assert_eq!(text.len(), size::envelope_len(&params, data.len()), "{mode:?}");
        let opened = open_in(mode, &text).expect("what was sealed opens");
        assert_eq!((opened.kind, opened.value.expose()), (Kind::Bytes, data), "{mode:?}");
        let around = [b"x\"".as_slice(), &text, b"\" ls1"].concat();
        assert_eq!(envelope::find(&around, 0), Some(2..2 + text.len()), "{mode:?}");
        // Nothing that differs in a bit opens.
        let at = flipped * 31 % text.len();
        text[at] ^= 1 << (flipped % 7);
        assert!(open_in(mode, &text).is_none(), "{mode:?} opens with byte {at} changed");
    }
}

fn seal_in(mode: Mode, value: &Typed) -> Vec<u8> {
    let (mut out, nonces) = (Vec::new(), &mut Nonces::new());
    match mode {
        Mode::Deterministic => seal_deterministic(&CLASS.index, value, &mut out),
        Mode::Random => seal_random(&CLASS.random, value, nonces, &mut out),
        Mode::Searchable => {
            let ladder = Ladder::new(&CLASS.index, &[Rung::Eq], Equality::Exact, value);
            let ladder = ladder.expect("one rung");
            seal_searchable(&CLASS.searchable, &ladder, Parity::Odd, value, nonces, &mut out)
        }
    }
    .expect("no value here is too long");
    out
}

fn open_in(mode: Mode, text: &[u8]) -> Option<Typed> {
    let parsed = envelope::parse(text).ok()?;
    match mode {
        Mode::Deterministic => open_deterministic(&CLASS.index, &parsed).ok(),
        Mode::Random => open_random(&CLASS.random, &parsed).ok(),
        Mode::Searchable => open_searchable(&CLASS.searchable, &parsed).ok(),
    }
}

fn read_envelope(data: &[u8]) {
    if let Ok(parsed) = envelope::parse(data) {
        let head = 4 + parsed.tokens().len() + usize::from(parsed.mode() == Mode::Searchable);
        let body = URL_SAFE_NO_PAD.decode(&data[head..]).expect("base64url");
        assert_eq!(URL_SAFE_NO_PAD.encode(&body).as_bytes(), &data[head..], "another spelling");
        assert_eq!(&body[1..6], &parsed.kid().0);
        assert_eq!(envelope::find(data, 0), Some(0..data.len()));
    }
    let mut from = 0;
    while let Some(found) = envelope::find(data, from) {
        // Cut ones are found, too.
        assert!(data[found.clone()].starts_with(b"ls1") && found.start >= from);
        from = found.end;
    }
}

fn has(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}
