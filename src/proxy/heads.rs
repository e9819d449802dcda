//! Follows the requests of an HTTP/1 connection as bytes, and lets only what is beyond doubt through
//! to the HTTP library.
//!
//! What the library would answer with a bare 400, or read leniently, becomes a plain request of the
//! same method and target, with a note beside the stream why it has to be refused: so every refusal
//! is answered in the shape of the API and is on record. A target that the library cannot name is
//! handed to it in another spelling, and the note says how it came.
//!
//! Notes and requests correspond one to one, in order: the library begins no request whose head has
//! not passed here. HTTP/2 frames its messages beyond doubt; from its preface on all bytes pass.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use super::strict::{self, Fault, Framing};

/// What a connection of HTTP/2 begins with (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The longest first line of a chunk, and the most trailers.
const MOST_CHUNK_LINE: usize = 1 << 10;
const MOST_TRAILERS: usize = 8 << 10;

/// What a head said that the HTTP library cannot say.
#[derive(Debug, Default)]
pub struct Note {
    /// Path and query as they came, where the library was given another spelling.
    pub target: Option<String>,
    /// Why the request is refused.
    pub fault: Option<Fault>,
}

#[derive(Debug, Default)]
struct Shared {
    notes: VecDeque<Note>,
    broken: Option<Fault>,
    is_released: bool,
    is_http_2: bool,
    /// How many requests have begun, and how many of them an answer was found for.
    begun: u64,
    settled: u64,
    /// Who waits for an answer to be found.
    waiting: Option<Waker>,
}

/// The notes of one connection, shared between its stream and its exchanges.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<Shared>>);

impl Notes {
    /// The note of the request that has just begun.
    pub fn next(&self) -> Note {
        self.shared().notes.pop_front().unwrap_or_default()
    }

    /// What broke the body that is being read, if something did.
    pub fn broken(&self) -> Option<Fault> {
        self.shared().broken
    }

    /// An answer was found for one more request: what comes after it is known to be another, or no
    /// HTTP any more.
    pub fn settle(&self) {
        let mut shared = self.shared();
        shared.settled += 1;
        if let Some(waiting) = shared.waiting.take() {
            waiting.wake();
        }
    }

    /// Whether the connection has begun as one of HTTP/2.
    pub fn are_of_http_2(&self) -> bool {
        self.shared().is_http_2
    }

    /// From now on bytes pass as they are: they are no HTTP any more.
    pub fn release(&self) {
        self.shared().is_released = true;
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where in a message the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// In a body with so many bytes to come.
    Body(u64),
    /// In the data of a chunk.
    Chunk(u64),
    /// In the line end after it.
    ChunkEnd,
    /// In the first line of a chunk.
    ChunkSize,
    /// In a head, or before it.
    Head,
    /// Everything passes.
    Raw,
    /// Nothing passes any more: the last request was refused, or its body broke.
    Stopped,
    /// In the trailer section.
    Trailers,
}

/// The state of a connection.
#[derive(Debug)]
pub struct Follower {
    stage: Stage,
    notes: Notes,
    most: usize,
    is_first: bool,
    /// Whether the last head asked for an upgrade: until it is answered, nobody knows what comes.
    is_asking: bool,
    /// A line or a head that is not whole yet, or what comes while an upgrade is asked for.
    held: Vec<u8>,
    /// How much of what is held was looked at.
    seen: usize,
    /// What may go on.
    pub out: Vec<u8>,
}

impl Follower {
    /// For a new connection whose heads may have `most` bytes.
    pub fn new(notes: Notes, most: usize) -> Self {
        Self {
            stage: Stage::Head,
            notes,
            most,
            is_first: true,
            is_asking: false,
            held: Vec::new(),
            seen: 0,
            out: Vec::new(),
        }
    }

    /// How many bytes may pass without being looked at.
    pub fn free(&mut self) -> u64 {
        if self.stage == Stage::Head && self.notes.shared().is_released {
            self.out.append(&mut self.held);
            self.stage = Stage::Raw;
        }
        match self.stage {
            Stage::Body(left) | Stage::Chunk(left) => left,
            Stage::Raw => u64::MAX,
            Stage::ChunkEnd | Stage::ChunkSize | Stage::Head | Stage::Stopped | Stage::Trailers => {
                0
            }
        }
    }

