//! The headers that decide what comes back: `Accept`, `Prefer` and the profiles.

use http::{HeaderMap, HeaderName, header::ACCEPT};

use crate::{
    base::refusal::{Code, Refusal},
    model::{Cells, Format, Formats},
};

/// What the server reads, and how it writes CSV.
pub(super) const FORMATS: Formats =
    Formats { request: &[Format::Csv, Format::Json, Format::Urlencoded], cells: Cells::Record };

/// What an answer will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Rows as CSV.
    Csv,
    /// Rows as JSON.
    Json,
    /// A query plan, which holds no values but those of the request.
    Plan,
    /// A format in which fields cannot be found.
    Unreadable,
}

/// What the server will choose among the formats that the request accepts.
pub(super) fn answer(headers: &HeaderMap) -> Answer {
    chosen(headers).map_or(Answer::Unreadable, |(answer, _)| answer)
}

/// Whether the answer will be an array of records as they are, with their nulls.
pub(super) fn is_plain_array(headers: &HeaderMap) -> bool {
    chosen(headers).is_some_and(|(_, media)| {
        matches!(media.as_str(), "*/*" | "application/*" | "application/json")
    })
}

/// The format that the server will choose, and the range that it answers.
fn chosen(headers: &HeaderMap) -> Option<(Answer, String)> {
    let mut ranges = Vec::new();
    for value in headers.get_all(ACCEPT) {
        // A header that is not text accepts nothing that we know.
        ranges.extend(elements(value.to_str().ok()?).into_iter().filter_map(range));
    }
    if ranges.is_empty() && !headers.contains_key(ACCEPT) {
        return Some((Answer::Json, "*/*".to_owned()));
    }
    // By quality, then the more specific first, then as they came: the sort is stable.
    ranges.sort_by_key(|range| std::cmp::Reverse((range.quality, range.specific)));
    ranges.into_iter().find_map(|range| Some((known(&range.media)?, range.media)))
}

/// Whether a request asks for a count of its records. Whatever could be such a wish is one.
pub(super) fn counts(headers: &HeaderMap) -> bool {
    let text = |value: &http::HeaderValue| {
        String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase().contains("count")
    };
    headers.get_all("prefer").iter().any(text)
}

fn known(media: &str) -> Option<Answer> {
    match media {
        "*/*" | "application/*" | "application/json" => Some(Answer::Json),
        "application/vnd.pgrst.object" | "application/vnd.pgrst.object+json" => Some(Answer::Json),
        "application/vnd.pgrst.array" | "application/vnd.pgrst.array+json" => Some(Answer::Json),
        "text/csv" => Some(Answer::Csv),
        "application/geo+json" => Some(Answer::Unreadable),
        plan if plan.starts_with("application/vnd.pgrst.plan") => Some(Answer::Plan),
        // The server passes over what it cannot make; what it does make is judged by its own type.
        _ => None,
    }
}

struct MediaRange {
    media: String,
    /// In thousandths.
    quality: u16,
    specific: u8,
}

fn range(element: &str) -> Option<MediaRange> {
    let mut parts = element.split(';').map(str::trim);
    let media = parts.next().filter(|media| !media.is_empty())?.to_ascii_lowercase();
    let quality = parts
        .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
        .map_or(1_000, |q| q.parse::<f32>().map_or(1_000, |q| (q.clamp(0.0, 1.0) * 1e3) as u16));
    let specific = 2 - media.matches('*').count().min(2) as u8;
    (quality > 0).then_some(MediaRange { media, quality, specific })
}

/// The elements of a comma-separated header; a comma within quotes separates nothing.
fn elements(value: &str) -> Vec<&str> {
    let mut quoted = false;
    value
        .split(|c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        })
        .map(str::trim)
        .collect()
}

/// Whether a write answers with the records that it wrote.
pub(super) fn wants_representation(headers: &HeaderMap) -> bool {
    prefers(headers, "return=representation")
}

/// Whether a creation changes records that are there already.
pub(super) fn merges_duplicates(headers: &HeaderMap) -> bool {
    prefers(headers, "resolution=merge-duplicates")
}

/// Whether `Prefer` lists something that begins so.
pub(super) fn prefers(headers: &HeaderMap, beginning: &str) -> bool {
    let begins = |part: &str| {
        let part = part.trim().as_bytes();
        part.get(..beginning.len())
            .is_some_and(|part| part.eq_ignore_ascii_case(beginning.as_bytes()))
    };
    headers
        .get_all("prefer")
        .iter()
        .any(|value| String::from_utf8_lossy(value.as_bytes()).split(',').any(begins))
}

/// Whether points in time are asked for, and read, in another zone than UTC.
pub(super) fn is_zoned(headers: &HeaderMap) -> bool {
    let is_utc = ["timezone=utc", "timezone=etc/utc", "timezone=gmt"];
    headers.get_all("prefer").iter().any(|value| {
        let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        value
            .split(',')
            .map(str::trim)
            .any(|part| part.starts_with("timezone") && !is_utc.contains(&part))
    })
}

/// The schema that a request names.
pub(super) fn profile<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str() {
            Ok(schema) => Ok(Some(schema)),
            Err(_) => Err(Code::UnsupportedHeader.into()),
        },
        // Which of two the server follows is nothing to guess at.
        (Some(_), Some(_)) => Err(Code::UnsupportedHeader.into()),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn format(accept: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
        answer(&headers)
    }

    #[test]
    fn the_format_is_the_one_that_the_server_chooses() {
        assert_eq!(answer(&HeaderMap::new()), Answer::Json);
        for (accept, expected) in [
            ("application/json, text/plain, */*", Answer::Json),
            ("text/html,application/xml;q=0.9,*/*;q=0.8", Answer::Json),
            ("application/vnd.pgrst.object+json", Answer::Json),
            ("application/vnd.pgrst.array+json;nulls=stripped", Answer::Json),
            ("text/csv;q=0.5, application/json", Answer::Json),
            ("application/json;q=0.5, text/csv", Answer::Csv),
            ("text/csv, application/json", Answer::Csv),
            ("application/geo+json, text/csv", Answer::Unreadable),
            ("application/json;q=0", Answer::Unreadable),
            ("text/html", Answer::Unreadable),
            ("application/vnd.pgrst.plan+json; for=\"text/csv, x\"", Answer::Plan),
        ] {
            assert_eq!(format(accept), expected, "{accept}");
        }
    }
}
