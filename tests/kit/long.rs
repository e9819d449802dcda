//! Bodies that are larger than the memory they may take, both ways, measured while they pass.
//!
//! `tests/streaming.rs` passes as much as every run can wait for; `benches/long.rs` passes a GiB and
//! writes down what it took.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use super::{Act, Front, Labseal, Request, fake, labseal::Setup, policy};

/// What labseal may have resident, whatever passes through it.
pub const MEMORY: usize = 64 << 20;

pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often the memory is looked at, in bytes that passed.
const OFTEN: usize = 1 << 20;

/// The rows that fit into one write.
pub const ROWS: usize = 128;

/// Bytes that passed.
#[derive(Clone, Copy, Debug)]
pub struct Passage {
    /// How many, on the side of the client.
    pub bytes: usize,
    /// What labseal had resident meanwhile, at most.
    pub peak: usize,
    /// How long it took.
    pub time: Duration,
}

impl Passage {
    /// Fails if it took more memory than it may.
    pub fn assert_bounded(&self) {
        assert!(self.peak > 0 && self.peak < MEMORY, "{} MiB resident", self.peak >> 20);
    }
}

/// The memory of labseal while bytes pass. The kernel's own high-water mark is reset first: it is that
/// of the passphrase, stretched at start in 64 MiB.
struct Memory {
    pid: u32,
    passed: usize,
    peak: usize,
    since: Instant,
}

impl Memory {
    fn of(labseal: &Labseal) -> Self {
        let pid = labseal.pid();
        // The kernel's mark starts again from what is resident now.
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the mark is reset");
        Self { pid, passed: 0, peak: 0, since: super::now() }
    }

    fn pass(&mut self, bytes: usize) {
        if self.passed / OFTEN != (self.passed + bytes) / OFTEN {
            self.look();
        }
        self.passed += bytes;
    }

    /// What is resident now, and what was at most since the beginning, by the kernel's own mark.
    fn look(&mut self) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        for mark in ["VmRSS:", "VmHWM:"] {
            let line = status.lines().find_map(|line| line.strip_prefix(mark)).unwrap();
            let kib: usize = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
            self.peak = self.peak.max(kib << 10);
        }
    }

    fn finish(mut self, least: usize) -> Passage {
        self.look();
        assert!(self.passed >= least, "only {} bytes passed", self.passed);
        Passage { bytes: self.passed, peak: self.peak, time: super::now() - self.since }
    }
}

/// A record with three protected fields among others.
pub fn record() -> String {
    let comment = "collected at the bedside, transported on ice; ".repeat(20);
    format!(
        r#"{{"id":7,"mrn":"MRN-0048392","last_name":"Haverkamp","notes":"fasting","ward":"{comment}"}}"#
    )
}

/// How records stand one after the other.
#[derive(Clone, Copy, Debug)]
pub enum Series {
    /// One on each line, from a plain JSON API.
    Lines,
    /// In a JSON array, from PostgREST.
    List,
}

impl Series {
    fn media(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::List => "application/json",
        }
    }

    /// What stands before the first, between two of them and behind the last.
    fn around(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Lines => ("", "\n", "\n"),
            Self::List => ("[", ",", "]"),
        }
    }

    fn policy(self) -> String {
        match self {
            Self::Lines => {
                let (classes, _) = policy::LAB.split_once("apis:").expect("a policy has apis");
                format!("{classes}{LINES}")
            }
            Self::List => policy::LAB.to_owned(),
        }
    }
}

const LINES: &str = r#"apis:
  - name: lims-db
    dialect: json
    routes:
      - match: "GET /patients"
        fields: {"$[*].mrn": {class: mrn}, "$[*].last_name": {class: name}, "$[*].notes": {class: note}}
      - match: "POST /patients"
        fields: {"$.mrn": {class: mrn}, "$.last_name": {class: name}, "$.notes": {class: note}}
"#;

/// An upstream that answers reads with a list as long as `bytes`, of the record last written to it.
fn long(series: Series, bytes: usize) -> Front {
    let last = Mutex::new(String::new());
    let (open, between, close) = series.around();
    Front::with(&series.policy(), move |request| {
        if request.start.starts_with("POST ") {
            *last.lock().unwrap() = request.text();
            return fake::json("[]");
        }
        let row = last.lock().unwrap().clone();
        let rows = format!("{row}{between}").repeat(ROWS);
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {}; charset=utf-8\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
            series.media()
        );
        vec![
            Act::Send([head.into_bytes(), chunk(&format!("{open}{row}{between}"))].concat()),
            Act::Repeat(chunk(&rows), bytes.div_ceil(rows.len())),
            Act::Send([chunk(&format!("{row}{close}")), b"0\r\n\r\n".to_vec()].concat()),
        ]
    })
}

/// A piece of a chunked body.
pub fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

/// Reads lines up to an empty one.
fn head(from: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(from.read_line(&mut head).unwrap() > 0, "ended in its head: {head}");
    }
    head
}

