//! Fail closed, by what bodies and upstreams are: too large, too deep, cut, in another charset or
//! coding, of another type, altered in the database, unreadable, not there.

mod kit;

use std::time::Duration;

use kit::{
    Front, Request,
    client::raw,
    fake,
    front::{all_refused, canary, get, post},
    policy,
    script::enc,
};

#[test]
fn ls400_a_record_larger_than_a_window_is_refused() {
    all_refused("LS400", |c| {
        let ward = "x".repeat(9 << 20);
        vec![post("/patients", format!(r#"{{"mrn":"{c}","ward":"{ward}"}}"#))]
    });
}

#[test]
fn ls401_oversized_values_are_refused() {
    all_refused("LS401", |c| {
        let (long, longer) = ("x".repeat(1800), "x".repeat(1 << 20));
        vec![
            post("/patients", format!(r#"{{"mrn":"{c}{long}"}}"#)),
            post("/patients", format!(r#"{{"mrn":"m","notes":"{c}{longer}"}}"#)),
        ]
    });
}

#[test]
fn ls402_over_deep_bodies_are_refused() {
    all_refused("LS402", |c| {
        let deep = format!("{}{}", "[".repeat(130), "]".repeat(130));
        vec![post("/patients", format!(r#"{{"mrn":"{c}","ward":{deep}}}"#))]
    });
}

#[test]
fn ls404_a_target_that_grows_beyond_the_limit_is_refused() {
    all_refused("LS404", |c| {
        let names: Vec<_> = (0..900).map(|n| format!("{c}{n}")).collect();
        vec![get(format!("/patients?last_name=in.({})", names.join(",")))]
    });
}

#[test]
fn ls410_wrong_content_types_and_charsets_are_refused() {
    all_refused("LS410", |c| {
        let body = format!(r#"{{"mrn":"{c}"}}"#);
        let utf16: Vec<_> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let with = |kind: &str, body: &[u8]| {
            ("lims", Request::new("POST", "/patients").header("Content-Type", kind).body(body))
        };
        let mut all: Vec<_> = [
            "application/octet-stream",
            "text/plain",
            "application/xml",
            "multipart/form-data; boundary=x",
            "application/json; charset=utf-16",
            "application/json; charset=iso-8859-1",
            "application/json; charset=utf-7",
            "application/json, text/csv",
            "application/jsonx",
            "application/x-ndjson",
        ]
        .iter()
        .map(|kind| with(kind, body.as_bytes()))
        .collect();
        all.push(with("application/json; charset=UTF-16LE", &utf16));
        all.push((
            "lims",
            with("application/json", body.as_bytes()).1.header("Content-Type", "text/csv"),
        ));
        all
    });
}

#[test]
fn ls101_bytes_of_another_charset_or_format_than_the_content_type_says_are_refused() {
    all_refused("LS101", |c| {
        let text = format!("{{\"mrn\":\"{c}\",\"last_name\":\"Å\"}}");
        let utf16: Vec<_> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let latin: Vec<_> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        let json = format!("{{\"mrn\":\"{c}\"}}");
        let mut all = [utf16, latin]
            .map(|body| ("lims", Request::post("/patients", "").body(&body)))
            .to_vec();
        for kind in ["text/csv", "application/x-www-form-urlencoded"] {
            let request = Request::new("POST", "/patients").header("Content-Type", kind);
            all.push(("lims", request.body(json.as_bytes())));
        }
        all
    });
}

#[test]
fn ls411_content_encodings_that_are_not_read_are_refused() {
    all_refused("LS411", |c| {
        ["compress", "x-unknown", "gzip, br", "gzip, gzip"]
            .map(|coding| {
                let request = Request::post("/patients", &format!(r#"{{"mrn":"{c}"}}"#));
                ("lims", request.header("Content-Encoding", coding))
            })
            .to_vec()
    });
}

#[test]
fn ls420_a_value_that_is_not_of_its_type_is_refused() {
    all_refused("LS420", |c| {
        let surrogate = format!(r#"{{"mrn":"{c}","notes":"\ud800"}}"#);
        let mut all = ["\"twelve\"", "true", "[1]", "{}", "\"1e400\"", "123456789.5"]
            .map(|value| {
                post("/orders", format!(r#"{{"mrn":"{c}","code":"HB","volume":{value}}}"#))
            })
            .to_vec();
        all.push(post("/patients", surrogate));
        all
    });
}

#[test]
fn ls403_a_head_larger_than_the_limit_is_refused() {
    let front = Front::shared();
    let (canary, canaries) = canary();
    for long in [70 << 10, 300 << 10] {
        let request = Request::get(&format!("/patients?mrn=eq.{canary}"));
        let request = request.key(front.labseal.key("lims")).header("X-Long", &"x".repeat(long));
        let got = raw(front.labseal.address(), &request.bytes(), Duration::from_secs(3));
        let got = String::from_utf8_lossy(&got).into_owned();
        assert!(got.starts_with("HTTP/1.1 431 ") && got.contains("LS403"), "{got}");
    }
    canaries.assert_none("upstream", &front.fake.received());
}

#[test]
fn truncated_bodies_never_reach_upstream() {
    let front = Front::shared();
    let (canary, canaries) = canary();
    let body = format!(r#"[{{"mrn":"{canary}","last_name":"{canary}"}},{{"mrn":"{canary}"#);
    let request = Request::post("/patients?truncated", "").body(body.as_bytes()).claiming(5000);
    let request = request.key(front.labseal.key("lims"));
    {
        use std::io::Write as _;
        let mut socket = std::net::TcpStream::connect(front.labseal.address()).unwrap();
        socket.write_all(&request.bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep(Duration::from_millis(300));
    canaries.assert_none("upstream", &front.fake.received());
    assert!(front.got("/patients?truncated").is_empty());
}

#[test]
fn ls501_a_stored_value_that_does_not_open_is_an_error() {
    let (canary, canaries) = canary();
    let stored = ["POSITIVE".to_owned(), "ls1rAAAA".to_owned(), format!("ls1r{}", "A".repeat(80))];
    for stored in stored {
        let row = format!(r#"[{{"id":1,"mrn":null,"notes":"{stored}"}}]"#);
        let front = Front::with(policy::LAB, move |_| fake::json(&row));
        let request = Request::get(&format!("/patients?mrn=eq.{}", enc(&canary)));
        let answer = front.refuse("lims", request, "LS501", &canaries);
        assert!(!answer.text().contains(&stored), "{}", answer.text());
    }
}

#[test]
fn ls502_an_upstream_that_is_not_there_is_named_as_such() {
    let (canary, canaries) = canary();
    let labseal = kit::labseal::Setup::new(policy::LAB, kit::process::free_address()).start();
    let request = Request::post("/patients", &format!(r#"{{"mrn":"{canary}"}}"#));
    let answer = request.key(labseal.key("lims")).send(labseal.address());
    kit::assert_refused(&answer, "LS502", &canaries);
}

#[test]
fn ls503_an_answer_that_cannot_be_read_is_not_passed_on() {
    let (canary, canaries) = canary();
    let gzip = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
    let plain = [("Content-Type", "application/json")];
    let bodies = [
        fake::answer("200 OK", &gzip, b"[{\"mrn\":\"x\"}]"),
        fake::answer("200 OK", &plain, b"[{\"id\":1,"),
        fake::answer("200 OK", &plain, b"<html>"),
    ];
    for body in bodies {
        let front = Front::with(policy::LAB, move |_| vec![kit::Act::Send(body.clone())]);
        let request = Request::get(&format!("/patients?mrn=eq.{canary}"));
        front.refuse("lims", request, "LS503", &canaries);
    }
}
