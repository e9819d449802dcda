//! One line of the log: canonical JSON, linked to the line before it.
//!
//! ```text
//! line  = body ',"hash":"' hash '"}' LF
//! body  = '{"v":1,"seq":' number ',"prev":"' hash '","time":"' RFC 3339 '","kind":"' word '"' members
//! hash  = lower-case hexadecimal SHA-256 (FIPS 180-4) of the bytes of body
//! prev  = hash of the line before; sixty-four zeros in the first line
//! ```
//!
//! Members stand in a fixed order, without white space; what does not apply is left out. Because the
//! hash covers the bytes as they stand, nobody has to agree about JSON in order to check it.

use std::time::Duration;

use serde::Deserialize;

use crate::base::{clock::rfc3339, digest::Digest};

use super::event::{Entry, Event, Fate, Milestone, Notice, Outcome, Subject};

/// No line is longer, so that a reader's memory has a bound.
pub const MAX_LINE: usize = 1 << 20;

const SEAM: &[u8] = b",\"hash\":\"";
const HEX: usize = 64;

/// Where the chain stands: the number and the hash of its last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The number of the line; 0 before the first.
    pub seq: u64,
    /// Its hash.
    pub hash: Digest,
}

impl Link {
    /// Before the first line.
    pub const START: Self = Self { seq: 0, hash: Digest([0; 32]) };
}

/// What a line says: an entry, or something about the log itself.
#[derive(Debug)]
pub(super) enum Said {
    /// What somebody asked to have recorded.
    Entry(Entry),
    /// So many entries nobody waited for were left out, because the queue was full.
    Omitted(u64),
    /// A line that a crash had left unfinished was cut off; it had so many bytes.
    Recovered(u64),
    /// The log can be written again; so many entries were refused while it could not.
    Resumed(u64),
}

/// Appends the next line to `buffer` and says where the chain stands then.
pub(super) fn append(buffer: &mut Vec<u8>, after: Link, time: Duration, said: &Said) -> Link {
    let start = buffer.len();
    let seq = after.seq + 1;
    let mut body = Body(buffer);
    body.0.extend_from_slice(b"{\"v\":1");
    body.number("seq", seq);
    body.text("prev", &after.hash.to_string());
    body.text("time", &rfc3339(time));
    match said {
        Said::Entry(Entry::Exchange(event)) => exchange(&mut body, event),
        Said::Entry(Entry::Service(notice)) => service(&mut body, notice),
        Said::Omitted(count) => {
            body.text("kind", "omitted");
            body.number("count", *count);
        }
        Said::Recovered(bytes) => {
            body.text("kind", "recovered");
            body.number("bytes", *bytes);
        }
        Said::Resumed(count) => {
            body.text("kind", "resumed");
            body.number("count", *count);
        }
    }
    let hash = Digest::of(&[buffer.get(start..).unwrap_or_default()]);
    buffer.extend_from_slice(SEAM);
    buffer.extend_from_slice(hash.to_string().as_bytes());
    buffer.extend_from_slice(b"\"}\n");
    Link { seq, hash }
}

fn service(body: &mut Body<'_>, notice: &Notice) {
    body.text("kind", "service");
    body.text("milestone", notice.milestone.as_str());
    if let Milestone::KeyLog(entry) = notice.milestone {
        body.number("epoch", entry.epoch);
        body.text("op", entry.op);
        if let Some((ring, version)) = entry.version {
            body.text("ring", ring);
            body.number("key_version", version.into());
        }
    }
    body.text("version", env!("CARGO_PKG_VERSION"));
    body.text("policy", &notice.policy.to_string());
}

fn exchange(body: &mut Body<'_>, event: &Event) {
    body.text("kind", "exchange");
    body.text("request", &event.request.to_string());
    body.text("phase", event.phase.as_str());
    if let Some(who) = &event.who {
        body.text("caller", who.name.as_str());
        body.text("via", who.via);
    }
    if let Some(action) = &event.action {
        body.text("api", action.api.as_str());
        if let Some((verb, subject)) = &action.subject {
            body.text("verb", verb.as_str());
            match subject {
                Subject::Entity(name) => body.text("entity", name.as_str()),
                Subject::Function(name) => body.text("function", name.as_str()),
                Subject::OpenRoute(name) => {
                    body.text("entity", name.as_str());
                    body.text("passed", "untouched");
                }
                Subject::Service => body.text("entity", "service"),
                Subject::UndeclaredEntity => body.text("entity", "undeclared"),
                Subject::UndeclaredFunction => body.text("function", "undeclared"),
            }
        }
    }
    match event.outcome {
        Outcome::Answered(status) => body.number("status", status.into()),
        Outcome::Pending => {}
        Outcome::Refused(code) => body.text("refusal", code.number()),
        Outcome::Withheld(status, code) => {
            body.number("status", status.into());
            body.text("refusal", code.number());
        }
    }
    counts(body, event);
    body.text("policy", &event.policy.to_string());
    body.number("micros", u64::try_from(event.latency.as_micros()).unwrap_or(u64::MAX));
}

