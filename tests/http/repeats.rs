//! What is sent again when the API closes a connection, and what never is.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::kit::{
    Request, fake,
    http::{Follows, Reader},
    labseal::Setup,
    policy,
};

/// An API that closes a connection once so many bytes of a request came.
#[derive(Clone)]
struct Closing {
    address: SocketAddr,
    /// The requests of which a byte came, by method.
    begun: Arc<Mutex<Vec<String>>>,
}

impl Closing {
    /// `answers` is how many requests of each connection are answered before; a connection after
    /// the first `faulty` ones is closed by nobody.
    fn start(after: usize, answers: usize, faulty: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let this = Self { address: listener.local_addr().unwrap(), begun: Arc::default() };
        let api = this.clone();
        std::thread::spawn(move || {
            for (n, socket) in listener.incoming().flatten().enumerate() {
                let (api, most) = (api.clone(), if n < faulty { answers } else { usize::MAX });
                std::thread::spawn(move || api.serve(socket, after, most));
            }
        });
        this
    }

    fn serve(&self, mut socket: TcpStream, after: usize, answers: usize) {
        let mut out = socket.try_clone().unwrap();
        for _ in 0..answers {
            // One reader each, so that nothing of the next request is read.
            let mut reader = Reader::new(&mut socket);
            let Ok(Some(request)) = reader.message(|_| Follows::Said) else { return };
            self.begin(&request.start);
            out.write_all(&fake::answer("200 OK", &[], b"[]")).unwrap();
        }
        let mut part = vec![0; after];
        if after > 0 && socket.read_exact(&mut part).is_ok() {
            self.begin(&String::from_utf8_lossy(&part));
        }
    }

    fn begin(&self, start: &str) {
        self.begun.lock().unwrap().push(start.chars().take(1).collect());
    }
}

fn all() -> [(Request, &'static str, bool); 4] {
    let long = format!("[\"{}\"]", "x".repeat(1000));
    [
        (Request::get("/x"), "G", true),
        (Request::post("/x", &long), "P", false),
        (Request::patch("/x", &long), "P", false),
        (Request::delete("/x"), "D", false),
    ]
    .map(|(request, letter, is_safe)| (request.header("X-Long", &long), letter, is_safe))
}

#[test]
fn what_could_change_something_is_never_sent_again_once_a_byte_of_it_was_sent() {
    let mut count = 0;
    for after in [1, 10, 60] {
        for (request, letter, is_safe) in all() {
            let api = Closing::start(after, 1, 1);
            let labseal = Setup::new(policy::EMPTY, api.address).start();
            // So that there is a connection that is kept.
            assert_eq!(Request::new("OPTIONS", "/x").send(labseal.address()).status, 200);
            let status = request.send(labseal.address()).status;
            let begun = api.begun.lock().unwrap().concat();
            if is_safe {
                assert_eq!((status, &*begun), (200, "OGG"), "after {after}");
            } else {
                assert_eq!((status, begun), (502, format!("O{letter}")), "after {after}");
            }
            count += 1;
        }
    }
    assert_eq!(count, 12);
}

#[test]
fn nothing_is_sent_again_over_a_new_connection_that_closes() {
    for (request, letter, _) in all() {
        let api = Closing::start(10, 0, usize::MAX);
        let labseal = Setup::new(policy::EMPTY, api.address).start();
        assert_eq!(request.send(labseal.address()).status, 502);
        assert_eq!(api.begun.lock().unwrap().concat(), letter);
    }
}

#[test]
fn whatever_it_is_it_is_sent_once_where_a_kept_connection_was_closed_before() {
    for (request, letter, _) in all() {
        let api = Closing::start(0, 1, 1);
        let labseal = Setup::new(policy::EMPTY, api.address).start();
        assert_eq!(Request::new("OPTIONS", "/x").send(labseal.address()).status, 200);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(request.send(labseal.address()).status, 200);
        assert_eq!(api.begun.lock().unwrap().concat(), format!("O{letter}"));
    }
}
