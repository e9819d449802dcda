//! HTTP/2 without TLS, from a client that knows it, and what only HTTP/2 could smuggle.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::kit::{Front, fake, policy};

#[tokio::test]
async fn a_client_that_knows_http_2_is_served_without_tls() {
    let front = Front::start();
    let socket = tokio::net::TcpStream::connect(front.labseal.address()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
            .await
            .unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let request = http::Request::post("http://lab.local/patients")
            .header("x-api-key", front.labseal.key("lims"))
            .header("content-type", "application/json")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(Full::new(Bytes::from_static(br#"{"mrn":"A1"}"#)))
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 201);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "[]");
        let got = front.got("/patients").pop().unwrap();
        assert_eq!(got.header("host"), Some("lab.local"));
        assert_eq!(got.values("cookie"), ["a=1; b=2"]);
        assert!(got.text().contains("ls1d"), "{}", got.text());
    }
    let request =
        http::Request::get("http://lab.local/patients").header("authorization", "NTLM AAAA");
    let answer = sender.send_request(request.body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(answer.headers()["labseal-error"], "LS109");
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len() >> 8).unwrap();
    let mut frame = vec![0, length, payload.len() as u8, kind, flags, 0, 0, 0, stream];
    frame.extend_from_slice(payload);
    frame
}

/// A field as a literal that is not indexed (RFC 7541 §6.2.2), with any bytes at all.
fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, u8::try_from(name.len()).unwrap()];
    bytes.extend_from_slice(name);
    bytes.push(u8::try_from(value.len()).unwrap());
    bytes.extend_from_slice(value);
    bytes
}

#[test]
fn what_http_2_could_carry_into_http_1_does_not_reach_the_api() {
    let front = Front::with(policy::EMPTY, |_| fake::json("[]"));
    type Field = (&'static [u8], &'static [u8]);
    let cases: &[&[Field]] = &[
        &[(b":path", b"/h2 HTTP/1.1\r\nX: y")],
        &[(b":path", b"/h2 x")],
        &[(b":path", b"h2")],
        &[(b":method", b"GET /h2 HTTP/1.1\r\nX: y")],
        &[(b":method", b"GE T")],
        &[(b":authority", b"x\r\nX: y")],
        &[(b":scheme", b"http\r\n")],
        &[(b"x", b"a\r\nTransfer-Encoding: chunked")],
        &[(b"x", b"a\nb")],
        &[(b"x", b"a\0b")],
        &[(b"x\r\ny", b"a")],
        &[(b"x: y", b"a")],
        &[(b"X-Upper", b"a")],
        &[(b"transfer-encoding", b"chunked")],
        &[(b"connection", b"x-api-key")],
        &[(b"content-length", b"5")],
        &[(b"content-length", b"-1")],
        &[(b"te", b"gzip")],
        &[(b"x", b"a"), (b":path", b"/h2")],
        &[(b":unknown", b"a")],
    ];
    for fields in cases {
        let mut block = Vec::new();
        for (name, value) in [
            (&b":method"[..], &b"GET"[..]),
            (b":scheme", b"http"),
            (b":authority", b"x"),
            (b":path", b"/h2"),
        ] {
            if !fields.iter().any(|(own, _)| *own == name) {
                block.extend(literal(name, value));
            }
        }
        fields.iter().for_each(|(name, value)| block.extend(literal(name, value)));
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(4, 0, 0, b""));
        // The end of the headers, and of the request.
        bytes.extend(frame(1, 0x5, 1, &block));
        let mut socket = TcpStream::connect(front.labseal.address()).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        socket.write_all(&bytes).unwrap();
        let mut got = Vec::new();
        let _ = socket.read_to_end(&mut got);
        let shown = fields
            .iter()
            .map(|(n, v)| (n.escape_ascii().to_string(), v.escape_ascii().to_string()));
        let shown: Vec<_> = shown.collect();
        assert!(!got.is_empty(), "{shown:?}");
        assert!(front.fake.requests().is_empty(), "{shown:?} reached the API");
    }
    assert_eq!(cases.len(), 20);
}
