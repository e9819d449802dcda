//! Requests that two readers could read differently: refused, or read in one way alone.
//!
//! In the table a line ends with CR LF; `¶` is a bare LF, `¤` a bare CR, `␣` a tab, and `§` the
//! target of the case.

use std::time::Duration;

use crate::kit::{Front, Request, client::raw, policy};

enum Then {
    /// Refused with this code; nothing reaches the API.
    Refused(&'static str),
    /// One request reaches the API, with this body.
    One(&'static str),
}

use Then::{One, Refused};

const REST: &str = "\nHost: x\nConnection: close\n";

#[rustfmt::skip]
const CASES: &[(&str, Then)] = &[
    // Sound ones first: what is strict must not be too strict.
    ("GET § HTTP/1.1\nHost: x\nConnection: close\n\n", One("")),
    ("\nGET § HTTP/1.1\nHost: x\nConnection: close\n\n", One("")),
    ("GET § HTTP/1.0\n\n", One("")),
    ("POST § HTTP/1.1\nHost: x\nConnection: close\nContent-Length: 3\n\nabc", One("abc")),
    ("POST § HTTP/1.1\nHost: x\nConnection: close\nContent-Length:3\n\nabc", One("abc")),
    ("POST § HTTP/1.1\nHost: x\nConnection: close\nContent-Length: ␣3␣ \n\nabc", One("abc")),
    ("POST § HTTP/1.1\nHost: x\nConnection: close\nContent-Length: 0\n\n", One("")),
    ("POST § HTTP/1.1\nHost: x\nConnection: close\nContent-Length: 003\n\nabc", One("abc")),
    ("POST § HTTP/1.1\nHost: x\nConnection: close\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n", One("abc")),
    ("POST § HTTP/1.1\nHost: x\nConnection: close\nTransfer-Encoding: CHUNKED\n\n003\nabc\n000\n\n", One("abc")),
    ("POST § HTTP/1.1\nHost: x\nConnection: close\nTransfer-Encoding: chunked\n\n3;a;b=c;d=\"e;f\"\nabc\n0\n\n", One("abc")),
    ("POST § HTTP/1.1\nHost: x\nConnection: close\nTransfer-Encoding: chunked\n\n1\na\n2\nbc\n0\nX-T: 1\n\n", One("abc")),
    ("POST § HTTP/1.1\nHost: x\nConnection: close\nX-Empty:\nContent-Length: 1\n\na", One("a")),
    ("GET http://other§ HTTP/1.1\nHost: x\nConnection: close\n\n", One("")),
    // CL.TE and TE.CL.
    ("POST § HTTP/1.1\nHost: x\nContent-Length: 6\nTransfer-Encoding: chunked\n\n0\n\nG", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\nContent-Length: 3\n\n8\nSMUGGLED\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nContent-Length: 0\nTransfer-Encoding: chunked\n\n1\na\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nContent-Length: 5\nTransfer-Encoding: identity\n\nabcde", Refused("LS110")),
    // TE.TE: codings that one reader does not see.
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\nTransfer-Encoding: x\n\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: x\nTransfer-Encoding: chunked\n\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: gzip, chunked\n\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked, identity\n\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: xchunked\n\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: \"chunked\"\n\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked;x\n\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding:\n chunked\n\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding : chunked\n\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding␣: chunked\n\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\n Transfer-Encoding: chunked\n\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nX: a¶Transfer-Encoding: chunked\n\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nX: a¤Transfer-Encoding: chunked\n\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: \u{b}chunked\n\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\u{c}\n\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\0\n\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding:\n\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.0\nHost: x\nTransfer-Encoding: chunked\n\n0\n\n", Refused("LS110")),
    // Lengths.
    ("POST § HTTP/1.1\nHost: x\nContent-Length: 3\nContent-Length: 4\n\nabcd", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nContent-Length: 3\nContent-Length: 3\n\nabc", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nContent-Length: 3, 3\n\nabc", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nContent-Length: +3\n\nabc", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nContent-Length: -3\n\nabc", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nContent-Length: 0x3\n\nabc", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nContent-Length: 3 4\n\nabc", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nContent-Length: 3.0\n\nabc", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nContent-Length:\n\nabc", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nContent-Length: \"3\"\n\nabc", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nContent-Length: 99999999999999999999\n\nabc", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nContent-Length : 3\n\nabc", Refused("LS110")),
    // Chunks.
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3 \nabc\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n 3\nabc\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n0x3\nabc\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n+3\nabc\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n-1\nabc\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n\nabc\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3¶abc\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3\nabc¶0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3\nabcd\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n2\nabc\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3;\nabc\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3;a=\nabc\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3;a¶b\nabc\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3;a=\"b\nabc\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\nFFFFFFFFFFFFFFFF0003\nabc\n0\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n0\nX : y\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n0\nX: y\n folded\n\n", Refused("LS110")),
    ("POST § HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n0\n¶", Refused("LS110")),
    // Lines and fields.
    ("GET § HTTP/1.1¶Host: x¶¶", Refused("LS110")),
    ("GET § HTTP/1.1\nHost: x\nX: y¶\n", Refused("LS110")),
    ("GET § HTTP/1.1\nHost: x¤\n\n", Refused("LS110")),
    ("GET § HTTP/1.1\nHost: x\nFolded: a\n b\n\n", Refused("LS110")),
    ("GET § HTTP/1.1\nHost: x\nFolded: a\n␣b\n\n", Refused("LS110")),
    ("GET § HTTP/1.1\nHost: x\nNo colon\n\n", Refused("LS110")),
    ("GET § HTTP/1.1\nHost: x\n: no name\n\n", Refused("LS110")),
    ("GET § HTTP/1.1\nHost: x\nBad(name): y\n\n", Refused("LS110")),
    ("GET § HTTP/1.1\nHost: x\nX: a\0b\n\n", Refused("LS110")),
    ("GET § HTTP/1.1\n Host: x\n\n", Refused("LS110")),
    ("GET § HTTP/1.1\nHost: x\nHost: y\n\n", Refused("LS110")),
    // Request lines.
    ("GET  § HTTP/1.1\nHost: x\n\n", Refused("LS100")),
    ("GET § HTTP/1.1 \nHost: x\n\n", Refused("LS110")),
    ("GET §  HTTP/1.1\nHost: x\n\n", Refused("LS100")),
    ("GET § HTTP/1.2\nHost: x\n\n", Refused("LS110")),
    ("GET § http/1.1\nHost: x\n\n", Refused("LS110")),
    ("GET § HTTP/2.0\nHost: x\n\n", Refused("LS110")),
    ("GET §\n\n", Refused("LS110")),
    ("GET§\n\n", Refused("LS110")),
    ("G(T § HTTP/1.1\nHost: x\n\n", Refused("LS110")),
    ("GET §#fragment HTTP/1.1\nHost: x\n\n", Refused("LS100")),
    ("GET §?a b HTTP/1.1\nHost: x\n\n", Refused("LS100")),
    ("GET §?a\u{1}b HTTP/1.1\nHost: x\n\n", Refused("LS100")),
    ("CONNECT db:5432 HTTP/1.1\nHost: x\nConnection: close\nX: §\n\n", Refused("LS109")),
];

fn spelled(text: &str, target: &str) -> Vec<u8> {
    let text = text.replace('\n', "\r\n").replace('¶', "\n").replace('¤', "\r");
    text.replace('␣', "\t").replace('§', target).into_bytes()
}

#[test]
fn a_request_of_doubtful_framing_is_refused_or_reaches_the_api_once_with_one_framing() {
    let (open, lab) = (Front::with(policy::EMPTY, crate::kit::front::quiet), Front::shared());
    let mut refused = 0;
    for (number, (text, then)) in CASES.iter().enumerate() {
        let target = format!("/case{number}");
        // What one reader would take for a second request.
        let smuggled = format!("GET /smuggled{number} HTTP/1.1{REST}\n");
        match then {
            One(body) => {
                let got = raw(open.labseal.address(), &spelled(text, &target), LONG);
                assert!(got.starts_with(b"HTTP/1."), "{text}: {}", String::from_utf8_lossy(&got));
                assert!(got[9..12].starts_with(b"20"), "{text}: {}", String::from_utf8_lossy(&got));
                let all = open.got(&target);
                let [request] = &all[..] else { panic!("{text}: {} requests", all.len()) };
                assert_eq!(request.text(), *body, "{text}");
                let framings = ["content-length", "transfer-encoding"].map(|n| request.values(n));
                assert!(framings.concat().len() <= 1, "{text}: {framings:?}");
            }
            Refused(code) => {
                refused += 1;
                for front in [&open, &*lab] {
                    let bytes = spelled(&format!("{text}{smuggled}"), &target);
                    let got = raw(front.labseal.address(), &bytes, LONG);
                    let got = String::from_utf8_lossy(&got).to_lowercase();
                    // What is not declared is refused before its body is read.
                    let code = match std::ptr::eq(front, &open) {
                        true => format!("labseal-error: {}", code.to_lowercase()),
                        false => "labseal-error: ls".to_owned(),
                    };
                    assert!(got.starts_with("http/1.1 4") && got.contains(&code), "{text}: {got}");
                    assert_eq!(got.matches("http/1.1 ").count(), 1, "{text}: {got}");
                    assert!(front.got(&target).is_empty(), "{text}");
                    assert!(front.got("/smuggled").is_empty(), "{text}");
                }
            }
        }
    }
    assert!(CASES.len() >= 90 && refused >= 70, "{} cases, {refused} refused", CASES.len());
}

/// Longer than anything takes here; a refused connection is closed well before.
const LONG: Duration = Duration::from_secs(5);

#[test]
fn a_head_that_is_too_long_or_has_too_many_fields_is_refused_as_such() {
    let front = Front::shared();
    for request in [
        Request::get("/patients").header("X-Long", &"x".repeat(70 << 10)),
        (0..120).fold(Request::get("/patients"), |r, n| r.header(&format!("X-{n}"), "y")),
    ] {
        let got = raw(front.labseal.address(), &request.bytes(), LONG);
        let got = String::from_utf8_lossy(&got);
        assert!(got.starts_with("HTTP/1.1 431 ") && got.contains("LS403"), "{got}");
    }
}

#[test]
fn a_target_that_is_too_long_in_its_other_spelling_is_refused_as_such() {
    let request = Request::get(&format!("/patients?ward=eq.{}", "\"".repeat(25_000)));
    let got = raw(Front::shared().labseal.address(), &request.bytes(), LONG);
    let got = String::from_utf8_lossy(&got);
    assert!(got.starts_with("HTTP/1.1 414 ") && got.contains("LS404"), "{got}");
}

#[test]
fn requests_one_after_the_other_on_a_connection_are_answered_in_order() {
    let front = Front::with(policy::EMPTY, |request| {
        crate::kit::fake::json(request.start.split(' ').nth(1).unwrap_or_default())
    });
    let bytes = b"GET /one HTTP/1.1\r\nHost: x\r\n\r\nPOST /two HTTP/1.1\r\nHost: x\r\n\
        Content-Length: 3\r\n\r\nabcGET /three HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let got = raw(front.labseal.address(), bytes, LONG);
    let got = String::from_utf8_lossy(&got).into_owned();
    let at = ["/one", "/two", "/three"].map(|target| got.find(target).expect("answered"));
    assert!(at[0] < at[1] && at[1] < at[2], "{got}");
}

#[test]
fn one_byte_at_a_time_is_read_as_all_at_once() {
    use std::io::{Read as _, Write as _};
    let front = Front::start();
    let request = Request::post("/patients", r#"{"mrn":"A1"}"#).key(front.labseal.key("lims"));
    let mut socket = std::net::TcpStream::connect(front.labseal.address()).unwrap();
    socket.set_nodelay(true).unwrap();
    for byte in request.header("Connection", "close").bytes() {
        socket.write_all(&[byte]).unwrap();
    }
    let mut got = String::new();
    socket.read_to_string(&mut got).unwrap();
    assert!(got.starts_with("HTTP/1.1 201 "), "{got}");
    assert!(front.got("/patients")[0].text().contains("ls1d"));
}

#[test]
fn an_answer_with_two_framings_is_not_passed_on() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let bytes = format!(
        "{head}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n"
    );
    for policy in [policy::EMPTY, policy::LAB] {
        let bytes = bytes.clone();
        let acts = move |_: &_| vec![crate::kit::Act::Send(bytes.clone().into_bytes())];
        let answer = Front::with(policy, acts).send("lims", Request::get("/patients"));
        assert_eq!(answer.header("labseal-error"), Some("LS503"), "{}", answer.text());
    }
}
