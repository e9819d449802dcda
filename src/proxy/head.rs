//! What happens to a message head on its way: hop-by-hop fields, framing, and the fields that would
//! get in the way of sealing (RFC 9110 §7.6, RFC 9112 §6).

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Version, header,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
    request,
};

use super::{coding, pin};
use crate::{
    base::refusal::{Code, Refusal},
    policy::Upgrades,
};

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
pub fn admit(head: &request::Parts) -> Result<(), Refusal> {
    let (version, headers) = (head.version, &head.headers);
    if head.method == Method::CONNECT {
        return Err(Refusal::new(Code::UnsupportedHeader).by("CONNECT"));
    }
    if version >= Version::HTTP_2 && pin::is_bound(headers, header::AUTHORIZATION) {
        // There, requests of several callers share a connection.
        return Err(Refusal::new(Code::UnsupportedHeader).by("NTLM or Negotiate over HTTP/2"));
    }
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
    let mut hosts = headers.get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err(Refusal::new(Code::AmbiguousFraming).by("Host"));
    }
    // RFC 9113 §8.3.1. The HTTP library takes both of what follows.
    if version >= Version::HTTP_2 {
        if head.uri.path().is_empty() {
            return Err(Refusal::new(Code::AmbiguousFraming).by(":path"));
        }
        let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
        let (Some(host), Some(authority)) = (host, authority) else { return Ok(()) };
        if !host.as_bytes().eq_ignore_ascii_case(authority) {
            return Err(Refusal::new(Code::AmbiguousFraming).by("Host"));
        }
    }
    Ok(())
}

/// Refuses answers whose end is in doubt (RFC 9112 §6.3): the HTTP library reads the chunks, and the
/// length would go on beside them.
pub fn admit_answer(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.contains_key(CONTENT_LENGTH) && headers.contains_key(TRANSFER_ENCODING) {
        return Err(Refusal::new(Code::UpstreamUnreadable).by("Content-Length"));
    }
    Ok(())
}

/// Refuses, toward an API with entities, the fields that would change what a request means.
pub fn admit_protected(headers: &HeaderMap, upgrades: Upgrades) -> Result<(), Refusal> {
    let refuse = |name| Err(Refusal::new(Code::UnsupportedHeader).by(name));
    if OVERRIDES.iter().any(|name| headers.contains_key(*name)) {
        return refuse("method override");
    }
    if headers.contains_key(UPGRADE) && upgrades == Upgrades::Refused && !asks_http(headers) {
        return refuse("Upgrade");
    }
    if let Some(scheme) = signature(headers) {
        return Err(Refusal::new(Code::SignedRequest).by(scheme));
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
            && *name != "http2-settings"
    };
    if connection_listed(headers).any(|name| stays(&name)) {
        return refuse("Connection");
    }
    Ok(())
}

/// What covers the target or the body of a request, so that neither can be changed.
fn signature(headers: &HeaderMap) -> Option<&'static str> {
    const SCHEMES: [&str; 9] = [
        "AWS4-HMAC-SHA256",
        "AWS4-ECDSA-P256-SHA256",
        "AWS",
        "Digest",
        "Hawk",
        "HMAC",
        "OAuth",
        "SharedKey",
        "Signature",
    ];
    if headers.contains_key("signature") || headers.contains_key("signature-input") {
        return Some("Signature");
    }
    headers.get_all(header::AUTHORIZATION).iter().find_map(|value| {
        let scheme = value.to_str().ok()?.trim_start().split(' ').next()?;
        // A bearer token of OAuth 1 style without a signature is no signature.
        let is_bare = scheme.eq_ignore_ascii_case("OAuth")
            && !value.to_str().ok()?.contains("oauth_signature");
        let known = SCHEMES.into_iter().find(|known| scheme.eq_ignore_ascii_case(known));
        known.filter(|_| !is_bare)
    })
}

/// Whether a request asks for its connection to become something else.
pub fn asks_upgrade(headers: &HeaderMap) -> bool {
    let is_asked =
        headers.contains_key(UPGRADE) && connection_listed(headers).any(|name| name == UPGRADE);
    is_asked && !asks_http(headers)
}

/// Whether a request offers to go on in another version of HTTP, or in TLS, as some clients do with
/// the first request of each connection. It is answered as if it did not: a tunnel of requests would
/// carry their values unread.
fn asks_http(headers: &HeaderMap) -> bool {
    headers.get_all(UPGRADE).iter().any(|value| {
        let value = value.as_bytes().to_ascii_lowercase();
        let names = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let is_http = |name: &[u8]| {
            ["h2c", "h2", "http", "tls"].iter().any(|known| {
                name.strip_prefix(known.as_bytes())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
            })
        };
        names.into_iter().any(is_http)
    })
}