/// Reads as many records as the API says in so many bytes, with three protected fields each, and
/// compares every byte.
pub fn read(series: Series, bytes: usize) -> Passage {
    let front = long(series, bytes);
    let (open, between, close) = series.around();
    let record = record();
    assert_eq!(front.send("lims", Request::post("/patients", &record)).status, 200);
    let mut memory = Memory::of(&front.labseal);

    let mut socket = TcpStream::connect(front.labseal.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = Request::get("/patients").key(front.labseal.key("lims"));
    socket.write_all(&request.bytes()).unwrap();
    let mut socket = BufReader::with_capacity(64 << 10, socket);
    let head = head(&mut socket).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 ") && head.contains("chunked"), "{head}");

    // What comes is compared with endless rows at the place where it should stand.
    let rows = format!("{record}{between}").repeat(2 * ROWS);
    let period = record.len() + 1;
    let mut last = b' ';
    let mut piece = Vec::new();
    loop {
        let mut line = String::new();
        socket.read_line(&mut line).unwrap();
        let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
        for start in (0..size).step_by(64 << 10) {
            piece.resize((size - start).min(64 << 10), 0);
            socket.read_exact(&mut piece).unwrap();
            let (before, begins) = (memory.passed, memory.passed == 0);
            memory.pass(piece.len());
            last = *piece.last().unwrap();
            let (got, before) = match begins {
                true => (piece.strip_prefix(open.as_bytes()).unwrap(), 0),
                false => (&piece[..], before - open.len()),
            };
            // The very last byte closes a list, where a further row would have a comma.
            let got = match close == between {
                true => got,
                false => got.strip_suffix(close.as_bytes()).unwrap_or(got),
            };
            let from = before % period;
            assert!(got == &rows.as_bytes()[from..from + got.len()], "altered after {before}");
        }
        let mut end = [0; 2];
        socket.read_exact(&mut end).unwrap();
        assert_eq!(&end, b"\r\n");
        if size == 0 {
            break;
        }
    }
    assert_eq!((last, memory.passed % period), (close.as_bytes()[0], open.len()));
    // Three envelopes of each row are longer than what they stand for.
    memory.finish(bytes / 5 * 3)
}

/// What an upstream got of one request whose body it did not keep.
struct Got {
    length: usize,
    rows: usize,
    envelopes: usize,
    clear: usize,
    rest: io::Result<usize>,
}

/// Takes one request row by row, and looks whether more comes than it announced.
fn take_rows(listener: &TcpListener) -> Got {
    let (socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut from = BufReader::with_capacity(64 << 10, &socket);
    let head = head(&mut from).to_ascii_lowercase();
    assert!(!head.contains("transfer-encoding"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap();
    let length = length.trim().parse().unwrap();
    let mut got = Got { length, rows: 0, envelopes: 0, clear: 0, rest: Ok(0) };
    let mut body = from.by_ref().take(length as u64);
    let mut row = Vec::new();
    let mut total = 0;
    while body.read_until(b'}', &mut row).unwrap() > 0 {
        got.rows += usize::from(row.ends_with(b"}"));
        got.envelopes += memchr::memmem::find_iter(&row, b"\"ls1").count();
        got.clear += memchr::memmem::find_iter(&row, b"Haverkamp").count();
        total += row.len();
        row.clear();
    }
    assert_eq!(total, length, "cut");
    (&socket).write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    got.rest = from.read(&mut [0; 1]);
    got
}

/// Writes records of so many bytes together, and looks at every one that the API gets.
pub fn write(series: Series, bytes: usize) -> Passage {
    let (open, between, close) = series.around();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let labseal = Setup::new(&series.policy(), listener.local_addr().unwrap()).start();
    let upstream = thread::spawn(move || take_rows(&listener));
    let mut memory = Memory::of(&labseal);

    let record = record();
    let rows = format!("{record}{between}").repeat(ROWS);
    let times = bytes.div_ceil(rows.len());
    let length = open.len() + times * rows.len() + record.len() + close.len();
    let request = Request::new("POST", "/patients").header("Content-Type", series.media());
    let request = request.key(labseal.key("lims")).claiming(length);
    let mut socket = TcpStream::connect(labseal.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(&[&request.bytes()[..], open.as_bytes()].concat()).unwrap();
    for _ in 0..times {
        socket.write_all(rows.as_bytes()).unwrap();
        memory.pass(rows.len());
    }
    socket.write_all(format!("{record}{close}").as_bytes()).unwrap();
    // And while it goes up.
    let mut answer = String::new();
    socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let mut socket = BufReader::new(socket);
    let end = super::now() + PATIENCE;
    while let Err(error) = socket.read_line(&mut answer) {
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
        assert!(super::now() < end, "no answer");
        memory.look();
    }
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");

    let got = upstream.join().unwrap();
    let sent = times * ROWS + 1;
    assert_eq!((got.rows, got.envelopes, got.clear), (sent, 3 * sent, 0));
    assert!(got.length > length, "{} is not sealed", got.length);
    assert!(!matches!(got.rest, Ok(1)), "more than Content-Length said");
    memory.finish(bytes)
}
