//! Content codings both ways: read, sealed or opened, and put into the same coding again.

use std::io::{Read as _, Write as _};

use crate::kit::{Act, Answer, Front, Request, fake, front::canary, http::Message, policy};

const CODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

fn encoded(coding: &str, text: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    match coding {
        "gzip" | "x-gzip" => {
            let mut to = flate2::write::GzEncoder::new(Vec::new(), level);
            to.write_all(text).unwrap();
            to.finish().unwrap()
        }
        "deflate" => {
            let mut to = flate2::write::ZlibEncoder::new(Vec::new(), level);
            to.write_all(text).unwrap();
            to.finish().unwrap()
        }
        "br" => {
            let mut to = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
            to.write_all(text).unwrap();
            to.into_inner()
        }
        _ => zstd::encode_all(text, 3).unwrap(),
    }
}

fn decoded(coding: &str, bytes: &[u8]) -> String {
    let mut text = String::new();
    match coding {
        "gzip" | "x-gzip" => flate2::read::MultiGzDecoder::new(bytes).read_to_string(&mut text),
        "deflate" => flate2::read::ZlibDecoder::new(bytes).read_to_string(&mut text),
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_string(&mut text),
        _ => zstd::Decoder::new(bytes).unwrap().read_to_string(&mut text),
    }
    .unwrap();
    text
}

/// An API that answers reads with what was last written, in the coding that it was written in.
fn remembering() -> Front {
    let last = std::sync::Mutex::new((String::new(), Vec::new()));
    Front::with(policy::LAB, move |request| {
        let mut last = last.lock().unwrap();
        if request.start.starts_with("POST ") {
            let coding = request.header("content-encoding").unwrap_or("identity");
            *last = (coding.to_owned(), request.body.clone());
        }
        let kind = [("Content-Type", "application/json"), ("Content-Encoding", &*last.0)];
        vec![Act::Send(fake::answer("200 OK", &kind, &last.1))]
    })
}

fn write(coding: &str, body: &[u8]) -> Request {
    let request = Request::new("POST", "/patients").header("Content-Type", "application/json");
    request.header("Content-Encoding", coding).body(body)
}

