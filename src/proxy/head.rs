//! What happens to a message head on its way: hop-by-hop fields, framing, and the fields that would
//! get in the way of sealing (RFC 9110 §7.6, RFC 9112 §6).

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, header,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
};

use crate::base::refusal::{Code, Refusal};

/// Fields that speak of one connection and never travel on.
const HOP_BY_HOP: [HeaderName; 6] =
    [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, header::PROXY_AUTHENTICATE];
const HOP_BY_HOP_BY_NAME: [&str; 3] = ["keep-alive", "proxy-connection", "proxy-authorization"];

/// Fields by which some servers take another method or target than the request line's.
const OVERRIDES: [&str; 5] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// Fields that repeat a target, which may hold protected values in clear.
const COPIES: [&str; 5] =
    ["referer", "x-original-uri", "x-forwarded-uri", "x-forwarded-url", "x-envoy-original-path"];

/// Refuses heads whose meaning depends on who reads them.
pub fn admit(headers: &HeaderMap) -> Result<(), Refusal> {
    let lengths = headers.get_all(CONTENT_LENGTH).iter().count();
    if lengths > 1 || (lengths == 1 && headers.contains_key(TRANSFER_ENCODING)) {
        return Err(Code::AmbiguousFraming.into());
    }
    // The HTTP library reads the chunks and ignores a coding before them; such a body is not what it
    // seems to be.
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")) {
        return Err(Refusal::new(Code::AmbiguousFraming).by("Transfer-Encoding"));
    }
    if headers.get_all(HOST).iter().count() > 1 {
        return Err(Refusal::new(Code::AmbiguousFraming).by("Host"));
    }
    Ok(())
}

/// Refuses, toward an API with entities, the fields that would change what a request means.
pub fn admit_protected(method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    let refuse = |name| Err(Refusal::new(Code::UnsupportedHeader).by(name));
    if OVERRIDES.iter().any(|name| headers.contains_key(*name)) {
        return refuse("method override");
    }
    if headers.contains_key(UPGRADE) || method == Method::CONNECT {
        return refuse("Upgrade");
    }
    if headers.contains_key(TRAILER) {
        return refuse("Trailer");
    }
    // What is read to classify a request must still be there when it is forwarded.
    let stays = |name: &HeaderName| {
        *name != "close"
            && *name != "keep-alive"
            && !HOP_BY_HOP.contains(name)
            && !HOP_BY_HOP_BY_NAME.contains(&name.as_str())
    };
    if connection_listed(headers).any(|name| stays(&name)) {
        return refuse("Connection");
    }
    Ok(())
}

/// The names that `Connection` lists.
fn connection_listed(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
}

/// Removes what belongs to one connection, the fields that `Connection` lists included.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = connection_listed(headers)
        // A caller must not be able to have these taken away before they are looked at upstream.
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH && *name != header::AUTHORIZATION)
        .collect();
    for name in listed.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP_BY_NAME {
        headers.remove(name);
    }
}

/// Takes copies of this target and of others out of a request to an API with entities.
pub fn remove_copies(headers: &mut HeaderMap) {
    for name in COPIES {
        headers.remove(name);
    }
}

/// Makes a request to an API with entities answerable: no coding we cannot read, no byte ranges of
/// a text that has other bytes upstream. `items` ranges are rows and stay.
pub fn prepare_protected(headers: &mut HeaderMap) {
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let bytes = |value: &HeaderValue| {
        value.as_bytes().get(..6).is_some_and(|unit| unit.eq_ignore_ascii_case(b"bytes="))
    };
    if headers.get(header::RANGE).is_some_and(bytes) {
        headers.remove(header::RANGE);
        headers.remove(header::IF_RANGE);
    }
}

/// Sets the exact length, in the place of the old one if there was one.
pub fn set_length(headers: &mut HeaderMap, length: u64) {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
}

