//! The strict reading of an HTTP/1 head: what two readers could read differently is a [`Fault`].
//!
//! Pure functions over bytes (RFC 9112 §2–§7). The HTTP library is lenient where the RFC lets it be;
//! a message that labseal and the server behind it read differently is how requests are smuggled, so
//! everything of doubtful meaning is refused here, before the library sees it. [`super::heads`] calls
//! this for every head, chunk and trailer that comes in.

use crate::base::refusal::{Code, Refusal};

/// What is wrong with a head or a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    code: Code,
    about: &'static str,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::new(fault.code).by(fault.about)
    }
}

impl Fault {
    /// A head with more bytes or fields than are taken.
    pub const TOO_LARGE: Self = Self { code: Code::HeadTooLarge, about: "head" };
    /// A target longer than can be named.
    pub const TOO_LONG: Self = Self { code: Code::TargetTooLong, about: "target" };

    const fn framing(about: &'static str) -> Self {
        Self { code: Code::AmbiguousFraming, about }
    }

    const fn target(about: &'static str) -> Self {
        Self { code: Code::MalformedTarget, about }
    }
}

/// How the end of a request body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By chunks.
    Chunked,
    /// By its length; 0 if there is no body.
    Length(u64),
}

/// The longest target that the HTTP library takes.
const LONGEST_TARGET: usize = u16::MAX as usize - 1;

/// The most fields of a head.
pub const MOST_FIELDS: usize = 100;

/// The first line of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLine<'a> {
    /// The method.
    pub method: &'a str,
    /// The target as it came.
    pub target: &'a str,
    /// Whether the version is 1.1, not 1.0.
    pub is_1_1: bool,
}

/// Reads the request line, without its line end.
pub fn request_line(line: &[u8]) -> Result<RequestLine<'_>, Fault> {
    const BAD: Fault = Fault::framing("request line");
    let mut parts = line.splitn(2, |&b| b == b' ');
    let (Some(method), Some(rest)) = (parts.next(), parts.next()) else { return Err(BAD) };
    let at = rest.iter().rposition(|&b| b == b' ').ok_or(BAD)?;
    let (target, version) = (rest.get(..at).ok_or(BAD)?, rest.get(at + 1..).ok_or(BAD)?);
    let is_1_1 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        _ => return Err(BAD),
    };
    if method.is_empty() || !method.iter().all(|&b| is_token(b)) {
        return Err(BAD);
    }
    let method = std::str::from_utf8(method).map_err(|_| BAD)?;
    let target = std::str::from_utf8(target).map_err(|_| Fault::target("a byte not in UTF-8"))?;
    if target.is_empty() {
        return Err(BAD);
    }
    for byte in target.bytes() {
        match byte {
            b' ' => return Err(Fault::target("a raw space")),
            // It would begin a fragment, which is never sent: who cuts it off reads another target.
            b'#' => return Err(Fault::target("a raw #")),
            0..=0x1f | 0x7f => return Err(Fault::target("a control character")),
            _ => {}
        }
    }
    // A path, a whole address, or the server itself; for CONNECT there is a form of its own.
    let is_known = match target.as_bytes() {
        [b'/', ..] | b"*" => true,
        _ if method == "CONNECT" => true,
        _ => target.contains("://") && (is_too_long(target) || is_address(target)),
    };
    if is_known { Ok(RequestLine { method, target, is_1_1 }) } else { Err(BAD) }
}

/// Whether a target that names a host can be named, in another spelling perhaps.
fn is_address(target: &str) -> bool {
    let named = nameable(target);
    named.as_deref().unwrap_or(target).parse::<http::Uri>().is_ok()
}

/// Checks the fields of a request, given as lines without their ends, and says how its body is
/// framed.
pub fn fields<'a>(lines: impl Iterator<Item = &'a [u8]>, is_1_1: bool) -> Result<Framing, Fault> {
    let (mut length, mut chunked, mut has_host) = (None, false, false);
    for (count, line) in lines.enumerate() {
        if count == MOST_FIELDS {
            return Err(Fault::TOO_LARGE);
        }
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            const BAD: Fault = Fault::framing("Content-Length");
            if length.is_some() {
                return Err(BAD);
            }
            length = Some(decimal(value).ok_or(BAD)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !is_1_1 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::framing("Transfer-Encoding"));
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case(b"host") && std::mem::replace(&mut has_host, true) {
            return Err(Fault::framing("Host"));
        }
    }
    match (length, chunked) {
        (Some(_), true) => Err(Fault::framing("Content-Length beside Transfer-Encoding")),
        (None, true) => Ok(Framing::Chunked),
        (length, false) => Ok(Framing::Length(length.unwrap_or(0))),
    }
}

/// Name and value of one field line; folded lines are refused.
pub fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Fault::framing("a folded field"));
    }
    let colon = line.iter().position(|&b| b == b':').ok_or(Fault::framing("a field"))?;
    let (name, value) = line.split_at(colon);
    // A space before the colon is no token character.
    if name.is_empty() || !name.iter().all(|&b| is_token(b)) {
        return Err(Fault::framing("a field name"));
    }
    let value = value.get(1..).unwrap_or_default();
    if value.iter().any(|&b| matches!(b, 0..=8 | 10..=0x1f | 0x7f)) {
        return Err(Fault::framing("a field value"));
    }
    // RFC 9110 §5.6.3: white space is space and tab, and nothing else.
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let from = value.iter().position(|b| !blank(b)).unwrap_or(value.len());
    let to = value.iter().rposition(|b| !blank(b)).map_or(from, |at| at + 1);
    Ok((name, value.get(from..to).unwrap_or_default()))
}

