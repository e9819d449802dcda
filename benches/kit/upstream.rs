//! The servers behind the proxies: one that answers at once, and one that opens a value per call.
//!
//! Both are written over sockets, so that what they cost is small beside what is measured.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use parking::Shared;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What an answering server says until something was written to a path: 519 bytes.
const PLAIN: &str = r#"{"id":41873,"mrn":"MRN-00483920","accession":"A-2026-118823","last_name":"Haverkamp","first_name":"Wilhelmina","birth_date":"1957-03-14","phone":"+49 441 5550173","street":"Lerchenstrasse 112, 26123 Oldenburg","insurance":"X 114 820 377","result":"13.62 mmol/l","notes":"fasting since 22:00, repeat in six weeks","ward":"haematology","status":"final","priority":"routine","analyzer":"COBAS-8000-2","collected_at":"2026-11-24T06:15:00+00:00","resulted_at":"2026-11-24T07:02:13+00:00","comment":"none"}"#;

mod parking {
    //! Bodies by path, shared by the connections of one thread.
    use std::sync::Mutex;

    use super::{Arc, HashMap};

    #[derive(Clone, Default)]
    pub struct Shared(Arc<Mutex<HashMap<String, Arc<[u8]>>>>);

    impl Shared {
        pub fn put(&self, path: &str, body: &[u8]) {
            self.0.lock().unwrap().insert(path.to_owned(), body.into());
        }

        pub fn get(&self, path: &str) -> Option<Arc<[u8]>> {
            self.0.lock().unwrap().get(path).cloned()
        }
    }
}

/// Serves until the process is killed. Prints its address first.
pub fn serve(role: Role) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        anstream::println!("{address}");
        let stored = Shared::default();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            socket.set_nodelay(true).unwrap();
            tokio::spawn(connection(socket, role, stored.clone()));
        }
    });
}

/// Which of the two.
#[derive(Clone, Copy)]
pub enum Role {
    /// Keeps what is written to a path and answers reads with it.
    Answer,
    /// Opens one value per call, as a transit engine does.
    Transit,
}

impl Role {
    /// The word that names it on a command line.
    pub const ALL: [(&str, Self); 2] = [("answer", Self::Answer), ("transit", Self::Transit)];
}

async fn connection(mut socket: TcpStream, role: Role, stored: Shared) -> Option<()> {
    let mut buffer = Vec::with_capacity(64 << 10);
    loop {
        let (head, length) = loop {
            if let Some(end) = memchr::memmem::find(&buffer, b"\r\n\r\n") {
                let length = content_length(&buffer[..end]);
                if buffer.len() >= end + 4 + length {
                    break (end + 4, length);
                }
            }
            if socket.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        };
        let answer = answer(&buffer[..head], &buffer[head..head + length], role, &stored);
        buffer.drain(..head + length);
        socket.write_all(&answer).await.ok()?;
    }
}

fn answer(head: &[u8], body: &[u8], role: Role, stored: &Shared) -> Vec<u8> {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).unwrap_or_default();
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    match role {
        Role::Transit => response("200 OK", &transit(body)),
        Role::Answer if method == "GET" => match stored.get(path) {
            Some(body) => response("200 OK", &body),
            None => response("200 OK", PLAIN.as_bytes()),
        },
        Role::Answer => {
            stored.put(path, body);
            response("201 Created", b"")
        }
    }
}

fn response(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The key of the transit engine and of the proxies that a team would write, for nothing else.
const KEY: [u8; 32] = *b"a key of the bench, nothing else";

/// `{"ciphertext":"base64(nonce, text, tag)"}` to `{"plaintext":"base64(text)"}`.
fn transit(body: &[u8]) -> Vec<u8> {
    let asked: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let sealed =
        STANDARD.decode(asked["ciphertext"].as_str().unwrap_or_default()).unwrap_or_default();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &KEY).unwrap());
    let opened = sealed.split_first_chunk::<12>().and_then(|(nonce, text)| {
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key.open_in_place(nonce, Aad::empty(), &mut text).ok()?;
        Some(STANDARD.encode(opened))
    });
    serde_json::json!({ "plaintext": opened }).to_string().into_bytes()
}

/// The length that a head announces; none is zero.
pub fn content_length(head: &[u8]) -> usize {
    let lines = head.split(|byte| *byte == b'\n');
    let mut found = lines.filter_map(|line| {
        let (name, value) = line.split_at_checked(15)?;
        name.eq_ignore_ascii_case(b"content-length:").then(|| {
            std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
        })
    });
    found.next().unwrap_or(0)
}