/// Makes an opened answer nobody else's.
pub fn keep_private(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    for digest in ["digest", "content-digest", "repr-digest", "content-md5", "accept-ranges"] {
        headers.remove(digest);
    }
}

/// What a `Content-Type` says of a body, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// JSON in UTF-8, with records as they are.
    Json,
    /// JSON that is not known to hold records as they are, such as a list of changes to them.
    OtherJson,
    /// JSON, or text that may be, in another charset than UTF-8.
    OtherCharset,
    /// Anything else.
    Other,
    /// Not said.
    Unsaid,
}

/// Reads `Content-Type` (RFC 9110 §8.3). More than one is as bad as an unknown one.
pub fn media(headers: &HeaderMap) -> Media {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(value) = values.next() else { return Media::Unsaid };
    let (Ok(value), None) = (value.to_str(), values.next()) else { return Media::Other };
    let mut parts = value.split(';');
    let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence != "application/json" && !essence.ends_with("+json") {
        return Media::Other;
    }
    let plain = essence == "application/json"
        || essence == "application/merge-patch+json"
        || essence.starts_with("application/vnd.pgrst.");
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"');
        let utf8 = value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8");
        if name.trim().eq_ignore_ascii_case("charset") && !utf8 {
            return Media::OtherCharset;
        }
    }
    if plain { Media::Json } else { Media::OtherJson }
}

/// Whether the body has a content coding other than `identity`.
pub fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn fields_that_connection_lists_do_not_travel() {
        let mut map = headers(&[
            ("connection", "close, X-Hop, Authorization"),
            ("x-hop", "1"),
            ("te", "x"),
            ("authorization", "Bearer x"),
            ("x-stays", "1"),
        ]);
        remove_hop_by_hop(&mut map);
        assert_eq!(map, headers(&[("authorization", "Bearer x"), ("x-stays", "1")]));
    }

    #[test]
    fn what_decides_a_request_cannot_be_listed_away() {
        let admits = |listed| {
            let map = headers(&[("connection", listed), ("content-profile", "other")]);
            admit_protected(&Method::POST, &map).is_ok()
        };
        assert!(admits("close") && admits("keep-alive, TE"));
        assert!(!admits("Content-Profile") && !admits("close, accept"));
    }

    #[test]
    fn a_length_beside_a_transfer_coding_is_ambiguous() {
        assert!(admit(&headers(&[("content-length", "1")])).is_ok());
        assert!(admit(&headers(&[("content-length", "1"), ("content-length", "1")])).is_err());
        let both = headers(&[("content-length", "1"), ("transfer-encoding", "chunked")]);
        assert!(admit(&both).is_err());
    }

    #[test]
    fn content_types_are_read_by_essence_and_charset() {
        let cases = [
            ("application/json", Media::Json),
            ("Application/JSON; charset=\"UTF-8\"", Media::Json),
            ("application/vnd.pgrst.object+json", Media::Json),
            ("application/json-patch+json", Media::OtherJson),
            ("application/json; charset=utf-16", Media::OtherCharset),
            ("application/json;charset=iso-8859-1", Media::OtherCharset),
            ("text/csv", Media::Other),
            ("application/jsonp", Media::Other),
        ];
        for (value, media_type) in cases {
            assert_eq!(media(&headers(&[("content-type", value)])), media_type, "{value}");
        }
        assert_eq!(media(&HeaderMap::new()), Media::Unsaid);
    }

    #[test]
    fn byte_ranges_go_and_row_ranges_stay() {
        let mut map = headers(&[("range", "bytes=0-9"), ("if-range", "\"x\"")]);
        prepare_protected(&mut map);
        assert!(!map.contains_key("range") && !map.contains_key("if-range"));
        let mut map = headers(&[("range", "0-9"), ("range-unit", "items")]);
        prepare_protected(&mut map);
        assert_eq!(map.get("range").unwrap(), "0-9");
    }
}