/// The size in a chunk's first line, without its end; extensions must be well formed.
pub fn chunk_size(line: &[u8]) -> Result<u64, Fault> {
    const BAD: Fault = Fault::framing("a chunk");
    let end = line.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, extensions) = line.split_at(end);
    if digits.is_empty() || digits.len() > 15 || !are_extensions(extensions) {
        return Err(BAD);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| BAD)?;
    u64::from_str_radix(digits, 16).map_err(|_| BAD)
}

/// `*( ";" token [ "=" ( token / quoted-string ) ] )`, RFC 9112 §7.1.1 without its bad white space.
fn are_extensions(mut rest: &[u8]) -> bool {
    let token = |bytes: &[u8]| bytes.iter().position(|&b| !is_token(b)).unwrap_or(bytes.len());
    while let [b';', after @ ..] = rest {
        let end = token(after);
        if end == 0 {
            return false;
        }
        rest = after.get(end..).unwrap_or_default();
        match rest {
            [b'=', b'"', quoted @ ..] => match quoted_end(quoted) {
                Some(end) => rest = quoted.get(end..).unwrap_or_default(),
                None => return false,
            },
            [b'=', value @ ..] => {
                let end = token(value);
                if end == 0 {
                    return false;
                }
                rest = value.get(end..).unwrap_or_default();
            }
            _ => {}
        }
    }
    rest.is_empty()
}

/// Where what follows a quoted string begins.
fn quoted_end(bytes: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            _ if byte != b'\t' && (byte < 0x20 || byte == 0x7f) => return None,
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Digits alone: no sign, no list.
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// A line without its end, if that is CR LF and no other CR is in it.
pub fn line(line_and_lf: &[u8]) -> Result<&[u8], Fault> {
    match line_and_lf {
        [line @ .., b'\r', b'\n'] if !line.contains(&b'\r') => Ok(line),
        _ => Err(Fault::framing("a line end")),
    }
}

/// Whether a byte may stand in a token (RFC 9110 §5.6.2).
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether the HTTP library can take a target of this length, however it is spelled.
pub fn is_too_long(target: &str) -> bool {
    // The other spelling is at most three times as long.
    let is_long = || nameable(target).map_or(target.len(), |named| named.len()) > LONGEST_TARGET;
    target.len() > LONGEST_TARGET / 3 && is_long()
}

/// The target in a spelling that the HTTP library can name: what it cannot is percent-encoded.
/// `None` if it can name all of it.
pub fn nameable(target: &str) -> Option<String> {
    let is_nameable =
        |byte: u8| !matches!(byte, b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | b'|' | b'\\' | b'^');
    let accepted = |target: &str| target.parse::<http::Uri>().is_ok();
    if target.bytes().all(is_nameable) && target.is_ascii() || accepted(target) {
        return None;
    }
    let mut encoded = String::with_capacity(target.len() + 16);
    for character in target.chars() {
        let byte = u8::try_from(character).unwrap_or(b'x');
        match character.is_ascii() && !is_nameable(byte) {
            true => encoded.push_str(&format!("%{byte:02X}")),
            false => encoded.push(character),
        }
    }
    Some(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes_are_hexadecimal_and_extensions_well_formed() {
        for (line, size) in
            [("0", 0), ("a", 10), ("00F", 15), ("1;x", 1), ("2;x=1;y=\"a;\\\"b\"", 2)]
        {
            assert_eq!(chunk_size(line.as_bytes()), Ok(size), "{line}");
        }
        for line in [
            "",
            "-1",
            "+1",
            "0x1",
            "1 ",
            " 1",
            "1;",
            "1;=x",
            "1;x=",
            "1;x=\"",
            "1 ;x",
            "g",
            "1_0",
            "fffffffffffffffff",
            "1;x=\"a\"b",
            "1;x\ty",
        ] {
            assert!(chunk_size(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn targets_of_no_known_form_are_refused_here_and_not_by_the_library() {
        let read = |line: &str| request_line(line.as_bytes()).map(|line| line.target.to_owned());
        for target in ["/", "*", "//a", "http://h/a\"b", "http://h:80?x", "http://h"] {
            assert_eq!(read(&format!("GET {target} HTTP/1.1")).as_deref(), Ok(target));
        }
        for target in ["a", "a/b", "?x", "h:80", "*x", "http://", "http://h\"x/", "a?b=http://h/"] {
            assert!(read(&format!("GET {target} HTTP/1.1")).is_err(), "{target}");
        }
        assert!(read("CONNECT h:80 HTTP/1.1").is_ok());
    }

    #[test]
    fn a_target_is_respelled_only_where_it_cannot_be_named() {
        assert_eq!(nameable("/a?b=\"c\"<d>"), Some("/a?b=%22c%22%3Cd%3E".to_owned()));
        for target in ["/a%22?b='c'", "/", "*", "http://h/a?b", "/é?ü"] {
            assert_eq!(nameable(target), None, "{target}");
        }
        for target in ["/`^|\\{}", "/?`^|\\{}\"<>", "/a\"b<c>", "http://h/\"?<"] {
            let named = nameable(target).unwrap_or(target.to_owned());
            assert!(named.parse::<http::Uri>().is_ok(), "{target} {named}");
        }
    }
}
