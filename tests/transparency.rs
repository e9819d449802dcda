//! Where nothing is declared, nothing changes: both directions pass byte for byte, up to what
//! `docs/http.md` lists (hop-by-hop fields, chunk boundaries, what the HTTP library regroups).

mod kit;

use std::sync::{Arc, Mutex};

use kit::{
    Act, Answer, Front, Labseal, Postgres, Request, fake, http::Message, policy, script,
    stand::Direct,
};

/// JSON that is odd, and none of a proxy's business: spelling, order, space, escapes, duplicates.
const ODD: &[&str] = &[
    "{}",
    "[]",
    "null",
    "true",
    " 1 ",
    "-0",
    "1.10",
    "1E+2",
    "1e400",
    "-1.0e-400",
    "0.1e1",
    "123456789012345678901234567890",
    "\"\"",
    "\"\\u00e9\"",
    "\"é\"",
    "\"\\/\"",
    "\"/\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\u0000\"",
    "\"\u{7f}\"",
    "\"\u{2028}\"",
    "\u{feff}{\"a\":1}",
    "{\"a\":1,\"a\":2}",
    "{\"b\":1,\"a\":2}",
    "{ \"a\" :\t1 ,\r\n\"b\":2 }\n",
    "{\"\":{\"\":[[[]]]}}",
    "[1,[2,[3,[4,[5]]]]]",
    "{\"mrn\":\"M1\",\"last_name\":\"plain\"}",
    "{\"ls1r\":\"ls1rAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
    "[\"ls1dQUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9w\"]",
];

/// What is not JSON at all.
const BROKEN: &[&[u8]] = &[
    b"",
    b"{",
    b"[1,",
    b"{\"a\":tru}",
    b"\"\xff\xfe\"",
    b"\xef\xbb\xbf",
    b"NaN",
    b"{'a':1}",
    b"a,b\r\n1,\"2\n\"\r\n",
    b"\0\x01\x02",
    b"{\"a\":1}{\"b\":2}",
    b"\x1f\x8b\x08\x00junk",
];

fn corpus() -> Vec<Vec<u8>> {
    let odd = ODD.iter().map(|text| text.as_bytes().to_vec());
    let deep = [format!("{}1{}", "[".repeat(500), "]".repeat(500)).into_bytes()];
    let large = [format!("[{}0]", "1.50, ".repeat(400_000)).into_bytes()];
    odd.chain(BROKEN.iter().map(|bytes| bytes.to_vec())).chain(deep).chain(large).collect()
}

/// labseal with an empty policy in front of an upstream that answers what it is told.
fn open_front() -> (Front, Arc<Mutex<Vec<u8>>>) {
    let next = Arc::new(Mutex::new(fake::answer("200 OK", &[], b"")));
    let kept = Arc::clone(&next);
    let reply = move |_: &Message| vec![Act::Send(kept.lock().unwrap().clone())];
    (Front::with(policy::EMPTY, reply), next)
}

/// Headers as (name, value), sorted, without those that belong to one connection or to framing.
fn end_to_end(message: &Message) -> Vec<(String, String)> {
    let hop = ["connection", "keep-alive", "transfer-encoding", "content-length", "date"];
    let kept = message.headers.iter().filter(|(name, _)| !hop.contains(&&*name.to_lowercase()));
    let mut kept: Vec<_> = kept.cloned().collect();
    kept.sort();
    kept
}

fn ask(labseal: &Labseal, request: &Request) -> Answer {
    request.send(labseal.address())
}

#[test]
fn request_bodies_pass_byte_for_byte_under_an_empty_policy() {
    let (front, _) = open_front();
    let corpus = corpus();
    assert!(corpus.len() > 40);
    for body in &corpus {
        for (method, kind) in [("POST", "application/json"), ("PUT", "text/csv"), ("PATCH", "x/y")]
        {
            let request = Request::new(method, "/patients").header("Content-Type", kind).body(body);
            assert_eq!(ask(&front.labseal, &request).status, 200);
            let got = front.fake.requests().pop().unwrap();
            assert!(got.body == *body, "{}", String::from_utf8_lossy(body));
            assert_eq!(got.header("content-length"), Some(&*body.len().to_string()));
        }
    }
}

