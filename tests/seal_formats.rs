//! Bodies in other formats than JSON through the passes of `seal`: what holds for any of them.

mod bodies;

use std::sync::LazyLock;

use bodies::{Lab, in_pieces, patients, whole};
use labseal::{
    base::refusal::{Code, Refusal},
    model::{Cells, Verb},
    policy::Plan,
    seal::{Boundary, Form, Transform},
};
use proptest::{collection::vec, prelude::*, test_runner::Config};

static LAB: LazyLock<Lab> = LazyLock::new(Lab::new);
static PLAN: LazyLock<Plan> = LazyLock::new(|| LAB.plan("clear", Verb::Create, patients()));

fn seal(form: Form, body: &[u8]) -> Result<Vec<u8>, Refusal> {
    seal_as("clear", Verb::Create, form, body)
}

fn seal_as(caller: &str, verb: Verb, form: Form, body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let plan = LAB.plan(caller, verb, patients());
    whole(Transform::sealing(&plan, LAB.snapshot(), form), body).map(|(out, _)| out)
}

fn open(form: Form, body: &[u8]) -> Result<String, Refusal> {
    open_as("clear", form, body)
}

fn open_as(caller: &str, form: Form, body: &[u8]) -> Result<String, Refusal> {
    let plan = LAB.plan(caller, Verb::Read, patients());
    let (out, _) = whole(Transform::opening(&plan, LAB.snapshot(), form), body)?;
    Ok(String::from_utf8(out).unwrap())
}

fn code<T>(result: Result<T, Refusal>) -> Code {
    result.err().expect("refused").code
}

const RECORD: Form = Form::Csv(Cells::Record);
const PLAIN: Form = Form::Csv(Cells::Plain);

fn multipart() -> Form {
    Form::Multipart(Boundary::parse("b--1").unwrap())
}

fn forms() -> [Form; 9] {
    [
        RECORD,
        PLAIN,
        Form::Json,
        Form::JsonPatch,
        Form::JsonSequence,
        Form::MergePatch,
        multipart(),
        Form::Ndjson,
        Form::Urlencoded,
    ]
}

/// A sound body of each form, with `SECRET` in every protected place.
fn sound(form: Form) -> &'static str {
    match form {
        Form::Bytes => "",
        Form::Csv(_) => {
            "id,mrn,name,ward\r\n1,SECRET,\"SECRET, \"\"x\"\"\",A\r\n2,\"SECRET\",SECRET,\r\n"
        }
        Form::Json => r#"[{"mrn":"SECRET","id":1,"contacts":[{"name":"SECRET"}]}]"#,
        Form::JsonPatch => {
            r#"[{"op":"add","path":"/mrn","value":"SECRET"},{"op":"replace","path":"/contacts","value":[{"name":"SECRET"}]}]"#
        }
        Form::JsonSequence => {
            "\u{1e}{\"mrn\":\"SECRET\"}\n\u{1e}{\"id\":1,\n\"name\":\"SECRET\"}\n"
        }
        Form::MergePatch => r#"{"mrn":"SECRET","contacts":[{"name":"SECRET"}],"id":null}"#,
        Form::Multipart(_) => concat!(
            "--b--1\r\nContent-Disposition: form-data; name=\"mrn\"\r\n\r\nSECRET\r\n",
            "--b--1\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n",
            "Content-Type: a/b\r\n\r\nfile\r\n\r\nmore\r\n",
            "--b--1\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\n\r\nSECRET\r\n--b--1--\r\n",
        ),
        Form::Ndjson => "{\"mrn\":\"SECRET\"}\n\n{\"id\":1,\"name\":\"SECRET\"}\r\n",
        Form::Urlencoded => "id=1&mrn=SECRET&ward=A+b%2c&name=%53ECRET",
    }
}

/// The cell as the API would write the text.
fn spelled(cells: Cells, text: &str) -> String {
    let special: &[char] = match cells {
        Cells::Plain => &['"', ',', '\r', '\n'],
        Cells::Record => &['"', ',', '\r', '\n', '\\', '(', ')', ' ', '\t'],
    };
    let edge = text.starts_with(' ') || text.ends_with(' ');
    if !(text.is_empty() || text.contains(special) || (edge && cells == Cells::Plain)) {
        return text.to_owned();
    }
    let text = text.replace('"', "\"\"");
    match cells {
        Cells::Plain => format!("\"{text}\""),
        Cells::Record => format!("\"{}\"", text.replace('\\', "\\\\")),
    }
}

