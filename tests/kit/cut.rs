//! A wire that can be cut: connections stay open, and nothing comes through.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// A wire to one server.
pub struct Cut {
    address: SocketAddr,
    is_cut: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    accept: Option<JoinHandle<()>>,
}

impl Cut {
    /// Listens on a port of its own and connects through to `server`.
    pub fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (is_cut, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (cut, stopped) = (Arc::clone(&is_cut), Arc::clone(&stop));
        let accept = std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                if let Ok(server) = TcpStream::connect(server) {
                    copy(&client, &server, &cut, &stopped);
                    copy(&server, &client, &cut, &stopped);
                }
            }
        });
        Self { address, is_cut, stop, accept: Some(accept) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nothing through any more.
    pub fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
    }

    /// Lets through what was held back, and all that follows.
    pub fn mend(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the accepting thread, which then sees that it should stop.
        drop(TcpStream::connect(self.address));
        if let Some(accept) = self.accept.take() {
            let _ = accept.join();
        }
    }
}

fn copy(from: &TcpStream, to: &TcpStream, is_cut: &Arc<AtomicBool>, stop: &Arc<AtomicBool>) {
    let mut from = from.try_clone().expect("a second handle");
    let mut to = to.try_clone().expect("a second handle");
    let (is_cut, stop) = (Arc::clone(is_cut), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(count) = from.read(&mut piece) {
            while is_cut.load(Ordering::SeqCst) && !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
            }
            if count == 0 || to.write_all(&piece[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Read);
    });
}
