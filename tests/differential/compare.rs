//! Whether two answers are the same.
//!
//! Without `order`, a database answers rows as it likes, and likes other indexes where columns are
//! sealed. So where no order was asked for, an array is a set.

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{ask::Ask, forms, kit::Answer};

/// Headers that mean something to a client.
const HEADERS: [&str; 9] = [
    "Allow",
    "Content-Location",
    "Content-Profile",
    "Content-Range",
    "Content-Type",
    "Labseal-Error",
    "Location",
    "Preference-Applied",
    "Range-Unit",
];

/// Every difference between the two answers to a request.
pub fn differences(ask: &Ask, direct: &Answer, sealed: &Answer) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, direct: &str, sealed: &str| {
        if direct != sealed {
            found.push(format!("{what}:\n    direct  {direct}\n    labseal {sealed}"));
        }
    };
    differ("status", &direct.start, &sealed.start);
    for header in HEADERS {
        differ(header, &direct.values(header).join(" | "), &sealed.values(header).join(" | "));
    }
    let (direct, sealed) = (direct.text(), sealed.text());
    if direct != sealed && !same(ask, &direct, &sealed) {
        differ("body", &direct, &sealed);
    }
    found
}

fn same(ask: &Ask, direct: &str, sealed: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<Json>(text).ok();
    let (direct_json, sealed_json) = (read(direct), read(sealed));
    if let (Some(direct), Some(sealed)) = (&direct_json, &sealed_json)
        && let (Some(direct), Some(sealed)) = (direct.error(), sealed.error())
    {
        return same_error(direct, sealed);
    }
    if ask.header("Accept") == Some("text/csv") {
        // Embedded records are JSON in a cell.
        let cell = |text: String| match serde_json::from_str::<Json>(&text) {
            Ok(json @ (Json::List(_) | Json::Object(_))) => format!("{:?}", json.settled(false)),
            Ok(Json::Atom(_)) | Err(_) => text,
        };
        let lines = |text: &str| {
            let rows = forms::cells(text).into_iter();
            let mut rows: Vec<Vec<_>> =
                rows.map(|row| row.into_iter().map(cell).collect()).collect();
            if !ask.is_ordered() {
                rows.sort();
            }
            rows
        };
        return lines(direct) == lines(sealed);
    }
    let (Some(direct), Some(sealed)) = (direct_json, sealed_json) else { return false };
    direct.settled(ask.is_ordered()) == sealed.settled(ask.is_ordered())
}

/// JSON with the order and the spelling of everything in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Json {
    Atom(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// With arrays in an order of their own, except for the outermost if `ordered`.
    fn settled(self, ordered: bool) -> Self {
        match self {
            Self::Atom(_) => self,
            Self::List(all) => {
                let mut all: Vec<_> = all.into_iter().map(|one| one.settled(false)).collect();
                if !ordered {
                    all.sort();
                }
                Self::List(all)
            }
            Self::Object(all) => {
                Self::Object(all.into_iter().map(|(key, one)| (key, one.settled(false))).collect())
            }
        }
    }

    /// The members of an error.
    fn error(&self) -> Option<&[(String, Self)]> {
        match self {
            Self::Object(all) => {
                let keys: Vec<_> = all.iter().map(|(key, _)| &**key).collect();
                (keys == ["code", "details", "hint", "message"]).then_some(all)
            }
            Self::Atom(_) | Self::List(_) => None,
        }
    }
}

/// A row that failed a check is shown cut, so nothing of it can be opened; and who still refers to
/// a row is told with a value that this request did not write.
fn same_error(direct: &[(String, Json)], sealed: &[(String, Json)]) -> bool {
    let code = match &direct[0].1 {
        Json::Atom(code) => code.trim_matches('"'),
        Json::List(_) | Json::Object(_) => return false,
    };
    direct.iter().zip(sealed).all(|((_, direct), (key, sealed))| {
        let (Json::Atom(direct), Json::Atom(sealed)) = (direct, sealed) else { return false };
        // A position is counted in the text that the server got, which is longer.
        if code == "PGRST100" && key == "message" {
            let before = |text: &str| text.rsplit_once("column ").map(|(text, _)| text.to_owned());
            return before(direct) == before(sealed);
        }
        // Whichever row it came to first.
        if code == "22P02" && (key == "message" || key == "details" && direct.contains("Token")) {
            let before = |text: &str| text.split([':', '\\']).next().map(str::to_owned);
            return before(direct) == before(sealed);
        }
        let masks = match code {
            "23502" | "23514" => true,
            "23503" => direct.contains("is still referenced"),
            _ => false,
        };
        // What a row shows of a boolean is `t` or `f`, and of a time a space.
        let spelled = |text: &str| {
            let text = text.replace("[sealed]...", "[sealed]").replace("T00:", " 00:");
            let text = text.replace("T10:", " 10:");
            text.replace(" true,", " t,").replace(" false,", " f,")
        };
        direct == sealed || masks && key == "details" && fits(&spelled(sealed), &spelled(direct))
    })
}

/// Whether a text is another with `[sealed]` in place of some of it.
fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split("[sealed]");
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces = pieces.peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let inner = |text| {
            let mut inner = serde_json::Deserializer::from_str(text);
            serde::Deserializer::deserialize_any(&mut inner, Members)
        };
        match raw.as_bytes().first() {
            Some(b'{' | b'[') => inner(raw).map_err(serde::de::Error::custom),
            _ => Ok(Self::Atom(raw.to_owned())),
        }
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Json;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array or object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Json, A::Error> {
        let mut found = Vec::new();
        while let Some(one) = all.next_element()? {
            found.push(one);
        }
        Ok(Json::List(found))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut all: A) -> Result<Json, A::Error> {
        let mut found = Vec::new();
        while let Some(one) = all.next_entry()? {
            found.push(one);
        }
        Ok(Json::Object(found))
    }
}

#[test]
fn arrays_without_an_order_are_sets_and_spelling_counts() {
    let read = |text: &str| serde_json::from_str::<Json>(text).unwrap();
    let (one, other) =
        (read(r#"[{"a":1.0,"b":[2,1]},{"a":3}]"#), read(r#"[{"a":3},{"a":1.0,"b":[1,2]}]"#));
    assert_eq!(one.clone().settled(false), other.clone().settled(false));
    assert_ne!(one.settled(true), other.settled(true));
    assert_ne!(read(r#"{"a":1.0}"#), read(r#"{"a":1.00}"#));
    assert_ne!(read(r#"{"a":1,"b":2}"#), read(r#"{"b":2,"a":1}"#));
    assert!(fits("(1, [sealed], [sealed], A)", "(1, a, b), c, A)"));
    assert!(!fits("(1, [sealed], A)", "(1, a, B)"));
}
