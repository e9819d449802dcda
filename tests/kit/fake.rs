//! An upstream that answers whatever a test tells it to, byte for byte, and keeps what it got.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use socket2::SockRef;

use super::http::{Follows, Message, Reader};

/// What the fake does in answer to a request, in order.
#[derive(Clone, Debug)]
pub enum Act {
    /// Ends the connection as TCP should.
    Close,
    /// Sends these bytes so many times.
    Repeat(Vec<u8>, usize),
    /// Tears the connection down.
    Reset,
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Says nothing for a while.
    Wait(Duration),
}

/// A scripted upstream.
pub struct Fake {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Message>>>,
    bytes: Arc<Mutex<Vec<u8>>>,
    stop: Arc<AtomicBool>,
    accept: Option<JoinHandle<()>>,
}

impl Fake {
    /// Answers each request with what `reply` makes of it.
    pub fn start(reply: impl Fn(&Message) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (kept, seen) = (Arc::clone(&requests), Arc::clone(&bytes));
        let (stopped, reply) = (Arc::clone(&stop), Arc::new(reply));
        let accept = std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let (kept, seen) = (Arc::clone(&kept), Arc::clone(&seen));
                let reply = Arc::clone(&reply);
                std::thread::spawn(move || serve(socket, &kept, &seen, &*reply));
            }
        });
        Self { address, requests, bytes, stop, accept: Some(accept) }
    }

    /// Answers every request with the same bytes, and keeps the connection.
    pub fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |_| vec![Act::Send(bytes.clone())])
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The complete requests so far.
    pub fn requests(&self) -> Vec<Message> {
        self.requests.lock().expect("no panic").clone()
    }

    /// Every byte so far, complete requests or not.
    pub fn received(&self) -> Vec<u8> {
        self.bytes.lock().expect("no panic").clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
        if let Some(accept) = self.accept.take() {
            let _ = accept.join();
        }
    }
}

/// An answer with a length, as bytes.
pub fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    bytes.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut bytes = bytes.into_bytes();
    bytes.extend(body);
    bytes
}

/// An answer of JSON with status 200, as the one act.
pub fn json(body: &str) -> Vec<Act> {
    let kind = [("Content-Type", "application/json; charset=utf-8")];
    vec![Act::Send(answer("200 OK", &kind, body.as_bytes()))]
}

/// A socket whose every byte is also kept.
struct Kept<'a>(TcpStream, &'a Mutex<Vec<u8>>);

impl std::io::Read for Kept<'_> {
    fn read(&mut self, piece: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(piece)?;
        self.1.lock().expect("no panic").extend(&piece[..count]);
        Ok(count)
    }
}

fn serve(
    socket: TcpStream,
    kept: &Mutex<Vec<Message>>,
    seen: &Mutex<Vec<u8>>,
    reply: &dyn Fn(&Message) -> Vec<Act>,
) {
    let mut out = socket.try_clone().expect("a second handle");
    let mut reader = Reader::new(Kept(socket, seen));
    while let Ok(Some(request)) = reader.message(|_| Follows::Said) {
        let acts = reply(&request);
        kept.lock().expect("no panic").push(request);
        for act in acts {
            match act {
                Act::Close => return,
                Act::Repeat(bytes, times) => {
                    if (0..times).any(|_| out.write_all(&bytes).is_err()) {
                        return;
                    }
                }
                Act::Reset => {
                    let _ = SockRef::from(&out).set_linger(Some(Duration::ZERO));
                    return;
                }
                Act::Send(bytes) => {
                    if out.write_all(&bytes).is_err() {
                        return;
                    }
                }
                Act::Wait(time) => std::thread::sleep(time),
            }
        }
    }
}