#[test]
fn answers_pass_byte_for_byte_under_an_empty_policy() {
    let (front, next) = open_front();
    for body in corpus() {
        for kind in ["application/json; charset=utf-8", "text/csv", "application/octet-stream"] {
            let headers = [("Content-Type", kind), ("ETag", "W/\"3\""), ("Content-Range", "0-1/*")];
            *next.lock().unwrap() = fake::answer("200 OK", &headers, &body);
            let answer = ask(&front.labseal, &Request::get("/patients"));
            assert!(answer.body == body, "{}", String::from_utf8_lossy(&body));
            let direct = Request::get("/patients").send(front.fake.address());
            assert_eq!(end_to_end(&answer), end_to_end(&direct));
        }
    }
}

#[test]
fn targets_pass_byte_for_byte() {
    let (front, _) = open_front();
    for target in [
        "/a%2Fb%2fc",
        "/a//b/../c/./d",
        "/a+b?c=d+e%20f",
        "/?",
        "/?&&=&a",
        "/a;b=c?d;e",
        "/%C3%A9%c3%a9",
        "/x?select=a,b(c)&or=(a.eq.1,b.in.(%22x,y%22))&m=eq.ls1rAAAA",
        "/a%00%ff",
        "/~!$'()*,:@-._",
    ] {
        ask(&front.labseal, &Request::get(target));
        let got = front.fake.requests().pop().unwrap();
        assert_eq!(got.start, format!("GET {target} HTTP/1.1"));
    }
}

#[test]
fn a_raw_character_that_no_target_may_have_passes_if_it_ends_nothing_and_is_answered_with_400_if_not()
 {
    let (front, _) = open_front();
    for raw in ['"', '<', '>'] {
        let target = format!("/x?select=a{raw}b");
        assert_eq!(ask(&front.labseal, &Request::get(&target)).status, 200, "{raw:?}");
        let got = front.fake.requests().pop().unwrap();
        assert_eq!(got.start, format!("GET {target} HTTP/1.1"));
    }
    let before = front.fake.requests().len();
    for raw in [' ', '#', '\x01', '\x7f'] {
        let answer = ask(&front.labseal, &Request::get(&format!("/x?select=a{raw}b")));
        assert_eq!(
            (answer.status, answer.header("labseal-error")),
            (400, Some("LS100")),
            "{raw:?}"
        );
    }
    assert_eq!(front.fake.requests().len(), before);
}

#[test]
fn request_headers_keep_their_case_duplicates_and_values() {
    let (front, _) = open_front();
    let request = Request::get("/patients")
        .header("X-Odd-CASE", "A")
        .header("x-odd-case-2", "b")
        .header("Prefer", "count=exact")
        .header("Prefer", "return=minimal")
        .header("Cookie", "a=1; b=2")
        .header("Accept-Encoding", "gzip, br;q=0.5")
        .header("If-None-Match", "W/\"3\"")
        .header("Range", "bytes=0-1")
        .header("X-Latin", "caf\u{e9}")
        .header("Authorization", "Bearer abc");
    ask(&front.labseal, &request);
    request.send(front.fake.address());
    let requests = front.fake.requests();
    assert_eq!(end_to_end(&requests[0]), end_to_end(&requests[1]));
}

#[test]
fn answer_headers_keep_their_case_duplicates_and_values() {
    let (front, next) = open_front();
    let headers = [
        ("Set-Cookie", "a=1; Path=/"),
        ("Set-Cookie", "b=2"),
        ("X-Odd-CASE", "A"),
        ("location", "/x?y=%2F"),
        ("Server-Timing", "jwt;dur=1.0"),
        ("Content-Encoding", "gzip"),
        ("Cache-Control", "public, max-age=5"),
        ("Accept-Ranges", "bytes"),
    ];
    *next.lock().unwrap() = fake::answer("299 Odd Reason", &headers, b"not really gzip");
    let direct = Request::get("/").send(front.fake.address());
    let answer = ask(&front.labseal, &Request::get("/"));
    assert_eq!(answer.status, 299);
    assert_eq!(end_to_end(&answer), end_to_end(&direct));
    assert_eq!(answer.body, direct.body);
}