/// Fields of one connection that go on all the same, because what they speak of does.
pub struct Carried(Vec<(HeaderName, HeaderValue)>);

impl Carried {
    /// Trailers, where nothing of a message is changed, and an upgrade, where one is let through.
    pub fn of(headers: &HeaderMap, trailers: bool, upgrade: bool) -> Self {
        let mut carried = Vec::new();
        let mut carry = |name: HeaderName| {
            carried.extend(headers.get_all(&name).iter().map(|v| (name.clone(), v.clone())));
        };
        if trailers {
            carry(TRAILER);
        }
        if upgrade {
            carry(UPGRADE);
            carried.push((CONNECTION, HeaderValue::from_static("Upgrade")));
        } else if trailers && headers.get_all(TE).iter().any(names_trailers) {
            carried.push((TE, HeaderValue::from_static("trailers")));
            carried.push((CONNECTION, HeaderValue::from_static("TE")));
        }
        Self(carried)
    }

    /// Puts them back.
    pub fn restore(self, headers: &mut HeaderMap) {
        for (name, value) in self.0 {
            headers.append(name, value);
        }
    }
}

fn names_trailers(te: &HeaderValue) -> bool {
    let text = te.to_str().unwrap_or_default();
    text.split(',').any(|part| part.trim().eq_ignore_ascii_case("trailers"))
}

/// What becomes of the client's connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It is closed: the API closes its own.
    Close,
    /// It is kept if the client likes.
    Keep,
}

/// What the API says of its connection, to a request that did not ask it to close.
pub fn after(method: &Method, headers: &HeaderMap) -> After {
    // See `Upstream::forward`: HEAD asks.
    match *method != Method::HEAD && connection_listed(headers).any(|name| name == "close") {
        true => After::Close,
        false => After::Keep,
    }
}

/// Cookies that HTTP/2 carries in several fields are one field before it (RFC 9113 §8.2.3).
pub fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<_> = headers.get_all(header::COOKIE).iter().map(|c| c.as_bytes()).collect();
    if crumbs.len() < 2 {
        return;
    }
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(header::COOKIE, cookie);
    }
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
    coding::reduce_accepted(headers);
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
    vary_by_caller(headers);
}

/// Adds what a caller is told by to `Vary`.
fn vary_by_caller(headers: &mut HeaderMap) {
    let said: Vec<_> =
        headers.get_all(header::VARY).iter().filter_map(|value| value.to_str().ok()).collect();
    let mut names: Vec<_> = said.iter().flat_map(|value| value.split(',')).map(str::trim).collect();
    names.retain(|name| !name.is_empty());
    if names.contains(&"*") {
        return;
    }
    for name in ["Authorization", "Cookie"] {
        if !names.iter().any(|said| said.eq_ignore_ascii_case(name)) {
            names.push(name);
        }
    }
    if let Ok(value) = HeaderValue::try_from(names.join(", ")) {
        headers.insert(header::VARY, value);
    }
}

/// Whether a body is a stream of server-sent events.
pub fn is_events(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("text/event-stream")
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
            admit_protected(&map, Upgrades::Refused).is_ok()
        };
        assert!(admits("close") && admits("keep-alive, TE"));
        assert!(!admits("Content-Profile") && !admits("close, accept"));
    }

    #[test]
    fn an_offer_of_http_is_neither_refused_nor_a_tunnel() {
        for (value, http) in
            [("h2c", true), ("websocket, H2C", true), ("HTTP/2.0", true), ("TLS/1.0", true)]
                .into_iter()
                .chain([("websocket", false), ("h2cx", false), ("httpx/1", false)])
        {
            let map = headers(&[("connection", "Upgrade, HTTP2-Settings"), ("upgrade", value)]);
            assert_eq!(admit_protected(&map, Upgrades::Refused).is_ok(), http, "{value}");
            assert_eq!(asks_upgrade(&map), !http, "{value}");
        }
    }

    #[test]
    fn a_length_beside_a_transfer_coding_is_ambiguous() {
        let admitted = |map: &HeaderMap| {
            let (mut head, ()) = http::Request::post("/").body(()).unwrap().into_parts();
            head.headers = map.clone();
            admit(&head)
        };
        assert!(admitted(&headers(&[("content-length", "1")])).is_ok());
        assert!(admitted(&headers(&[("content-length", "1"), ("content-length", "1")])).is_err());
        let both = headers(&[("content-length", "1"), ("transfer-encoding", "chunked")]);
        assert!(admitted(&both).is_err());
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
