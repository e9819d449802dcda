//! A client that sends the bytes it is told to and hands back the bytes that came.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    ops::Deref,
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConnection, StreamOwned, pki_types::ServerName};

use super::http::{Follows, Message, Reader};

const PATIENCE: Duration = Duration::from_secs(60);

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    version: &'static str,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    framed: Option<usize>,
}

/// An answer that came to its proper end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Everything else.
    pub message: Message,
}

impl Deref for Answer {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl Request {
    /// Any method on any target; neither is looked at.
    pub fn new(method: &str, target: &str) -> Self {
        let host = ("Host".to_owned(), "lab.local".to_owned());
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            version: "HTTP/1.1",
            headers: vec![host],
            body: Vec::new(),
            framed: None,
        }
    }

    /// GET.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// POST of a JSON text.
    pub fn post(target: &str, json: &str) -> Self {
        Self::new("POST", target).json(json)
    }

    /// PATCH of a JSON text.
    pub fn patch(target: &str, json: &str) -> Self {
        Self::new("PATCH", target).json(json)
    }

    /// DELETE.
    pub fn delete(target: &str) -> Self {
        Self::new("DELETE", target)
    }

    /// Adds a header after those that are there.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Presents a caller's key.
    pub fn key(self, key: &str) -> Self {
        self.header("X-Api-Key", key)
    }

    /// Asks for the written records.
    pub fn returning(self) -> Self {
        self.header("Prefer", "return=representation")
    }

    /// With this JSON text as body.
    pub fn json(self, json: &str) -> Self {
        self.header("Content-Type", "application/json").body(json.as_bytes())
    }

    /// With these bytes as body.
    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.framed = Some(body.len());
        self
    }

    /// With a Content-Length that is a lie.
    pub fn claiming(mut self, length: usize) -> Self {
        self.framed = Some(length);
        self
    }

    /// With framing that the headers given already say.
    pub fn unframed(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.framed = None;
        self
    }

    /// In the words of HTTP/1.0.
    pub fn old(mut self) -> Self {
        self.version = "HTTP/1.0";
        self
    }

    /// The bytes that go over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} {}\r\n", self.method, self.target, self.version);
        for (name, value) in &self.headers {
            bytes.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(length) = self.framed {
            bytes.push_str(&format!("Content-Length: {length}\r\n"));
        }
        bytes.push_str("\r\n");
        let mut bytes = bytes.into_bytes();
        bytes.extend(&self.body);
        bytes
    }

    /// Whether the answer comes without a body whatever its headers say.
    fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// Sends it on a connection of its own; the answer must come to its proper end.
    pub fn send(&self, to: SocketAddr) -> Answer {
        self.try_send(to).unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.target))
    }

    /// Sends it on a connection of its own.
    pub fn try_send(&self, to: SocketAddr) -> io::Result<Answer> {
        let socket = TcpStream::connect(to)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        self.over(socket)
    }

    /// Sends it over a Unix socket.
    pub fn send_unix(&self, to: &Path) -> io::Result<Answer> {
        let socket = UnixStream::connect(to)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        self.over(socket)
    }

    /// Sends it over TLS to a server named `localhost`.
    pub fn send_tls(
        &self,
        to: SocketAddr,
        config: &Arc<rustls::ClientConfig>,
    ) -> io::Result<Answer> {
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        let socket = TcpStream::connect(to)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        self.over(StreamOwned::new(session, socket))
    }

    fn over(&self, mut socket: impl Read + Write) -> io::Result<Answer> {
        // A server may answer, and close, before it has read all.
        let written = socket.write_all(&self.bytes()).and_then(|()| socket.flush());
        match (receive(&mut Reader::new(&mut socket), self.is_head()), written) {
            (Err(_), Err(error)) => Err(error),
            (answer, _) => answer,
        }
    }
}

/// Reads one answer; interim ones are passed over.
pub fn receive(reader: &mut Reader<impl Read>, head: bool) -> io::Result<Answer> {
    loop {
        let message = reader.message(|message| match (head, status(message)) {
            (true, _) | (false, 100..=199 | 204 | 304) => Follows::Nothing,
            (false, _) => Follows::ToTheEnd,
        })?;
        let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "no answer");
        let message = message.ok_or_else(ended)?;
        let status = status(&message);
        if (100..200).contains(&status) && status != 101 {
            continue;
        }
        return Ok(Answer { status, message });
    }
}

fn status(message: &Message) -> u16 {
    message.start.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Sends bytes as they are and returns all that comes until the peer closes or says nothing more
/// for a while.
pub fn raw(to: SocketAddr, bytes: &[u8], patience: Duration) -> Vec<u8> {
    let mut socket = TcpStream::connect(to).expect("the server listens");
    socket.set_read_timeout(Some(patience)).expect("a timeout");
    // The server may refuse before it has read all.
    let _ = socket.write_all(bytes);
    let mut got = Vec::new();
    let mut piece = [0; 16 * 1024];
    while let Ok(count) = socket.read(&mut piece) {
        if count == 0 {
            break;
        }
        got.extend(&piece[..count]);
    }
    got
}
