//! Whether an answer is a whole list, and what its headers say once it was filtered or ordered here.
//!
//! # Why
//! `db-max-rows` cuts answers without saying so, unless a count is asked for: so it is, and what an
//! answer says of it is taken out again. Tried against PostgREST 12.0.2. (2026-11)

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_LOCATION, CONTENT_RANGE},
};

use super::echo;
use crate::dialect::{Records, text};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const COUNT: &str = "count=exact";

/// Asks for the count of all records.
pub(super) fn ask(headers: &mut HeaderMap) {
    headers.append(PREFER, HeaderValue::from_static(COUNT));
}

/// Whether the range of an answer is all that there is.
pub(super) fn is_said(status: StatusCode, headers: &HeaderMap) -> bool {
    let range = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let Some((range, total)) = range.and_then(|range| range.split_once('/')) else { return false };
    let Ok(total) = total.parse::<u64>() else { return false };
    let is_all = match range.split_once('-') {
        None => range == "*" && total == 0,
        Some((first, last)) => {
            first == "0" && last.parse::<u64>().is_ok_and(|last| last.checked_add(1) == Some(total))
        }
    };
    status == StatusCode::OK && is_all
}

/// Takes out what was asked for here alone, and says what was answered here.
pub(super) fn restate(asked: &str, sent: &str, records: Records, headers: &mut HeaderMap) {
    let range = match records {
        Records::AsSaid => None,
        Records::Counted(0) => Some("*/*".to_owned()),
        Records::Counted(count) => Some(format!("0-{}/*", count - 1)),
        Records::Unknown => {
            headers.remove(CONTENT_RANGE);
            None
        }
    };
    if let Some(range) = range.and_then(|range| HeaderValue::from_str(&range).ok())
        && headers.contains_key(CONTENT_RANGE)
    {
        headers.insert(CONTENT_RANGE, range);
    }
    forget_count(headers);
    relocate(asked, sent, headers);
}

fn forget_count(headers: &mut HeaderMap) {
    let applied = headers.get(PREFERENCE_APPLIED).and_then(|value| value.to_str().ok());
    let Some(applied) = applied.filter(|applied| applied.contains(COUNT)) else { return };
    let left: Vec<_> = applied.split(", ").filter(|one| *one != COUNT).collect();
    match HeaderValue::from_str(&left.join(", ")) {
        Ok(value) if !left.is_empty() => drop(headers.insert(PREFERENCE_APPLIED, value)),
        _ => drop(headers.remove(PREFERENCE_APPLIED)),
    }
}

/// Where an order was taken out of the query, it is put back. Queries with a sealed literal are put
/// back as echoes are, since they need a right.
fn relocate(asked: &str, sent: &str, headers: &mut HeaderMap) {
    let (Ok(original), Ok(written)) = (echo::canonical(asked), echo::canonical(sent)) else {
        return;
    };
    let location = headers.get(CONTENT_LOCATION).and_then(|value| value.to_str().ok());
    let Some(location) = location.filter(|_| original != written) else { return };
    let path = match text::split(sent) {
        (_, Some(_)) if !written.is_empty() => {
            location.strip_suffix(&written).and_then(|path| path.strip_suffix('?'))
        }
        _ => (!location.contains('?')).then_some(location),
    };
    let Some(path) = path else { return };
    if let Ok(value) = HeaderValue::from_str(&format!("{path}?{original}")) {
        headers.insert(CONTENT_LOCATION, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_whole_if_its_range_is_all_there_is() {
        for (status, range, expected) in [
            (200, "0-4/5", true),
            (200, "*/0", true),
            (200, "*/*", false),
            (200, "0-4/*", false),
            (206, "0-2/5", false),
            (200, "0-2/5", false),
            (200, "1-4/5", false),
            (200, "*/3", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, HeaderValue::from_str(range).unwrap());
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(is_said(status, &headers), expected, "{status} {range}");
        }
        assert!(!is_said(StatusCode::OK, &HeaderMap::new()));
    }

    #[test]
    fn headers_say_what_a_direct_answer_says() {
        let told = |pairs: &[(&'static str, &str)], asked: &str, sent: &str, records| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_str(value).unwrap());
            }
            restate(asked, sent, records, &mut headers);
            pairs.iter().map(|(name, _)| headers.get(*name).cloned()).collect::<Vec<_>>()
        };
        let text = |value: &str| Some(HeaderValue::from_str(value).unwrap());
        let range = [("content-range", "0-4/5")];
        assert_eq!(told(&range, "/t", "/t", Records::Counted(2)), [text("0-1/*")]);
        assert_eq!(told(&range, "/t", "/t", Records::Counted(0)), [text("*/*")]);
        assert_eq!(told(&range, "/t", "/t", Records::Unknown), [None]);
        for (said, left) in [
            ("count=exact", None),
            ("count=exact, timezone=UTC", text("timezone=UTC")),
            ("timezone=UTC", text("timezone=UTC")),
        ] {
            let applied = [("preference-applied", said)];
            assert_eq!(told(&applied, "/t", "/t", Records::AsSaid), [left], "{said}");
        }
        for (asked, sent, said, left) in [
            ("/t?order=n", "/t", "/t", "/t?order=n"),
            ("/t?order=n&id=gt.1", "/t?id=gt.1", "/t?id=gt.1", "/t?id=gt.1&order=n"),
            ("/t?order=n", "/t", "/t?x=y", "/t?x=y"),
        ] {
            let location = [("content-location", said)];
            assert_eq!(told(&location, asked, sent, Records::AsSaid), [text(left)], "{asked}");
        }
    }
}
