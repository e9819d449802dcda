//! A client of HTTP/2 that sends whatever it is told to: frames as bytes, fields as HPACK, and what
//! must come of it.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Frame types (RFC 9113 §6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Flags (RFC 9113 §6).
pub const ACK: u8 = 0x1;
pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;
pub const PADDED: u8 = 0x8;
pub const PRIORITISED: u8 = 0x20;
/// A whole request without a body.
pub const WHOLE: u8 = END_STREAM | END_HEADERS;

/// Error codes (RFC 9113 §7).
pub const PROTOCOL: u32 = 0x1;
pub const FLOW_CONTROL: u32 = 0x3;
pub const CLOSED: u32 = 0x5;
pub const FRAME_SIZE: u32 = 0x6;
pub const REFUSED: u32 = 0x7;
pub const COMPRESSION: u32 = 0x9;

/// What a client that knows HTTP/2 begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// A frame that came.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM or GOAWAY.
    pub fn code(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        let code = self.payload.get(at..at + 4)?;
        Some(u32::from_be_bytes(code.try_into().unwrap()))
    }

    /// The status of an answer's head, which the servers here send as the first field: one of the
    /// seven of the static table, or three digits.
    pub fn status(&self) -> Option<u16> {
        let rest = self.payload.iter().position(|byte| byte >> 5 != 1)?;
        let field = &self.payload[rest..];
        let known = [200, 204, 206, 304, 400, 404, 500];
        match (self.kind, field) {
            (HEADERS, [at @ 0x88..=0x8e, ..]) => Some(known[usize::from(at - 0x88)]),
            (HEADERS, [_, 3, digits @ ..]) => {
                String::from_utf8_lossy(digits.get(..3)?).parse().ok()
            }
            // Digits in the Huffman code have five or six bits; 4xx is all that is asked for.
            (HEADERS, [_, 0x82 | 0x83, ..]) => Some(499),
            _ => None,
        }
    }
}

/// A frame as bytes. Nothing is checked.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field as a literal that is not indexed (RFC 7541 §6.2.2).
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        bytes.push(u8::try_from(text.len()).unwrap());
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// Fields one after the other.
pub fn fields(all: &[(&str, &str)]) -> Vec<u8> {
    all.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// The fields of a request.
pub fn request(method: &str, path: &str) -> Vec<u8> {
    let all = [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path)];
    fields(&all)
}

/// A request that must be answered.
pub fn good() -> Vec<u8> {
    request("GET", "/good")
}

/// One that must not reach the API as a whole.
pub fn bad() -> Vec<u8> {
    request("POST", "/bad")
}