fn field_text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a-zA-Z0-9 ,'\"()\\\\;%+&=_-]{0,12}",
        1 => "[éß中😀]{1,4}",
        1 => "a[\r\n]{1,2}b",
        1 => Just(String::new()),
    ]
}

proptest! {
    #![proptest_config(Config { cases: 150, ..Config::default() })]

    #[test]
    fn csv_comes_back_with_the_same_values_and_other_cells_byte_for_byte(
        rows in vec((field_text(), field_text(), field_text(), any::<bool>()), 0..6),
        end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        is_plain in any::<bool>(),
        lengths in vec(1..40_usize, 1..4),
    ) {
        let cells = if is_plain { Cells::Plain } else { Cells::Record };
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let mut body = format!("ward,mrn,\"x y\",name{end}");
        let mut expected = body.clone();
        for (ward, mrn, name, quotes) in &rows {
            let bare = |text: &str| !text.contains(['"', ',', '\r', '\n']) && !text.is_empty();
            let mrn_cell = if *quotes || !bare(mrn) { quoted(mrn) } else { mrn.clone() };
            body += &format!("{},{mrn_cell},,{}{end}", quoted(ward), quoted(name));
            let (mrn, name) = (spelled(cells, mrn), spelled(cells, name));
            expected += &format!("{},{mrn},,{name}{end}", quoted(ward));
        }
        let pass = Transform::sealing(&PLAN, LAB.snapshot(), Form::Csv(cells));
        let (sealed, finished) = in_pieces(pass, body.as_bytes(), &lengths).unwrap();
        prop_assert_eq!(finished.tally.sealed.values().sum::<u64>(), 2 * rows.len() as u64);
        let pass = Transform::opening(&PLAN, LAB.snapshot(), Form::Csv(cells));
        let (opened, _) = in_pieces(pass, &sealed, &lengths).unwrap();
        prop_assert_eq!(String::from_utf8(opened).unwrap(), expected.clone());
        prop_assert_eq!(open(Form::Csv(cells), &sealed).unwrap(), expected);
    }

    #[test]
    fn lines_and_sequences_come_back_as_they_were(
        names in vec("[a-zé ,]{0,8}", 0..6),
        lengths in vec(1..40_usize, 1..4),
    ) {
        for (form, before, after) in
            [(Form::Ndjson, "", "\n"), (Form::Ndjson, "\n", "\r\n"), (Form::JsonSequence, "\u{1e}", "\n")]
        {
            let records = names.iter().map(|name| {
                format!("{before}{{\"x\" : 1.10,\"name\":\"{name}\"}}{after}")
            });
            let body: String = records.collect();
            let pass = Transform::sealing(&PLAN, LAB.snapshot(), form);
            let (sealed, finished) = in_pieces(pass, body.as_bytes(), &lengths).unwrap();
            prop_assert_eq!(finished.tally.sealed.values().sum::<u64>(), names.len() as u64);
            let pass = Transform::opening(&PLAN, LAB.snapshot(), form);
            let (opened, _) = in_pieces(pass, &sealed, &lengths).unwrap();
            prop_assert_eq!(String::from_utf8(opened).unwrap(), body);
        }
    }

    #[test]
    fn pieces_decide_nothing_and_no_bytes_make_a_pass_panic(
        which in 0..9_usize,
        flips in vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(b'"'), Just(b'\r'), Just(b'-')]), 0..4),
        noise in vec(any::<u8>(), 0..60),
        lengths in vec(1..30_usize, 1..4),
    ) {
        let form = forms()[which];
        let mut body = sound(form).as_bytes().to_vec();
        for (at, byte) in flips {
            let at = at.index(body.len());
            body[at] = byte;
        }
        for body in [body, noise] {
            let sealing = || Transform::sealing(&PLAN, LAB.snapshot(), form);
            let one = whole(sealing(), &body).map(|(out, finished)| (out.len(), finished.tally));
            let many = in_pieces(sealing(), &body, &lengths).map(|(out, f)| (out.len(), f.tally));
            prop_assert_eq!(one.is_ok(), many.is_ok());
            if let (Ok(one), Ok(many)) = (one, many) {
                prop_assert_eq!(one, many);
            }
            let opening = || Transform::opening(&PLAN, LAB.snapshot(), form);
            let one = whole(opening(), &body).map(|(out, _)| out);
            let many = in_pieces(opening(), &body, &lengths).map(|(out, _)| out);
            prop_assert_eq!(one.ok(), many.ok());
        }
    }
}

