//! HTTP/1.1 messages as bytes, for both ends: no library, so no library's opinion.

use std::io::{self, Read};

/// A message: its first line, its headers as they came, its body without framing.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The request or status line.
    pub start: String,
    /// Names and values as they came, in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Every byte, as it came.
    pub raw: Vec<u8>,
}

impl Message {
    /// The first header of that name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| &**v)
    }

    /// All values of that name, whatever its case.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| &**value).collect()
    }

    /// The body as text, with replacement characters where it is not.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}: {}", self.start, self.text()))
    }
}

/// What follows a head.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// Nothing, whatever the headers say: an answer to HEAD, a 204, a 304.
    Nothing,
    /// What the headers say, and nothing if they say nothing: a request.
    Said,
    /// What the headers say, and all up to the end if they say nothing: an answer.
    ToTheEnd,
}

/// Reads messages from one end of a connection.
pub struct Reader<R> {
    from: R,
    buffer: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Reads from `from`.
    pub fn new(from: R) -> Self {
        Self { from, buffer: Vec::new() }
    }

    /// What it reads from.
    pub fn source(&mut self) -> &mut R {
        &mut self.from
    }

    /// The next message, or `None` if the connection ended before it.
    pub fn message(
        &mut self,
        follows: impl Fn(&Message) -> Follows,
    ) -> io::Result<Option<Message>> {
        let head = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break self.take(end + 4);
            }
            if self.more()? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(cut("the head")),
                };
            }
        };
        let mut message = parse_head(&head);
        message.raw = head;
        let follows = follows(&message);
        let coded = message.values("transfer-encoding").concat().to_ascii_lowercase();
        let length = message.header("content-length").map(str::to_owned);
        if follows == Follows::Nothing {
        } else if coded.contains("chunked") {
            self.chunked(&mut message)?;
        } else if let Some(length) = length {
            let length = length.parse().map_err(|_| cut("Content-Length"))?;
            self.exactly(&mut message, length)?;
        } else if follows == Follows::ToTheEnd {
            while self.more()? > 0 {}
            let rest = self.take(self.buffer.len());
            message.raw.extend(&rest);
            message.body = rest;
        }
        Ok(Some(message))
    }

    fn exactly(&mut self, message: &mut Message, length: usize) -> io::Result<()> {
        while self.buffer.len() < length {
            if self.more()? == 0 {
                return Err(cut("a body of known length"));
            }
        }
        message.body = self.take(length);
        message.raw.extend(&message.body);
        Ok(())
    }

    fn chunked(&mut self, message: &mut Message) -> io::Result<()> {
        loop {
            let line = self.line(message)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| cut("a chunk size"))?;
            if size == 0 {
                while !self.line(message)?.is_empty() {}
                return Ok(());
            }
            while self.buffer.len() < size + 2 {
                if self.more()? == 0 {
                    return Err(cut("a chunk"));
                }
            }
            let chunk = self.take(size + 2);
            message.raw.extend(&chunk);
            message.body.extend(&chunk[..size]);
        }
    }

    fn line(&mut self, message: &mut Message) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = self.take(end + 2);
                message.raw.extend(&line);
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if self.more()? == 0 {
                return Err(cut("the end of the chunks"));
            }
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(count);
        std::mem::replace(&mut self.buffer, rest)
    }

    fn more(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16 * 1024];
        let count = self.from.read(&mut piece)?;
        self.buffer.extend(&piece[..count]);
        Ok(count)
    }
}

fn cut(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the connection ended in {what}"))
}

fn parse_head(head: &[u8]) -> Message {
    // Latin-1, so that every byte is some character.
    let text: String = head.iter().map(|&byte| char::from(byte)).collect();
    let mut lines = text.split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    Message { start, headers, body: Vec::new(), raw: Vec::new() }
}

/// Where `needle` first stands in `haystack`.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}