    /// Looks at what was held while an upgrade was asked for, if it is known what it is.
    pub fn resume(&mut self) {
        if self.is_asking && self.stage == Stage::Head && !self.is_waiting() {
            self.is_asking = false;
            let held = std::mem::take(&mut self.held);
            // A fault is kept, and comes up where it would have come up.
            let _ = self.push(&held);
        }
    }

    /// Whether what comes cannot be judged yet.
    fn is_waiting(&self) -> bool {
        let shared = self.notes.shared();
        let is_open = !shared.is_released && shared.settled < shared.begun;
        self.is_asking && self.stage == Stage::Head && is_open
    }

    /// Whether nothing more can be held; until an answer is found, which wakes `waker`.
    pub fn is_full(&self, waker: &Waker) -> bool {
        let is_waiting = self.is_waiting();
        if is_waiting {
            self.notes.shared().waiting = Some(waker.clone());
        }
        is_waiting && self.held.len() >= self.most
    }

    /// So many of the free bytes have passed.
    pub fn passed(&mut self, count: u64) {
        self.stage = match self.stage {
            Stage::Body(left) if left <= count => Stage::Head,
            Stage::Body(left) => Stage::Body(left - count),
            Stage::Chunk(left) if left <= count => Stage::ChunkEnd,
            Stage::Chunk(left) => Stage::Chunk(left - count),
            other => other,
        };
    }

    /// Whether a first head has come whole, or the preface of HTTP/2.
    pub fn has_begun(&self) -> bool {
        !self.is_first
    }

    /// Whether nothing more of what comes will be read.
    pub fn has_stopped(&self) -> bool {
        self.stage == Stage::Stopped
    }

    /// Whether that is because a body broke.
    pub fn has_broken(&self) -> bool {
        self.has_stopped() && self.notes.shared().broken.is_some()
    }

    /// Whether the client may still be sending what nobody reads.
    pub fn is_midway(&self) -> bool {
        !matches!(self.stage, Stage::Head | Stage::Raw)
    }

    /// Takes the next bytes and moves what may go on to `out`. A fault within a body is the error.
    pub fn push(&mut self, mut input: &[u8]) -> Result<(), Fault> {
        while !input.is_empty() {
            let free = usize::try_from(self.free()).unwrap_or(usize::MAX);
            if free > 0 {
                let (passing, rest) = input.split_at(free.min(input.len()));
                self.out.extend_from_slice(passing);
                self.passed(passing.len() as u64);
                input = rest;
                continue;
            }
            if self.stage == Stage::Stopped {
                return Ok(());
            }
            if self.is_waiting() {
                self.held.extend_from_slice(input);
                return Ok(());
            }
            let end = memchr::memchr(b'\n', input).map_or(input.len(), |at| at + 1);
            let (line, rest) = input.split_at(end);
            input = rest;
            self.held.extend_from_slice(line);
            match self.stage {
                Stage::Head => self.head(),
                Stage::ChunkEnd | Stage::ChunkSize | Stage::Trailers => {
                    if let Err(fault) = self.chunk() {
                        self.stage = Stage::Stopped;
                        self.notes.shared().broken = Some(fault);
                        return Err(fault);
                    }
                }
                Stage::Body(_) | Stage::Chunk(_) | Stage::Raw | Stage::Stopped => {}
            }
        }
        Ok(())
    }

    /// Looks at what is held of a head, up to the last line that came.
    fn head(&mut self) {
        if self.is_first && PREFACE.starts_with(&self.held) {
            if self.held.len() == PREFACE.len() {
                self.is_first = false;
                self.notes.shared().is_http_2 = true;
                self.stage = Stage::Raw;
                self.out.append(&mut self.held);
            }
            return;
        }
        // An empty line before a request is skipped (RFC 9112 §2.2), and does not travel.
        if self.held == b"\r\n" {
            self.held.clear();
            return;
        }
        let line = self.held.get(self.seen..).unwrap_or_default();
        if self.held.len() > self.most {
            return self.refuse(Fault::TOO_LARGE);
        }
        if !line.ends_with(b"\n") {
            return;
        }
        match strict::line(line) {
            Err(fault) => self.refuse(fault),
            Ok(b"") => self.whole_head(),
            Ok(_) => self.seen = self.held.len(),
        }
    }