#[test]
fn no_value_leaves_in_clear_and_a_cut_body_holds_no_more_than_a_whole_one() {
    for form in forms() {
        let body = sound(form);
        let sealed = String::from_utf8(seal(form, body.as_bytes()).unwrap()).unwrap();
        assert!(!sealed.contains("SECRET"), "{form:?}: {sealed}");
        assert_eq!(sealed.matches("ls1").count(), body.matches("ECRET").count(), "{form:?}");
        for cut in 0..body.len() {
            let Ok(out) = seal(form, &body.as_bytes()[..cut]) else { continue };
            // What says where it ends is refused; a list of lines or pairs may end after any.
            let ends = match form {
                Form::Bytes | Form::Json | Form::JsonPatch | Form::MergePatch => false,
                Form::JsonSequence => cut == 0 || body[..cut].ends_with(['\n', '\u{1e}']),
                Form::Multipart(_) => cut >= body.len() - 2,
                Form::Ndjson => cut == 0 || body[..cut].trim_end().ends_with('}'),
                Form::Csv(_) | Form::Urlencoded => true,
            };
            assert!(ends, "{form:?} {cut}");
            assert!(!String::from_utf8(out).unwrap().contains("SEC"), "{form:?} {cut}");
        }
    }
}

#[test]
fn a_stray_is_refused_wherever_it_stands() {
    let sealed = seal(Form::Json, br#"{"mrn":"A"}"#).unwrap();
    let text = String::from_utf8(sealed).unwrap();
    let stray = text.split('"').nth(3).unwrap();
    let escaped = format!("\\u006c{}", &stray[1..]);
    let file = "Content-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\n";
    for (form, body) in [
        (RECORD, format!("id,mrn\n{stray},A\n")),
        (RECORD, format!("id,mrn\n\"a \"\"{stray}\",A\n")),
        (RECORD, format!("id,mrn\n\"{{\"\"a\"\":\"\"{escaped}\"\"}}\",A\n")),
        (RECORD, format!("{stray},mrn\n1,A\n")),
        (Form::Urlencoded, format!("id={stray}&mrn=A")),
        (Form::Urlencoded, format!("id=%6c{}&mrn=A", &stray[1..])),
        (Form::Urlencoded, format!("{stray}=1&mrn=A")),
        (Form::Ndjson, format!("{{\"id\":\"{stray}\"}}\n")),
        (Form::JsonSequence, format!("\u{1e}{{\"id\":\"{escaped}\"}}\n")),
        (Form::JsonPatch, format!(r#"[{{"op":"add","path":"/id","value":"{escaped}"}}]"#)),
        (Form::JsonPatch, format!(r#"[{{"op":"remove","path":"/{escaped}"}}]"#)),
        (Form::JsonPatch, format!(r#"[{{"op":"remove","path":"/id","x":["{escaped}"]}}]"#)),
        (multipart(), format!("--b--1\r\n{file}{stray}\r\n--b--1--")),
        (multipart(), format!("--b--1\r\n{file}{}{stray}{0}\r\n--b--1--", "x".repeat(9000))),
        (multipart(), format!("--b--1\r\nX: {stray}\r\n{file}a\r\n--b--1--")),
    ] {
        assert_eq!(code(seal(form, body.as_bytes())), Code::StrayEnvelope, "{body}");
        for length in [1, 7, 64] {
            let pass = Transform::sealing(&PLAN, LAB.snapshot(), form);
            assert_eq!(code(in_pieces(pass, body.as_bytes(), &[length])), Code::StrayEnvelope);
        }
    }
}

#[test]
fn names_that_a_server_may_take_for_a_protected_one_are_refused() {
    for name in ["MRN", " mrn", "mrn ", "contacts.name", "contacts[0][name]", "patient[mrn]"] {
        assert_eq!(code(seal(RECORD, format!("id,{name}\n1,A\n").as_bytes())), Code::NearName);
        let pair = format!("{}=A", name.replace(' ', "+"));
        assert_eq!(code(seal(Form::Urlencoded, pair.as_bytes())), Code::NearName, "{name}");
    }
    for body in ["id;mrn\n1;A\n", "id\tmrn\n1\tA\n", "\u{feff}mrn\nA\n"] {
        assert_eq!(code(seal(PLAIN, body.as_bytes())), Code::NearName, "{body:?}");
    }
    assert_eq!(code(seal(PLAIN, b"mrn,\"mrn\"\nA,B\n")), Code::DuplicateKey);
    assert_eq!(code(seal(Form::Urlencoded, b"mrn=A&m%72n=B")), Code::DuplicateKey);
    for body in ["contacts\nA\n", "\nmrn\nA\n", "mrn,id\nA\n", "mrn,id\nA,B,C\n", "mrn\n\"A\"x\n"] {
        assert_eq!(code(seal(RECORD, body.as_bytes())), Code::MalformedBody, "{body:?}");
    }
    for body in [&b"id,mrn\n\xff,A\n"[..], b"id\n\0\n", b"mrn\nA\"\n", b"mrn\n\"A\n", b""] {
        assert_eq!(code(seal(RECORD, body)), Code::MalformedBody, "{body:?}");
    }
    for body in
        [&b"id=1;mrn=A"[..], b"\xff=A", b"contacts=A", b"{\"mrn\":1}", b"id=1&<a>=2", b"m\0=1"]
    {
        assert_eq!(code(seal(Form::Urlencoded, body)), Code::MalformedBody, "{body:?}");
    }
}

#[test]
fn a_name_is_near_in_every_format_alike() {
    for name in ["people.mrn", "mrn::text", "m\u{200b}rn", "'mrn'", "`mrn`", "ward:mrn", "MRN"] {
        for (form, body) in [
            (Form::Json, format!(r#"{{"{name}":"A"}}"#)),
            (Form::MergePatch, format!(r#"{{"{name}":"A"}}"#)),
            (Form::JsonPatch, format!(r#"[{{"op":"add","path":"/{name}","value":"A"}}]"#)),
            (Form::Ndjson, format!("{{\"{name}\":\"A\"}}\n")),
            (Form::JsonSequence, format!("\u{1e}{{\"{name}\":\"A\"}}\n")),
            (PLAIN, format!("id,{name}\n1,A\n")),
            (RECORD, format!("id,\"{name}\"\n1,A\n")),
            (Form::Urlencoded, format!("{name}=A")),
            (Form::Urlencoded, format!("id=1&{name}")),
            (
                multipart(),
                format!(
                    "--b--1\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\nA\r\n--b--1--"
                ),
            ),
        ] {
            assert_eq!(code(seal(form, body.as_bytes())), Code::NearName, "{form:?} {body}");
        }
    }
    for name in ["ward.code", "mrn_source", "ward::text"] {
        assert!(seal(Form::Json, format!(r#"{{"{name}":"A"}}"#).as_bytes()).is_ok(), "{name}");
    }
}

#[test]
fn a_header_that_a_server_may_pass_over_is_refused() {
    for first in ["\u{feff}", " ", " \t", "\u{feff} ", "\"\"", "\" \"", " , ", ",", "\u{200b}"] {
        for end in ["\n", "\r\n"] {
            let body = format!("{first}{end}mrn{end}A{end}");
            for form in [PLAIN, RECORD] {
                assert_eq!(code(seal(form, body.as_bytes())), Code::MalformedBody, "{body:?}");
            }
        }
    }
    // A column without a name stands in what some programs export.
    assert!(seal(PLAIN, b",mrn\n1,A\n").is_ok());
}

#[test]
fn null_is_what_the_api_takes_for_null() {
    let sealed =
        |form, body: &str| String::from_utf8(seal(form, body.as_bytes()).unwrap()).unwrap();
    for body in ["mrn,id\nNULL,1\n", "mrn,id\n\"NULL\",1\n"] {
        assert_eq!(sealed(RECORD, body), body);
        assert!(sealed(PLAIN, body).contains("ls1d"));
    }
    assert!(sealed(RECORD, "mrn,id\n,1\n").contains("\nls1d"));
    assert!(sealed(RECORD, "mrn,id\nnull,1\n").contains("\nls1d"));
    assert_eq!(sealed(PLAIN, "mrn,id\n,1\n"), "mrn,id\n,1\n");
    assert!(sealed(PLAIN, "mrn,id\n\"\",1\n").contains("\n\"ls1d"));
    assert!(sealed(Form::Urlencoded, "mrn").starts_with("mrn=ls1d"));
    // The API drops a row of one empty cell, so it says nothing; who cannot see the value may not
    // send it all the same.
    assert_eq!(sealed(RECORD, "result\n\n\"\"\n"), "result\n\n\"\"\n");
    let dropped = seal_as("masked", Verb::Create, RECORD, b"mrn\n\"\"\n");
    assert_eq!(code(dropped), Code::MaskedWriteback);
    assert_eq!(code(seal(RECORD, b"id,result\n1,\"\"\n")), Code::WrongType);
    let unseen = seal_as("masked", Verb::Create, RECORD, b"id,mrn\n1,NULL\n");
    assert_eq!(code(unseen), Code::MaskedWriteback);
    assert_eq!(code(seal_as("reader", Verb::Create, RECORD, b"mrn\nA\n")), Code::WriteNotGranted);
    assert_eq!(code(seal_as("masked", Verb::Replace, RECORD, b"id\n1\n")), Code::MaskedWriteback);
    assert_eq!(
        code(seal_as("masked", Verb::Replace, Form::Urlencoded, b"id=1")),
        Code::MaskedWriteback
    );
}

#[test]
fn cells_of_an_answer_hold_what_the_caller_may_see() {
    let body = "id,mrn,name,note,result\n1,MRN-12345678,\"O'Neil, (A)\",\"a\\b\",1.5\n2,NULL,NULL,NULL,NULL\n";
    let sealed = seal(RECORD, body.as_bytes()).unwrap();
    // The server writes null as nothing.
    let stored = String::from_utf8(sealed).unwrap().replace("NULL,NULL,NULL,NULL", ",,,");
    let second = "\n2,,,,\n";
    let shown = |caller| open_as(caller, RECORD, stored.as_bytes()).unwrap();
    let clear = "\n1,MRN-12345678,\"O'Neil, (A)\",\"a\\\\b\",1.5000";
    assert!(shown("clear").ends_with(&format!("{clear}{second}")), "{}", shown("clear"));
    assert!(shown("masked").contains("\n1,••••5678,O••••,,"), "{}", shown("masked"));
    for caller in ["nulled", "omitted"] {
        assert_eq!(shown(caller), format!("id,mrn,name,note,result\n1,,,,{second}"));
    }
    assert_eq!(shown("sealed"), stored);
    // Under another name, and within JSON in a cell, as in a JSON answer.
    let envelope = stored.split(['\n', ',']).nth(6).unwrap();
    let other = format!("x,y,contacts\n{envelope},\"[\"\"{envelope}\"\", 1]\",\n");
    let expected = "x,y,contacts\nMRN-12345678,\"[\"\"MRN-12345678\"\", 1]\",\n";
    assert_eq!(open(RECORD, other.as_bytes()).unwrap(), expected);
    assert_eq!(code(open(RECORD, b"mrn\nplain\n")), Code::Integrity);
    assert_eq!(code(open(RECORD, b"mrn,id\n1\n")), Code::UpstreamUnreadable);
    for nothing in ["", "\n", "mrn,id\n"] {
        assert_eq!(open(RECORD, nothing.as_bytes()).unwrap(), nothing);
    }
}

#[test]
fn a_body_of_any_length_passes_in_the_memory_of_one_record() {
    for (form, head, record) in [
        (RECORD, "id,mrn,name\n", "1,SECRET,\"a, b\"\n"),
        (PLAIN, "", "mrn,x\r\n"),
        (Form::JsonSequence, "", "\u{1e}{\"mrn\":\"SECRET\"}\n"),
        (Form::Ndjson, "", "{\"mrn\":\"SECRET\",\"x\":[1,2]}\n"),
        (Form::Urlencoded, "mrn=SECRET", "&x=a+b%2c"),
    ] {
        let records = record.repeat(1 << 9);
        let mut sealing = Transform::sealing(&PLAN, LAB.snapshot(), form);
        let mut opening = Transform::opening(&PLAN, LAB.snapshot(), form);
        let (mut sealed, mut opened) = (Vec::new(), Vec::new());
        let opens = form != Form::Urlencoded;
        sealing.push(head.as_bytes(), &mut sealed).unwrap();
        for _ in 0..8 {
            sealing.push(records.as_bytes(), &mut sealed).unwrap();
            if opens {
                opening.push(&sealed, &mut opened).unwrap();
            }
            sealed.clear();
            opened.clear();
        }
        for high_water in [sealing.high_water(), opening.high_water()] {
            assert!(high_water < 100 << 10, "{form:?}: {high_water}");
        }
    }
    let long = format!("id,mrn\n1,\"{}", "x".repeat(9 << 20));
    assert_eq!(code(seal(RECORD, long.as_bytes())), Code::RecordTooLarge);
    let long = format!("{{\"id\":\"{}", "x".repeat(9 << 20));
    assert_eq!(code(seal(Form::Ndjson, long.as_bytes())), Code::RecordTooLarge);
    assert_eq!(code(seal(Form::JsonPatch, long.as_bytes())), Code::RecordTooLarge);
}
