//! Content types: what a body says it is, and the form that it is sealed or opened in.

use http::{HeaderMap, header};

use crate::{
    base::refusal::{Code, Refusal},
    model::{Cells, Formats},
    seal::{Boundary, Form},
};

/// What a `Content-Type` says of a body, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// A form in which values can be found.
    Known(Form),
    /// Anything else.
    Other,
    /// One of those, or text that may be, in another charset than UTF-8.
    OtherCharset,
    /// JSON that is not known to hold records as they are.
    OtherJson,
    /// Not said.
    Unsaid,
}

impl Media {
    /// Whether the body is JSON, so that its strings may have escapes.
    pub fn is_json(self) -> bool {
        match self {
            Self::Known(form) => match form {
                Form::Bytes | Form::Csv(_) | Form::Multipart(_) | Form::Urlencoded => false,
                Form::Json
                | Form::JsonPatch
                | Form::JsonSequence
                | Form::MergePatch
                | Form::Ndjson => true,
            },
            Self::OtherJson => true,
            Self::Other | Self::OtherCharset | Self::Unsaid => false,
        }
    }
}

/// Reads `Content-Type` (RFC 9110 §8.3). More than one is as bad as an unknown one.
pub fn media(headers: &HeaderMap, cells: Cells) -> Media {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(value) = values.next() else { return Media::Unsaid };
    let (Ok(value), None) = (value.to_str(), values.next()) else { return Media::Other };
    let mut pieces = pieces(value).into_iter();
    let essence = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
    let parameters: Vec<_> = pieces.filter_map(parameter).collect();
    let named = |name: &str| -> Vec<&str> {
        let same = parameters.iter().filter(|(key, _)| *key == name);
        same.map(|(_, value)| value.as_str()).collect()
    };
    let known = match essence.as_str() {
        "application/json" => Media::Known(Form::Json),
        vendor if vendor.starts_with("application/vnd.pgrst.") => Media::Known(Form::Json),
        "application/json-patch+json" => Media::Known(Form::JsonPatch),
        "application/json-seq" => Media::Known(Form::JsonSequence),
        "application/merge-patch+json" => Media::Known(Form::MergePatch),
        "application/jsonl" | "application/ndjson" | "application/x-ndjson" => {
            Media::Known(Form::Ndjson)
        }
        "application/x-www-form-urlencoded" => Media::Known(Form::Urlencoded),
        "multipart/form-data" => match named("boundary").as_slice() {
            [boundary] => Boundary::parse(boundary)
                .map_or(Media::Other, |boundary| Media::Known(Form::Multipart(boundary))),
            _ => Media::Other,
        },
        // Without a header nobody knows the columns.
        "text/csv" if named("header").iter().all(|word| word.eq_ignore_ascii_case("present")) => {
            Media::Known(Form::Csv(cells))
        }
        json if json.ends_with("+json") => Media::OtherJson,
        _ => return Media::Other,
    };
    let is_utf8 =
        |name: &&str| name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("utf8");
    if named("charset").iter().all(is_utf8) { known } else { Media::OtherCharset }
}

/// The form in which a request that holds records is sealed.
pub fn of_request(headers: &HeaderMap, formats: Formats) -> Result<Form, Refusal> {
    let form = match media(headers, formats.cells) {
        Media::Known(form) => form,
        // Absent means JSON to the APIs that take JSON; what is not JSON is refused all the same.
        Media::Unsaid => Form::Json,
        Media::Other | Media::OtherCharset | Media::OtherJson => Form::Bytes,
    };
    match form.format() {
        Some(format) if formats.request.contains(&format) => Ok(form),
        _ => Err(Code::UnsupportedContentType.into()),
    }
}

/// The form in which an answer is opened; `None` if it passes, since nothing is declared of it and
/// what is in no form that is opened holds envelopes at most, and keeps them.
pub fn of_answer(
    headers: &HeaderMap,
    cells: Cells,
    declares: bool,
) -> Result<Option<Form>, Refusal> {
    let form = match media(headers, cells) {
        Media::Known(form) => match form {
            Form::Csv(_) | Form::Json | Form::JsonSequence | Form::Ndjson => Some(form),
            Form::JsonPatch | Form::MergePatch => Some(Form::Json),
            Form::Bytes | Form::Multipart(_) | Form::Urlencoded => None,
        },
        Media::OtherJson => Some(Form::Json),
        // Some APIs say text/plain or nothing of their JSON; the policy knows better.
        Media::Other | Media::Unsaid if declares && is_text(headers) => Some(Form::Json),
        Media::Other | Media::OtherCharset | Media::Unsaid => None,
    };
    // Declared values that cannot be looked at might not be envelopes at all.
    if declares && form.is_none() { Err(Code::UpstreamUnreadable.into()) } else { Ok(form) }
}

fn is_text(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return true };
    value.as_bytes().get(..10).is_some_and(|text| text.eq_ignore_ascii_case(b"text/plain"))
}

/// The pieces between semicolons; one within quotes separates nothing.
fn pieces(value: &str) -> Vec<&str> {
    let mut is_quoted = false;
    value
        .split(|c| {
            is_quoted ^= c == '"';
            c == ';' && !is_quoted
        })
        .collect()
}

fn parameter(piece: &str) -> Option<(String, String)> {
    let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
    let name = name.trim().to_ascii_lowercase();
    (!name.is_empty()).then(|| (name, value.trim().trim_matches('"').to_owned()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(value: &'static str) -> Media {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
        media(&headers, Cells::Record)
    }

    #[test]
    fn content_types_are_read_by_essence_and_parameters() {
        let csv = Media::Known(Form::Csv(Cells::Record));
        let parts = |text| Media::Known(Form::Multipart(Boundary::parse(text).unwrap()));
        for (value, media_type) in [
            ("application/json", Media::Known(Form::Json)),
            ("Application/JSON; charset=\"UTF-8\"", Media::Known(Form::Json)),
            ("application/vnd.pgrst.object+json", Media::Known(Form::Json)),
            ("application/json-patch+json", Media::Known(Form::JsonPatch)),
            ("application/merge-patch+json", Media::Known(Form::MergePatch)),
            ("application/x-ndjson", Media::Known(Form::Ndjson)),
            ("application/json-seq", Media::Known(Form::JsonSequence)),
            ("application/problem+json", Media::OtherJson),
            ("application/json; charset=utf-16", Media::OtherCharset),
            ("application/json;charset=iso-8859-1", Media::OtherCharset),
            ("text/csv", csv),
            ("text/csv;charset=utf-8; header=present", csv),
            ("text/csv; header=absent", Media::Other),
            ("text/csv; charset=latin1", Media::OtherCharset),
            ("application/x-www-form-urlencoded; charset=utf8", Media::Known(Form::Urlencoded)),
            ("multipart/form-data; boundary=a-b", parts("a-b")),
            ("multipart/form-data; boundary=\"a:b\"", parts("a:b")),
            ("multipart/form-data; x=\";boundary=a\"; boundary=b", parts("b")),
            ("multipart/form-data; boundary=a; boundary=b", Media::Other),
            ("multipart/form-data", Media::Other),
            ("multipart/mixed; boundary=a", Media::Other),
            ("application/jsonp", Media::Other),
        ] {
            assert_eq!(read(value), media_type, "{value}");
        }
        assert_eq!(media(&HeaderMap::new(), Cells::Plain), Media::Unsaid);
    }
}