#[test]
fn answers_without_a_body_stay_without() {
    let (front, next) = open_front();
    for bytes in [
        "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    ] {
        *next.lock().unwrap() = bytes.into();
        let answer = ask(&front.labseal, &Request::get("/"));
        assert_eq!(answer.status, bytes[9..12].parse::<u16>().unwrap());
        assert!(answer.body.is_empty());
    }
    *next.lock().unwrap() = "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n".into();
    let answer = ask(&front.labseal, &Request::new("HEAD", "/"));
    assert_eq!(answer.header("content-length"), Some("1234"));
}

#[test]
fn chunked_bodies_pass_both_ways() {
    let (front, next) = open_front();
    let chunks = "3\r\n[1,\r\n1;ext=x\r\n2\r\n1\r\n]\r\n0\r\n\r\n";
    *next.lock().unwrap() =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}").into();
    let request = Request::new("POST", "/x").header("Transfer-Encoding", "chunked");
    let answer = ask(&front.labseal, &request.unframed(chunks.as_bytes()));
    assert_eq!(answer.body, b"[1,2]");
    assert_eq!(front.fake.requests().pop().unwrap().body, b"[1,2]");
}

#[test]
fn http_1_0_clients_are_served() {
    let (front, next) = open_front();
    *next.lock().unwrap() = fake::answer("200 OK", &[("X-A", "b")], b"[1]");
    let answer = ask(&front.labseal, &Request::get("/x").old());
    assert_eq!((answer.status, &*answer.body), (200, &b"[1]"[..]));
    assert_eq!(answer.header("transfer-encoding"), None);
}

#[test]
fn an_answer_cut_short_is_cut_short_for_the_client_too() {
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1,2",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n",
    ] {
        let acts = vec![Act::Send(bytes.into()), Act::Reset];
        let front = Front::with(policy::EMPTY, move |_| acts.clone());
        let answer = Request::get("/x").try_send(front.labseal.address());
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 502));
    }
}

#[test]
fn what_is_not_protected_passes_byte_for_byte_beside_what_is() {
    let front = Front::start();
    let mut walked = 0;
    for odd in ODD.iter().filter(|odd| !odd.contains("ls1") && !odd.starts_with('\u{feff}')) {
        let valid = serde_json::from_str::<serde::de::IgnoredAny>(odd).is_ok();
        if !valid || odd.contains("mrn") {
            continue;
        }
        walked += 1;
        let (before, after) =
            (format!("[{{ \"ward\" :{odd},\"mrn\":"), format!(",\"bed\":{odd} }}]"));
        let body = format!("{before}\"M1\"{after}");
        let answer = front.send("lims", Request::post("/patients", &body));
        assert_eq!(answer.status, 201, "{odd}: {}", answer.text());
        let got = front.fake.requests().pop().unwrap().text();
        assert!(
            got.starts_with(&format!("{before}\"ls1d")) && got.ends_with(&after),
            "{odd}: {got}"
        );
    }
    assert!(walked > 15, "only {walked} documents");
}

#[test]
fn a_real_postgrest_answers_the_same_bytes_through_an_empty_policy() {
    let direct = Direct::start(&Postgres::shared());
    let database = Postgres::shared().database(kit::stand::SCHEMA);
    let api = kit::PostgRest::start(&database);
    let labseal = kit::labseal::Setup::new(policy::EMPTY, api.address()).start();
    let steps = script::lab(&mut kit::Canaries::new());
    let mut walked = 0;
    for step in steps {
        let expected = step.request.send(direct.address());
        let got = ask(&labseal, &step.request);
        assert_eq!(got.start, expected.start, "{}", step.name);
        assert_eq!(got.text(), expected.text(), "{}", step.name);
        assert_eq!(end_to_end(&got), end_to_end(&expected), "{}", step.name);
        walked += 1;
    }
    assert!(walked > 70);
}