/// One setting.
pub fn setting(name: u16, value: u32) -> Vec<u8> {
    [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()
}

/// What must come of a case.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    /// The connection goes on, and nothing was refused.
    Alive,
    /// So many requests are answered with 200.
    Answers(usize),
    /// The connection ends, with one of these codes if with any, or with PROTOCOL_ERROR: the HTTP
    /// library says that of most faults that have a code of their own.
    Connection(&'static [u32]),
    /// The request ends: its stream or connection with one of these codes, or a 4xx.
    Stream(&'static [u32]),
}

/// A case: the section that it comes from and what is done, how, and what must come of it.
pub struct Case(pub &'static str, pub fn(&mut Peer), pub Expect);

/// What came next.
#[derive(Debug)]
pub enum Next {
    Closed,
    Frame(Frame),
    Silence,
}

/// One end of a connection.
pub struct Peer {
    socket: TcpStream,
    buffer: Vec<u8>,
    /// What a case itself found wrong.
    pub faults: Vec<String>,
}

impl Peer {
    /// A connection on which nothing was said.
    pub fn connect(to: SocketAddr) -> Self {
        let socket = TcpStream::connect(to).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, buffer: Vec::new(), faults: Vec::new() }
    }

    /// One that has begun, with no settings.
    pub fn open(to: SocketAddr) -> Self {
        let mut peer = Self::connect(to);
        peer.raw(PREFACE);
        peer.frame(SETTINGS, 0, 0, b"");
        peer
    }

    /// Sends bytes; `false` once nobody takes them any more.
    pub fn raw(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Sends a frame.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.raw(&frame(kind, flags, stream, payload))
    }

    /// Sends a head that is all of a request.
    pub fn whole(&mut self, stream: u32, block: &[u8]) -> bool {
        self.frame(HEADERS, WHOLE, stream, block)
    }

    /// Sends a head that a body follows.
    pub fn head(&mut self, stream: u32, block: &[u8]) -> bool {
        self.frame(HEADERS, END_HEADERS, stream, block)
    }

    /// The next frame. Settings are acknowledged.
    pub fn next(&mut self) -> Next {
        loop {
            if let Some(frame) = self.take() {
                if frame.kind == SETTINGS && frame.flags & ACK == 0 {
                    self.frame(SETTINGS, ACK, 0, b"");
                }
                return Next::Frame(frame);
            }
            let mut piece = [0; 16 << 10];
            match self.socket.read(&mut piece) {
                Ok(0) => return Next::Closed,
                Ok(count) => self.buffer.extend(&piece[..count]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Next::Silence;
                }
                Err(_) => return Next::Closed,
            }
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let &[a, b, c, kind, flags, d, e, f, g, ref rest @ ..] = &self.buffer[..] else {
            return None;
        };
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap();
        let payload = rest.get(..length)?.to_vec();
        self.buffer.drain(..9 + length);
        Some(Frame { kind, flags, stream: u32::from_be_bytes([d & 0x7f, e, f, g]), payload })
    }

    /// Waits for a frame, which must come.
    pub fn until(&mut self, what: &str, is: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            match self.next() {
                Next::Frame(frame) if is(&frame) => return Some(frame),
                Next::Frame(_) => {}
                Next::Closed | Next::Silence => {
                    self.faults.push(format!("no {what}"));
                    return None;
                }
            }
        }
    }

    /// Waits for the end of the answer on a stream.
    pub fn answered(&mut self, stream: u32) {
        let ends = |frame: &Frame| frame.kind <= HEADERS && frame.flags & END_STREAM != 0;
        self.until("end of an answer", |frame| frame.stream == stream && ends(frame));
    }

    /// Waits until all that was sent so far was read.
    pub fn read(&mut self) {
        self.frame(PING, 0, 0, b"all read");
        self.until("PING", |frame| frame.kind == PING && frame.payload == b"all read");
    }

    /// What was expected, or what came instead.
    pub fn judge(&mut self, expect: Expect) -> Result<(), String> {
        if matches!(expect, Expect::Alive) {
            self.frame(PING, 0, 0, b"conforms");
        }
        let mut left = if let Expect::Answers(count) = expect { count } else { 0 };
        let mut came = Vec::new();
        loop {
            let next = self.next();
            let error = match &next {
                Next::Frame(frame) => frame.code(),
                Next::Closed | Next::Silence => None,
            };
            let verdict = match (expect, &next) {
                (Expect::Connection(_) | Expect::Stream(_), Next::Closed) => Some(true),
                (_, Next::Closed | Next::Silence) => Some(false),
                (Expect::Connection(codes), Next::Frame(frame)) if frame.kind == GOAWAY => {
                    Some(error.is_some_and(|code| code == PROTOCOL || codes.contains(&code)))
                }
                (Expect::Stream(codes), Next::Frame(_)) if error.is_some() => {
                    Some(error.is_some_and(|code| code == PROTOCOL || codes.contains(&code)))
                }
                (Expect::Stream(_), Next::Frame(frame)) if frame.status().is_some() => {
                    Some(frame.status().is_some_and(|status| (400..500).contains(&status)))
                }
                (Expect::Alive | Expect::Answers(_), Next::Frame(_)) if error.is_some() => {
                    Some(false)
                }
                (Expect::Alive, Next::Frame(frame)) => {
                    (frame.kind == PING && frame.payload == b"conforms").then_some(true)
                }
                (Expect::Answers(_), Next::Frame(frame)) => match frame.status() {
                    Some(200) => {
                        left -= 1;
                        (left == 0).then_some(true)
                    }
                    Some(_) => Some(false),
                    None => None,
                },
                (Expect::Connection(_) | Expect::Stream(_), Next::Frame(_)) => None,
            };
            came.push(next);
            match verdict {
                Some(true) if self.faults.is_empty() => return Ok(()),
                Some(_) => return Err(format!("{:?} {came:?}", self.faults)),
                None => {}
            }
        }
    }
}
