//! What happens to the fields of messages: targets, tags, digests, caches, ranges, signatures.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use labseal::base::digest::{Algorithm, Running};

use crate::kit::{
    Act, Answer, Front, Request, client::raw, fake, front::canary, http::Message, policy,
};

fn with_headers(
    status: &'static str,
    headers: &[(&'static str, &'static str)],
    body: &'static str,
) -> Front {
    let headers = headers.to_vec();
    Front::with(policy::LAB, move |_| {
        vec![Act::Send(fake::answer(status, &headers, body.as_bytes()))]
    })
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn a_target_with_raw_characters_reaches_the_api_byte_for_byte() {
    let front = Front::with(policy::EMPTY, |_| fake::json("[]"));
    for target in [
        "/x?or=(a.eq.\"b,c\",d.in.(\"e\"))",
        "/x?a=<b>&c={d}|e^f`g\\h",
        "/a\"b<c>{d}`e^f|g",
        "/x?name=eq.Åsa&b=\"山\"",
        "/x?a[]=1&b=[2]",
    ] {
        let answer = raw_target(&front, target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        let got = front.fake.requests().pop().unwrap();
        // The kit reads heads as Latin-1, so that no byte is lost.
        let sent: String = format!("GET {target} HTTP/1.1").bytes().map(char::from).collect();
        assert_eq!(got.start, sent);
    }
}

#[test]
fn a_body_of_unknown_length_reaches_an_open_api_whatever_the_method() {
    let front = Front::with(policy::EMPTY, |_| fake::json("[]"));
    for method in ["GET", "DELETE", "OPTIONS", "QUERY", "POST"] {
        let request = format!(
            "{method} /search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\
             Connection: close\r\n\r\n5\r\n{{\"q\":\r\n2\r\n1}}\r\n0\r\n\r\n"
        );
        let answer = raw(front.labseal.address(), request.as_bytes(), Duration::from_secs(20));
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{method}");
        assert_eq!(front.fake.requests().pop().unwrap().text(), "{\"q\":1}", "{method}");
    }
}

fn raw_target(front: &Front, target: &str) -> Answer {
    Request::get(target).key(front.labseal.key("lims")).send(front.labseal.address())
}

#[test]
fn quotes_that_a_client_does_not_encode_are_read_as_if_it_did() {
    let front = Front::start();
    let (canary, canaries) = canary();
    let answer =
        raw_target(&front, &format!("/patients?mrn=in.(\"{canary}\",\"b,c\")&ward=eq.\"A<"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let got = front.fake.requests().pop().unwrap().start;
    assert!(got.contains("ls1d") && got.contains("ward=eq.\"A<"), "{got}");
    canaries.assert_none("upstream", &front.fake.received());
}

#[test]
fn bytes_that_are_not_utf_8_in_a_target_are_refused_with_what_to_do() {
    let front = Front::shared();
    let bytes = b"GET /patients?ward=eq.\xe9 HTTP/1.1\r\nHost: x\r\n\r\n";
    let got = raw(front.labseal.address(), bytes, Duration::from_secs(5));
    let got = String::from_utf8_lossy(&got).into_owned();
    assert!(got.starts_with("HTTP/1.1 400 ") && got.contains("LS100"), "{got}");
}

#[test]
fn fields_of_one_name_stand_together_and_all_else_is_as_it_came() {
    let front = Front::with(policy::EMPTY, |_| fake::json("[]"));
    let request = Request::get("/x").header("A-One", "1").header("b-TWO", "2").header("a-one", "3");
    request.header("C", " x\ty ").send(front.labseal.address());
    let got = front.fake.requests().pop().unwrap();
    let names: Vec<_> = got.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(names, ["Host=lab.local", "A-One=1", "a-one=3", "b-TWO=2", "C=x\ty"]);
}

#[test]
fn a_length_of_what_was_not_opened_is_not_said_of_head() {
    let front = with_headers("200 OK", &[JSON, ("X-A", "b")], "");
    let answer = front.send("lims", Request::new("HEAD", "/patients"));
    assert_eq!((answer.status, answer.header("content-length")), (200, None));
    assert_eq!(answer.header("x-a"), Some("b"));
}

#[test]
fn the_tag_of_a_whole_view_passes_unchanged_and_so_do_its_preconditions() {
    let front = with_headers("200 OK", &[JSON, ("ETag", "W/\"3\"")], "[]");
    let request = Request::get("/patients").header("If-None-Match", "W/\"3\", \"x\"");
    assert_eq!(front.send("lims", request).header("etag"), Some("W/\"3\""));
    let request = Request::patch("/patients?id=eq.1", "{}").header("If-Match", "W/\"3\"");
    front.send("lims", request);
    let all = front.got("/patients");
    assert_eq!(all[0].header("if-none-match"), Some("W/\"3\", \"x\""));
    assert_eq!(all[1].header("if-match"), Some("W/\"3\""));
}

#[test]
fn the_tag_of_a_masked_view_is_its_own_and_comes_back_as_the_apis() {
    let front = Front::with(policy::LAB, |request| {
        let fresh = request.header("if-none-match") == Some("\"3\"");
        let status = if fresh { "304 Not Modified" } else { "200 OK" };
        vec![Act::Send(fake::answer(status, &[JSON, ("ETag", "\"3\"")], b""))]
    });
    let tag = |caller: &str| {
        front.send(caller, Request::get("/patients")).header("etag").unwrap().to_owned()
    };
    let (whole, masked, sealed) = (tag("lims"), tag("billing"), tag("archivist"));
    assert_eq!(whole, "\"3\"");
    assert!(masked.starts_with("\"3;lsv=") && masked != sealed, "{masked} {sealed}");
    let again = |caller: &str, tag: &str| {
        front.send(caller, Request::get("/patients").header("If-None-Match", tag))
    };
    let answer = again("billing", &masked);
    assert_eq!((answer.status, answer.header("etag")), (304, Some(&*masked)));
    assert_eq!(again("lims", &whole).status, 304);
    // A copy of one view is none of another.
    for (caller, tag) in
        [("billing", &whole), ("billing", &sealed), ("lims", &masked), ("archivist", &masked)]
    {
        assert_eq!(again(caller, tag).status, 200, "{caller} {tag}");
    }
    let request =
        Request::patch("/patients?id=eq.1", "{\"ward\":\"B\"}").header("If-Match", &masked);
    front.send("billing", request);
    assert_eq!(front.fake.requests().pop().unwrap().header("if-match"), Some("\"3\""));
}

#[test]
fn opened_answers_are_for_nobody_else_and_say_by_what_they_vary() {
    let last = std::sync::Mutex::new(String::from("[]"));
    let front = Front::with(policy::LAB, move |request| {
        if request.start.starts_with("POST ") {
            *last.lock().unwrap() = request.text();
        }
        let headers = [
            JSON,
            ("Cache-Control", "public, s-maxage=60"),
            ("Vary", "Accept, Prefer"),
            ("Content-Digest", "sha-256=:AAAA:"),
            ("Content-MD5", "AAAA"),
            ("Accept-Ranges", "bytes"),
            ("Set-Cookie", "a=1"),
            ("Server-Timing", "x"),
            ("Retry-After", "1"),
        ];
        vec![Act::Send(fake::answer("200 OK", &headers, last.lock().unwrap().as_bytes()))]
    });
    front.send("lims", Request::post("/patients", r#"{"mrn":"A1"}"#));
    let answer = front.send("lims", Request::get("/patients"));
    assert!(answer.text().contains("A1"));
    assert_eq!(answer.values("cache-control"), ["private, no-store"]);
    assert_eq!(answer.values("vary"), ["Accept, Prefer, Authorization, Cookie"]);
    for gone in ["content-digest", "content-md5", "accept-ranges"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
    for stays in ["set-cookie", "server-timing", "retry-after"] {
        assert!(answer.header(stays).is_some(), "{stays}");
    }
    let answer = front.send("lims", Request::new("HEAD", "/patients"));
    assert_eq!(answer.values("cache-control"), ["private, no-store"]);
}

fn digest(algorithm: Algorithm, bytes: &[u8]) -> String {
    let mut running = Running::new(algorithm);
    running.update(bytes);
    STANDARD.encode(running.value())
}

#[test]
fn digests_of_a_write_are_verified_and_said_anew_of_what_goes_up() {
    let front = Front::start();
    let body = r#"{"mrn":"A1"}"#;
    let (short, long) = (Algorithm::Sha256, Algorithm::Sha512);
    let content = format!(
        "sha-256=:{}:, sha-512=:{}:",
        digest(short, body.as_bytes()),
        digest(long, body.as_bytes())
    );
    let request = Request::post("/patients", body)
        .header("Content-Digest", &content)
        .header(
            "Repr-Digest",
            &format!("unixsum=:AAAA:, sha-512=:{}:", digest(long, body.as_bytes())),
        )
        .header("Digest", &format!("SHA-256={}", digest(short, body.as_bytes())))
        .header("Content-MD5", "Q2hlY2sgSW50ZWdyaXR5IQ==");
    let answer = front.send("lims", request);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let got = front.got("/patients").pop().unwrap();
    let (a, b) = (digest(short, &got.body), digest(long, &got.body));
    assert_eq!(got.values("content-digest"), [format!("sha-256=:{a}:, sha-512=:{b}:")]);
    assert_eq!(got.values("repr-digest"), [format!("sha-512=:{b}:")]);
    assert_eq!(got.values("digest"), [format!("SHA-256={a}")]);
    assert_eq!(got.header("content-md5"), None);
}

#[test]
fn a_write_that_is_not_what_its_digest_says_is_refused() {
    let front = Front::start();
    let (canary, canaries) = canary();
    let wrong = digest(Algorithm::Sha256, b"something else");
    for (name, value) in [
        ("Content-Digest", format!("sha-256=:{wrong}:")),
        ("Repr-Digest", format!("sha-256=:{wrong}:")),
        ("Digest", format!("sha-256={wrong}")),
        ("Content-Digest", "sha-512=:!:".to_owned()),
    ] {
        let request = Request::post("/patients", &format!(r#"{{"mrn":"{canary}"}}"#));
        front.refuse("lims", request.header(name, &value), "LS101", &canaries);
    }
    assert!(front.fake.requests().is_empty());
}

#[test]
fn signed_requests_are_refused_where_something_would_change_and_pass_where_nothing_does() {
    let lab = Front::shared();
    let open = Front::with(policy::EMPTY, |_| fake::json("[]"));
    let (_, canaries) = canary();
    for (name, value) in [
        ("Authorization", "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=c"),
        ("Authorization", "OAuth oauth_consumer_key=\"a\", oauth_signature=\"b\""),
        ("Authorization", "Digest username=\"a\", uri=\"/patients\", response=\"b\""),
        ("Authorization", "Hawk id=\"a\", mac=\"b\""),
        ("Authorization", "Signature keyId=\"a\",signature=\"b\""),
        ("Signature-Input", "sig1=(\"@method\" \"@target-uri\")"),
        ("Signature", "sig1=:AAAA:"),
    ] {
        let request = Request::get("/patients").header(name, value);
        lab.refuse("lims", request.clone(), "LS119", &canaries);
        assert_eq!(request.send(open.labseal.address()).status, 200);
        assert_eq!(open.fake.requests().pop().unwrap().header(name), Some(value));
    }
    let request = Request::get("/patients").header("Authorization", "Bearer abc");
    assert_eq!(lab.send("lims", request).status, 200);
}

#[test]
fn byte_ranges_are_not_asked_for_and_row_ranges_are() {
    let front = Front::start();
    let request =
        Request::get("/patients").header("Range", "bytes=0-9").header("If-Range", "\"1\"");
    assert_eq!(front.send("lims", request).status, 200);
    let request = Request::get("/patients").header("Range-Unit", "items").header("Range", "0-9");
    assert_eq!(front.send("lims", request).status, 200);
    let all = front.got("/patients");
    assert_eq!((all[0].header("range"), all[0].header("if-range")), (None, None));
    assert_eq!(all[1].header("range"), Some("0-9"));
}

#[test]
fn a_304_passes_with_its_fields() {
    let front = with_headers("304 Not Modified", &[("ETag", "\"1\""), ("X-A", "b")], "");
    let answer = front.send("lims", Request::get("/patients").header("If-None-Match", "\"1\""));
    assert_eq!((answer.status, answer.header("etag")), (304, Some("\"1\"")));
    assert_eq!(answer.header("x-a"), Some("b"));
}

#[test]
fn identity_fields_without_meaning_here_and_forwarding_fields_are_not_added() {
    let front = Front::start();
    front.send("lims", Request::get("/patients"));
    let got: Message = front.got("/patients").pop().unwrap();
    for name in ["via", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"] {
        assert_eq!(got.header(name), None);
    }
    assert_eq!(got.header("host"), Some("lab.local"));
}