#[test]
fn a_coded_write_is_sealed_and_goes_up_in_its_coding_and_comes_back_opened_in_it() {
    let front = remembering();
    let (canary, canaries) = canary();
    for coding in CODINGS.into_iter().chain(["x-gzip"]) {
        let rows = format!(r#"{{"mrn":"{canary}","ward":"A"}},"#).repeat(3000);
        for text in [format!(r#"{{"mrn":"{canary}"}}"#), format!("[{rows}{{}}]")] {
            let answer = front.send("lims", write(coding, &encoded(coding, text.as_bytes())));
            assert_eq!(answer.status, 200, "{coding}: {}", answer.text());
            let got = front.got("/patients").pop().unwrap();
            assert_eq!(got.header("content-encoding"), Some(coding));
            let sealed = decoded(coding, &got.body);
            assert!(sealed.contains("\"mrn\":\"ls1d"), "{sealed}");
            canaries.assert_none("upstream", sealed.as_bytes());
            let read = Request::get("/patients").header("Accept-Encoding", coding);
            let answer = front.send("lims", read);
            assert_eq!(answer.header("content-encoding"), Some(coding));
            assert_eq!(decoded(coding, &answer.body), text);
        }
    }
}

#[test]
fn members_of_gzip_are_one_body() {
    let front = remembering();
    let body = [encoded("gzip", b"{\"mrn\":"), encoded("gzip", b"\"A1\"}")].concat();
    assert_eq!(front.send("lims", write("gzip", &body)).status, 200);
    let got = front.got("/patients").pop().unwrap();
    assert!(decoded("gzip", &got.body).starts_with("{\"mrn\":\"ls1d"));
}

#[test]
fn a_coding_that_is_not_read_and_codings_on_top_of_each_other_are_refused() {
    let front = Front::start();
    let (canary, canaries) = canary();
    let body = format!(r#"{{"mrn":"{canary}"}}"#);
    for coding in ["compress", "x-unknown", "gzip, br", "gzip, gzip", "dcb"] {
        front.refuse("lims", write(coding, body.as_bytes()), "LS411", &canaries);
        let twice = encoded("br", &encoded("gzip", body.as_bytes()));
        front.refuse("lims", write(coding, &twice), "LS411", &canaries);
    }
    // What is not of its coding, or is cut, or goes on after its end.
    for coding in CODINGS {
        let whole = encoded(coding, body.as_bytes());
        let cut = &whole[..whole.len() - 1];
        let longer = [&whole[..], b"x"].concat();
        for bytes in [cut, &longer, body.as_bytes()] {
            front.refuse("lims", write(coding, bytes), "LS101", &canaries);
        }
    }
    assert!(front.fake.requests().is_empty());
}

#[test]
fn a_body_that_expands_without_end_is_refused_both_ways() {
    let (_, canaries) = canary();
    let spaces = vec![b' '; 64 << 20];
    for coding in CODINGS {
        let bomb = encoded(coding, &spaces);
        let answer = bomb.clone();
        let front = Front::with(policy::LAB, move |_: &Message| {
            let kind = [("Content-Type", "application/json"), ("Content-Encoding", coding)];
            vec![Act::Send(fake::answer("200 OK", &kind, &answer))]
        });
        front.refuse("lims", write(coding, &bomb), "LS405", &canaries);
        front.refuse("lims", Request::get("/patients"), "LS503", &canaries);
    }
}

#[test]
fn upstream_is_asked_for_codings_that_both_read_and_nothing_is_compressed_for_it() {
    let front = Front::start();
    for (sent, got) in [
        (Some("gzip, compress, br;q=0.5, dcb"), "gzip, br;q=0.5"),
        (Some("identity;q=0, gzip"), "identity;q=0, gzip"),
        (Some("*"), "identity"),
        (None, "identity"),
    ] {
        let request = Request::get("/patients");
        let request = sent.into_iter().fold(request, |r, sent| r.header("Accept-Encoding", sent));
        let answer = front.send("lims", request);
        let upstream = front.got("/patients").pop().unwrap();
        assert_eq!(upstream.values("accept-encoding"), [got], "{sent:?}");
        assert_eq!((answer.header("content-encoding"), &*answer.body), (None, &b"[]"[..]));
    }
}

fn answering(kind: &'static str, coding: &'static str, body: Vec<u8>) -> Front {
    Front::with(policy::LAB, move |_| {
        let headers = [("Content-Type", kind), ("Content-Encoding", coding), ("ETag", "\"7\"")];
        vec![Act::Send(fake::answer("200 OK", &headers, &body))]
    })
}

fn get(front: &Front, target: &str) -> Answer {
    front.send("lims", Request::get(target).header("Accept-Encoding", "gzip"))
}

#[test]
fn an_answer_in_a_coding_that_is_not_read_is_not_passed_on_if_it_has_to_be_opened() {
    let (_, canaries) = canary();
    for coding in ["compress", "gzip, br"] {
        let front = answering("application/json", coding, b"[]".to_vec());
        front.refuse("lims", Request::get("/patients"), "LS503", &canaries);
    }
}

#[test]
fn an_opaque_answer_passes_untouched_in_any_coding() {
    for coding in ["gzip", "compress"] {
        let front = answering("image/png", coding, b"\x89PNG not really".to_vec());
        let answer = get(&front, "/wards?select=picture");
        assert_eq!((answer.status, &*answer.body), (200, &b"\x89PNG not really"[..]));
        assert_eq!(answer.header("content-encoding"), Some(coding));
        assert_eq!(answer.header("etag"), Some("\"7\""));
    }
}

#[test]
fn a_coded_write_to_what_is_undeclared_passes_byte_for_byte() {
    let front = Front::start();
    let body = encoded("gzip", br#"{"code":"A","title":"West"}"#);
    let request = Request::new("POST", "/wards").header("Content-Type", "application/json");
    let answer = front.send("lims", request.header("Content-Encoding", "gzip").body(&body));
    assert_eq!(answer.status, 201);
    assert!(front.got("/wards")[0].body == body);
}

#[test]
fn a_coded_error_is_read_and_stays_coded() {
    let body = encoded("gzip", br#"{"code":"22P02","message":"bad ls1"}"#);
    let front = Front::with(policy::LAB, move |_| {
        let kind = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
        vec![Act::Send(fake::answer("400 Bad Request", &kind, &body))]
    });
    let answer = get(&front, "/patients");
    assert_eq!(answer.status, 400);
    assert!(decoded("gzip", &answer.body).contains("22P02"));
}

#[test]
fn a_body_of_many_empty_members_is_refused_both_ways() {
    let (front, lab) = (remembering(), Front::shared());
    for coding in ["gzip", "zstd"] {
        let many = [encoded(coding, b"").repeat(100), encoded(coding, br#"{"mrn":"A1"}"#)].concat();
        let answer = lab.send("lims", write(coding, &many));
        assert_eq!(answer.header("labseal-error"), Some("LS408"), "{}", answer.text());
        let few = [encoded(coding, b"").repeat(10), encoded(coding, br#"{"mrn":"A1"}"#)].concat();
        assert_eq!(front.send("lims", write(coding, &few)).status, 200, "{coding}");
        let kind = [("Content-Type", "application/json"), ("Content-Encoding", coding)];
        let api = fake::answer("200 OK", &kind, &many);
        let api = Front::with(policy::LAB, move |_| vec![Act::Send(api.clone())]);
        let answer = api.send("lims", Request::get("/patients"));
        assert_eq!(answer.header("labseal-error"), Some("LS503"), "{}", answer.text());
    }
}
