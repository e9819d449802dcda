//! The load: as fast as it goes over sixteen connections, and at a fixed rate.
//!
//! At a fixed rate every request has a time at which it is due, whether or not the one before it has
//! been answered; its latency counts from then. So a stall shows in all the requests that it held
//! up, not in one (coordinated omission).

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};

use super::{kit::now, upstream::content_length};

/// Connections, each with a thread of its own.
pub const CONNECTIONS: u32 = 16;

/// Where a load goes, and what is asked.
#[derive(Clone)]
pub struct Aim {
    /// The server.
    pub to: SocketAddr,
    /// Whose certificate is trusted, if it speaks TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// The whole request.
    pub request: Arc<[u8]>,
}

/// What a load did.
#[derive(Default)]
pub struct Done {
    /// Answered requests.
    pub requests: u64,
    /// How long it took.
    pub time: Duration,
    /// Of each request, sorted.
    pub latencies: Vec<Duration>,
}

impl Done {
    /// Requests per second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.time.as_secs_f64()
    }

    /// The latency that this part of the requests did not exceed.
    pub fn quantile(&self, part: f64) -> Duration {
        let at = ((self.latencies.len() as f64 * part).ceil() as usize).max(1) - 1;
        self.latencies.get(at).copied().unwrap_or_default()
    }
}

/// As fast as it goes, for this long.
pub fn closed(aim: &Aim, time: Duration) -> Done {
    let stop = Arc::new(AtomicBool::new(false));
    let started = now();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (aim, stop) = (aim.clone(), stop.clone());
            thread::spawn(move || {
                let mut client = Client::new(&aim);
                let mut requests = 0;
                while !stop.load(Ordering::Relaxed) {
                    client.exchange();
                    requests += 1;
                }
                requests
            })
        })
        .collect();
    thread::sleep(time);
    stop.store(true, Ordering::Relaxed);
    let requests = clients.into_iter().map(|client| client.join().unwrap()).sum();
    Done { requests, time: started.elapsed(), latencies: Vec::new() }
}

/// At this many requests per second, for this long.
pub fn open(aim: &Aim, rate: f64, time: Duration) -> Done {
    let step = Duration::from_secs_f64(f64::from(CONNECTIONS) / rate);
    let started = now() + Duration::from_millis(20);
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let aim = aim.clone();
            thread::spawn(move || {
                // The kernel may wake a thread 50 µs late, to save wake-ups. Not this one.
                let _ = nix::sys::prctl::set_timerslack(1);
                let mut client = Client::new(&aim);
                let mut due = started + step * number / CONNECTIONS;
                let mut latencies = Vec::new();
                while due < started + time {
                    thread::sleep(due.saturating_duration_since(now()));
                    client.exchange();
                    latencies.push(due.elapsed());
                    due += step;
                }
                latencies
            })
        })
        .collect();
    let mut latencies: Vec<_> =
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    latencies.sort_unstable();
    Done { requests: latencies.len() as u64, time: started.elapsed(), latencies }
}

trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// One kept connection.
pub struct Client {
    stream: Box<dyn Stream>,
    request: Arc<[u8]>,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects.
    pub fn new(aim: &Aim) -> Self {
        let socket = TcpStream::connect(aim.to).unwrap();
        socket.set_nodelay(true).unwrap();
        let stream: Box<dyn Stream> = match &aim.tls {
            None => Box::new(socket),
            Some(config) => {
                let name = ServerName::try_from("localhost").unwrap();
                let session = ClientConnection::new(config.clone(), name).unwrap();
                Box::new(StreamOwned::new(session, socket))
            }
        };
        Self { stream, request: aim.request.clone(), buffer: Vec::with_capacity(64 << 10) }
    }

    /// Sends the request and waits for all of the answer, which must be a success.
    pub fn exchange(&mut self) -> &[u8] {
        self.stream.write_all(&self.request).unwrap();
        self.buffer.clear();
        let (head, end) = loop {
            let Some(head) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") else {
                self.more().unwrap();
                continue;
            };
            let is_chunked = memchr::memmem::find(&self.buffer[..head], b"chunked").is_some();
            let is_whole = match is_chunked {
                true => self.buffer.ends_with(b"\r\n0\r\n\r\n"),
                false => self.buffer.len() >= head + 4 + content_length(&self.buffer[..head]),
            };
            if is_whole {
                break (head + 4, self.buffer.len());
            }
            self.more().unwrap();
        };
        assert!(
            self.buffer.starts_with(b"HTTP/1.1 2"),
            "{}",
            String::from_utf8_lossy(&self.buffer)
        );
        &self.buffer[head..end]
    }

    fn more(&mut self) -> io::Result<()> {
        let filled = self.buffer.len();
        self.buffer.resize(filled + (16 << 10), 0);
        let count = self.stream.read(&mut self.buffer[filled..])?;
        self.buffer.truncate(filled + count);
        match count {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