fn counts(body: &mut Body<'_>, event: &Event) {
    let counts = &event.counts;
    if !counts.classes.is_empty() {
        body.key("classes");
        for (i, (class, by_fate)) in counts.classes.iter().enumerate() {
            body.0.push(if i == 0 { b'{' } else { b',' });
            body.quote(class.as_str());
            body.0.extend_from_slice(b":{");
            let shown = Fate::ALL.iter().filter(|fate| by_fate.of(**fate) > 0);
            for (j, fate) in shown.enumerate() {
                let comma = if j == 0 { "" } else { "," };
                let pair = format!("{comma}\"{}\":{}", fate.as_str(), by_fate.of(*fate));
                body.0.extend_from_slice(pair.as_bytes());
            }
            body.0.push(b'}');
        }
        body.0.push(b'}');
    }
    if counts.strays_passed > 0 {
        body.number("strays_passed", counts.strays_passed);
    }
    if !counts.kids.is_empty() {
        body.key("kids");
        for (i, kid) in counts.kids.iter().enumerate() {
            body.0.push(if i == 0 { b'[' } else { b',' });
            body.quote(&kid.to_string());
        }
        body.0.push(b']');
    }
    if !counts.key_states.is_empty() {
        body.key("key_states");
        for (i, state) in counts.key_states.iter().enumerate() {
            body.0.push(if i == 0 { b'[' } else { b',' });
            body.quote(state);
        }
        body.0.push(b']');
    }
}

/// Writes members in the order of the calls. The opening brace and the version stand already.
struct Body<'a>(&'a mut Vec<u8>);

impl Body<'_> {
    fn key(&mut self, key: &'static str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn number(&mut self, key: &'static str, number: u64) {
        self.key(key);
        self.0.extend_from_slice(number.to_string().as_bytes());
    }

    fn text(&mut self, key: &'static str, text: &str) {
        self.key(key);
        self.quote(text);
    }

    fn quote(&mut self, text: &str) {
        self.0.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
}

/// What a reader needs of a line whose hash is right.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Where the chain stands after it.
    pub link: Link,
    /// The hash it says the line before has.
    pub prev: Digest,
    /// When it was written.
    pub time: String,
}

/// The text is not a line, or is not the line that its hash was made of.
#[derive(Debug, thiserror::Error)]
#[error("the line does not match its own hash")]
pub(super) struct NotALine;

/// Reads a line without its line feed.
pub(super) fn read(text: &[u8]) -> Result<Line, NotALine> {
    #[derive(Deserialize)]
    struct Raw<'a> {
        v: u32,
        seq: u64,
        prev: &'a str,
        time: &'a str,
    }
    let open = text.strip_suffix(b"\"}").ok_or(NotALine)?;
    let (rest, hex) = open.split_at_checked(open.len().wrapping_sub(HEX)).ok_or(NotALine)?;
    let body = rest.strip_suffix(SEAM).ok_or(NotALine)?;
    let hash = Digest::of(&[body]);
    if hash.to_string().as_bytes() != hex {
        return Err(NotALine);
    }
    let raw: Raw<'_> = serde_json::from_slice(text).map_err(|_| NotALine)?;
    if raw.v != 1 {
        return Err(NotALine);
    }
    let prev = Digest::parse(raw.prev).ok_or(NotALine)?;
    Ok(Line { link: Link { seq: raw.seq, hash }, prev, time: raw.time.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use crate::{
        audit::event::{Action, ClassCounts, Counts, Phase, Who},
        base::{
            ident::{ApiName, CallerName, ClassName, EntityName, Kid, RequestId},
            refusal::Code,
        },
        model::Verb,
    };

    use super::*;

    fn event() -> Event {
        let counts = ClassCounts { opened: 3, failed: 1, ..ClassCounts::default() };
        Event {
            request: RequestId(0xab),
            phase: Phase::Whole,
            who: Some(Who { name: CallerName::new("li\"ms"), via: "certificate" }),
            action: Some(Action {
                api: ApiName::new("lims-db"),
                subject: Some((Verb::Read, Subject::Entity(EntityName::new("public.patients")))),
            }),
            outcome: Outcome::Withheld(200, Code::Integrity),
            counts: Counts {
                classes: BTreeMap::from([(ClassName::new("mrn"), counts)]),
                strays_passed: 2,
                kids: BTreeSet::from([Kid([1, 2, 3, 4, 5])]),
                key_states: BTreeSet::new(),
            },
            policy: Digest([7; 32]),
            latency: Duration::from_micros(1_234),
        }
    }

    #[test]
    fn an_event_is_spelled_in_one_way() {
        let mut buffer = Vec::new();
        let said = Said::Entry(event().into());
        let link = append(&mut buffer, Link::START, Duration::from_millis(951_782_400_500), &said);
        let text = String::from_utf8(buffer).unwrap();
        let body = concat!(
            r#"{"v":1,"seq":1,"#,
            r#""prev":"0000000000000000000000000000000000000000000000000000000000000000","#,
            r#""time":"2000-02-29T00:00:00.500Z","kind":"exchange","request":"00000000000000ab","#,
            r#""phase":"whole","caller":"li\"ms","via":"certificate","api":"lims-db","verb":"read","#,
            r#""entity":"public.patients","status":200,"refusal":"LS501","#,
            r#""classes":{"mrn":{"opened":3,"failed":1}},"strays_passed":2,"kids":["0102030405"],"#,
            r#""policy":"0707070707070707070707070707070707070707070707070707070707070707","#,
            r#""micros":1234"#
        );
        assert_eq!(text, format!("{body},\"hash\":\"{}\"}}\n", Digest::of(&[body.as_bytes()])));
        let line = read(text.trim_end().as_bytes()).unwrap();
        assert_eq!((line.link, line.prev), (link, Link::START.hash));
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }

    #[test]
    fn a_line_with_any_byte_changed_or_cut_is_not_a_line() {
        let mut buffer = Vec::new();
        append(&mut buffer, Link::START, Duration::ZERO, &Said::Entry(event().into()));
        buffer.pop();
        assert!(read(&buffer).is_ok());
        for i in 0..buffer.len() {
            let mut edited = buffer.clone();
            edited[i] ^= 1;
            assert!(read(&edited).is_err(), "byte {i}");
            assert!(read(&buffer[..i]).is_err(), "cut at {i}");
        }
    }
}
