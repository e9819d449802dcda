//! A recording wire between labseal and an upstream: every byte, both ways.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use super::http::{Follows, Message, Reader};

/// A proxy that changes nothing and keeps everything.
pub struct Tee {
    address: SocketAddr,
    wires: Arc<Mutex<Vec<Wire>>>,
    stop: Arc<AtomicBool>,
    accept: Option<JoinHandle<()>>,
}

/// What passed over one connection.
#[derive(Clone, Default)]
struct Wire {
    up: Arc<Mutex<Vec<u8>>>,
    down: Arc<Mutex<Vec<u8>>>,
}

impl Tee {
    /// Listens on a port of its own and connects through to `upstream`.
    pub fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let wires = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (kept, stopped) = (Arc::clone(&wires), Arc::clone(&stop));
        let accept = std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                if let Ok(server) = TcpStream::connect(upstream) {
                    let wire = Wire::default();
                    kept.lock().expect("no panic").push(wire.clone());
                    copy(&client, &server, wire.up);
                    copy(&server, &client, wire.down);
                }
            }
        });
        Self { address, wires, stop, accept: Some(accept) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every byte that the upstream received.
    pub fn received(&self) -> Vec<u8> {
        self.collect(|wire| &wire.up).concat()
    }

    /// Every byte that the upstream answered.
    pub fn answered(&self) -> Vec<u8> {
        self.collect(|wire| &wire.down).concat()
    }

    /// The requests that the upstream received.
    pub fn requests(&self) -> Vec<Message> {
        let mut all = Vec::new();
        for bytes in self.collect(|wire| &wire.up) {
            let mut reader = Reader::new(&bytes[..]);
            while let Ok(Some(message)) = reader.message(|_| Follows::Said) {
                all.push(message);
            }
        }
        all
    }

    /// Forgets what passed so far.
    pub fn forget(&self) {
        for wire in self.wires.lock().expect("no panic").iter() {
            wire.up.lock().expect("no panic").clear();
            wire.down.lock().expect("no panic").clear();
        }
    }

    fn collect(&self, side: fn(&Wire) -> &Mutex<Vec<u8>>) -> Vec<Vec<u8>> {
        let wires = self.wires.lock().expect("no panic");
        wires.iter().map(|wire| side(wire).lock().expect("no panic").clone()).collect()
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the accepting thread, which then sees that it should stop.
        drop(TcpStream::connect(self.address));
        if let Some(accept) = self.accept.take() {
            let _ = accept.join();
        }
    }
}

fn copy(from: &TcpStream, to: &TcpStream, record: Arc<Mutex<Vec<u8>>>) {
    let mut from = from.try_clone().expect("a second handle");
    let mut to = to.try_clone().expect("a second handle");
    // The thread ends when either side closes.
    std::thread::spawn(move || {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(count) = from.read(&mut piece) {
            // Recorded first: what may have arrived was seen.
            record.lock().expect("no panic").extend(&piece[..count]);
            if count == 0 || to.write_all(&piece[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Read);
    });
}