    fn whole_head(&mut self) {
        let mut lines =
            self.held.split(|&b| b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
        let first = lines.next().unwrap_or_default();
        let fields = lines.take_while(|line| !line.is_empty());
        let mut upgrades =
            fields.clone().filter_map(|line| strict::field(line).ok()).map(|(name, _)| name);
        self.is_asking = upgrades.any(|name| name.eq_ignore_ascii_case(b"upgrade"));
        let (target, method_len, framing) = match strict::request_line(first)
            .and_then(|line| Ok((line, strict::fields(fields, line.is_1_1)?)))
        {
            Err(fault) => return self.refuse(fault),
            Ok((line, _)) if strict::is_too_long(line.target) => {
                return self.refuse(Fault::TOO_LONG);
            }
            Ok((line, framing)) => (line.target, line.method.len(), framing),
        };
        let note = match strict::nameable(target) {
            None => {
                self.out.append(&mut self.held);
                Note::default()
            }
            Some(named) => {
                let note = Note { target: Some(origin_form(target).to_owned()), fault: None };
                let after = method_len + 1 + target.len();
                self.out.extend_from_slice(self.held.get(..=method_len).unwrap_or_default());
                self.out.extend_from_slice(named.as_bytes());
                self.out.extend_from_slice(self.held.get(after..).unwrap_or_default());
                self.held.clear();
                note
            }
        };
        self.begin(note);
        self.stage = match framing {
            Framing::Chunked => Stage::ChunkSize,
            Framing::Length(0) => Stage::Head,
            Framing::Length(length) => Stage::Body(length),
        };
    }

    fn begin(&mut self, note: Note) {
        self.is_first = false;
        self.seen = 0;
        let mut shared = self.notes.shared();
        shared.begun += 1;
        shared.notes.push_back(note);
    }

    /// Hands on a request that can be refused where refusals are answered, and stops.
    fn refuse(&mut self, fault: Fault) {
        let end = memchr::memchr(b'\n', &self.held).unwrap_or(self.held.len().min(self.most));
        let first = self.held.get(..end).unwrap_or_default();
        let first = first.strip_suffix(b"\r").unwrap_or(first);
        let (method, target) = match strict::request_line(first) {
            Ok(line) if !strict::is_too_long(line.target) => {
                let named = strict::nameable(line.target);
                (line.method.to_owned(), named.unwrap_or_else(|| line.target.to_owned()))
            }
            // Which API it was for is the best that can be known of it.
            Ok(_) | Err(_) => {
                let mut words = first.split(|&b| b == b' ');
                let method = if words.next() == Some(b"HEAD") { "HEAD" } else { "GET" };
                let target = words.next().and_then(|word| std::str::from_utf8(word).ok());
                let path = target.and_then(|target| target.split(['?', '#']).next());
                let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~%".contains(c);
                let path = path.filter(|path| path.starts_with('/') && path.chars().all(plain));
                let path = path.filter(|path| !strict::is_too_long(path));
                (method.to_owned(), path.unwrap_or("/").to_owned())
            }
        };
        let head = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\n\r\n");
        self.out.extend_from_slice(head.as_bytes());
        self.held = Vec::new();
        self.begin(Note { target: None, fault: Some(fault) });
        self.stage = Stage::Stopped;
    }

    /// Looks at a line of chunked framing.
    fn chunk(&mut self) -> Result<(), Fault> {
        let most = if self.stage == Stage::Trailers { MOST_TRAILERS } else { MOST_CHUNK_LINE };
        if self.held.len() > most {
            return Err(Fault::TOO_LARGE);
        }
        let line = self.held.get(self.seen..).unwrap_or_default();
        if !line.ends_with(b"\n") {
            return match (self.stage, line) {
                (Stage::ChunkEnd, b"" | b"\r") => Ok(()),
                (Stage::ChunkEnd, _) => strict::line(b"\n").map(|_| ()),
                _ => Ok(()),
            };
        }
        let line = strict::line(line)?;
        let next = match self.stage {
            Stage::ChunkEnd if line.is_empty() => Stage::ChunkSize,
            Stage::ChunkSize => match strict::chunk_size(line)? {
                0 => Stage::Trailers,
                size => Stage::Chunk(size),
            },
            Stage::Trailers if line.is_empty() => Stage::Head,
            Stage::Trailers => {
                strict::field(line)?;
                self.seen = self.held.len();
                return Ok(());
            }
            _ => return strict::chunk_size(b"").map(|_| ()),
        };
        self.out.append(&mut self.held);
        self.seen = 0;
        self.stage = next;
        Ok(())
    }
}

/// Path and query of a target that may name a scheme and a host before them.
fn origin_form(target: &str) -> &str {
    if target.starts_with(['/', '*']) {
        return target;
    }
    let after = target.find("://").map_or(0, |at| at + 3);
    let rest = target.get(after..).unwrap_or_default();
    rest.find(['/', '?']).and_then(|at| rest.get(at..)).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What goes on of these bytes, pushed in pieces of that size, and the notes beside them.
    fn follow(bytes: &[u8], piece: usize) -> (Vec<u8>, Vec<Note>, Option<Fault>) {
        let notes = Notes::default();
        let mut follower = Follower::new(notes.clone(), 1 << 12);
        let broken = bytes.chunks(piece).find_map(|piece| follower.push(piece).err());
        let notes = notes.shared().notes.drain(..).collect();
        (follower.out, notes, broken)
    }

    #[test]
    fn sound_requests_pass_as_they_came_in_pieces_of_any_size() {
        let bytes = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 4\r\n\r\n\
            \n\r\n.PUT /c HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX-T: 1\r\n\r\n\
            GET /d HTTP/1.0\r\n\r\n";
        for piece in 1..bytes.len() {
            let (out, notes, broken) = follow(bytes, piece);
            assert_eq!(out, bytes, "{piece}");
            assert_eq!((notes.len(), broken), (4, None));
            assert!(notes.iter().all(|note| note.fault.is_none() && note.target.is_none()));
        }
    }

    #[test]
    fn a_refused_request_is_the_last_and_carries_nothing_of_its_fields() {
        let bytes = b"HEAD /a?b HTTP/1.1\r\nX: y\r\n folded\r\n\r\nGET /next HTTP/1.1\r\n\r\n";
        for piece in [1, 7, bytes.len()] {
            let (out, notes, _) = follow(bytes, piece);
            assert_eq!(out, b"HEAD /a?b HTTP/1.1\r\nconnection: close\r\n\r\n");
            assert!(notes.len() == 1 && notes[0].fault.is_some());
        }
    }

    #[test]
    fn a_target_that_cannot_be_named_goes_on_in_another_spelling() {
        let (out, notes, _) = follow(b"GET http://h/a?b=\"c\" HTTP/1.1\r\nA: b\r\n\r\n", 5);
        assert_eq!(out, b"GET http://h/a?b=%22c%22 HTTP/1.1\r\nA: b\r\n\r\n");
        assert_eq!(notes[0].target.as_deref(), Some("/a?b=\"c\""));
    }

    #[test]
    fn what_comes_while_an_upgrade_is_asked_for_waits_for_the_answer() {
        let ask = b"GET /a HTTP/1.1\r\nUpgrade: x\r\n\r\n";
        let next = b"GET /b?\"c\" HTTP/1.1\r\n\r\n";
        for piece in [1, 7, 1000] {
            let notes = Notes::default();
            let mut follower = Follower::new(notes.clone(), 1 << 12);
            let all = [&ask[..], next].concat();
            all.chunks(piece).for_each(|piece| follower.push(piece).unwrap());
            follower.resume();
            assert_eq!(follower.out, ask);
            notes.settle();
            follower.resume();
            assert_eq!(follower.out, [&ask[..], b"GET /b?%22c%22 HTTP/1.1\r\n\r\n"].concat());

            let notes = Notes::default();
            let mut follower = Follower::new(notes.clone(), 1 << 12);
            let all = [&ask[..], b"\0no HTTP\n\n"].concat();
            all.chunks(piece).for_each(|piece| follower.push(piece).unwrap());
            notes.release();
            assert_eq!(follower.free(), u64::MAX);
            assert_eq!(follower.out, all);
        }
        let mut follower = Follower::new(Notes::default(), 16);
        follower.push(b"GET / HTTP/1.1\r\n").unwrap();
        assert!(!follower.is_full(Waker::noop()));
        let mut follower = Follower::new(Notes::default(), 1 << 6);
        follower.push(&[&ask[..], &[0; 1 << 6]].concat()).unwrap();
        assert!(follower.is_full(Waker::noop()));
    }

    #[test]
    fn http_2_passes_from_its_preface_on() {
        let bytes = [PREFACE, &b"\0\n\nGET\x01"[..]].concat();
        for piece in 1..bytes.len() {
            assert_eq!(follow(&bytes, piece).0, bytes);
        }
    }
}
