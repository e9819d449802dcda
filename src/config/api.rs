//! The section `apis:`: what lies behind, and where clients find it.

use http::Uri;

use crate::{
    base::{host, ident::ApiName},
    policy::{
        diagnostic::{Place, Problems},
        document::{Fields, Node, list, reader::suggest, text, truth},
    },
};

use super::{listener::Listener, reference::FileRef};

/// One API behind labseal.
#[derive(Debug)]
pub struct Api {
    /// The name in both files.
    pub name: ApiName,
    /// The listener it is served on.
    pub listener: String,
    /// Where its paths begin on that listener: `/`, or `/some/path` without a slash at the end.
    pub path_prefix: String,
    /// The database API.
    pub upstream: Upstream,
    pub(super) at: Place,
}

/// A database API.
#[derive(Debug)]
pub struct Upstream {
    /// `http` or `https`, an authority, and perhaps a path to put before every other.
    pub url: Uri,
    /// TLS, exactly if the scheme is `https`.
    pub tls: Option<UpstreamTls>,
}

/// TLS toward a database API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Who may vouch for the API, in PEM.
    pub ca: FileRef,
    /// What we show it: a chain and its key.
    pub identity: Option<(FileRef, FileRef)>,
}

impl UpstreamTls {
    pub(super) fn files(&self) -> impl Iterator<Item = &FileRef> {
        let identity = self.identity.iter().flat_map(|(cert, key)| [cert, key]);
        [&self.ca].into_iter().chain(identity)
    }
}

/// Reads the section.
pub(super) fn read(node: &Node, listeners: &[Listener], problems: &mut Problems) -> Vec<Api> {
    let mut apis: Vec<Api> = Vec::new();
    for item in list(node, "apis", problems).unwrap_or_default() {
        let Some(api) = api(item, listeners, problems) else { continue };
        for other in &apis {
            if other.name == api.name {
                let message = format!("two APIs are named `{}`", api.name);
                problems.error(api.at, message, "give each a name of its own");
            }
            if other.listener == api.listener && overlap(&other.path_prefix, &api.path_prefix) {
                let message = format!("the paths of `{}` and `{}` overlap", other.name, api.name);
                let remedy = "use prefixes of which none begins another, or another listener";
                problems.error(api.at, message, remedy);
            }
        }
        apis.push(api);
    }
    for listener in listeners {
        if !apis.iter().any(|api| api.listener == listener.name) {
            let message = format!("no API is served on listener `{}`", listener.name);
            problems.warning(listener.at, message, "name it in an API, or leave it out");
        }
    }
    apis
}

/// Whether some path begins with both prefixes.
fn overlap(a: &str, b: &str) -> bool {
    let segments = |prefix: &str| -> Vec<String> {
        prefix.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    segments(a).iter().zip(&segments(b)).all(|(a, b)| a == b)
}

fn api(node: &Node, listeners: &[Listener], problems: &mut Problems) -> Option<Api> {
    let mut fields = Fields::of(node, "an API", problems)?;
    let name = fields.required("name", "add the name that the policy uses", problems);
    let listener = fields.required("listener", "name a listener", problems);
    let prefix = fields.optional("path_prefix");
    let upstream = fields.required("upstream", "add upstream: \"https://host:port\"", problems);
    let tls = fields.optional("upstream_tls");
    let danger = fields.optional("danger_plaintext");
    fields.finish(problems);

    let name = name.and_then(|node| text(node, "name", problems));
    let listener = listener.and_then(|node| {
        let name = text(node, "listener", problems)?;
        if !listeners.iter().any(|listener| listener.name == name) {
            let remedy = suggest(name, listeners.iter().map(|listener| listener.name.as_str()));
            problems.error(node.at, format!("no listener is named `{name}`"), remedy);
        }
        Some(name.to_owned())
    });
    let path_prefix = match prefix {
        Some(node) => path_prefix(node, problems),
        None => Some("/".to_owned()),
    };
    let danger = danger.and_then(|node| truth(node, "danger_plaintext", problems));
    let upstream = upstream.and_then(|node| upstream_section(node, tls, danger, problems));
    Some(Api {
        name: ApiName::new(name?),
        listener: listener?,
        path_prefix: path_prefix?,
        upstream: upstream?,
        at: node.at,
    })
}

fn path_prefix(node: &Node, problems: &mut Problems) -> Option<String> {
    let found = text(node, "path_prefix", problems)?;
    let trimmed = found.strip_suffix('/').unwrap_or(found);
    let segment = |part: &str| {
        let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(sound)
    };
    match trimmed.strip_prefix('/') {
        Some(rest) if rest.split('/').all(segment) => Some(trimmed.to_owned()),
        None if found == "/" => Some("/".to_owned()),
        Some(_) | None => {
            let message = format!("path_prefix cannot be `{found}`");
            let remedy = "write / or /some/path, of letters, digits, -, ., _ and ~";
            problems.error(node.at, message, remedy);
            None
        }
    }
}

fn upstream_section(
    node: &Node,
    tls: Option<&Node>,
    danger: Option<bool>,
    problems: &mut Problems,
) -> Option<Upstream> {
    let url = url(node, problems);
    let is_secure = url.as_ref().and_then(Uri::scheme_str) == Some("https");
    let tls_at = tls.map(|node| node.at);
    let tls = tls.and_then(|node| tls_section(node, "upstream_tls", problems));
    let url = url?;
    match (is_secure, tls_at) {
        (true, None) => {
            let message = "nobody is named who may vouch for the upstream";
            problems.error(node.at, message, "add upstream_tls: {ca: \"file:tls/db-ca.pem\"}");
        }
        (false, Some(at)) => {
            let message = "upstream_tls says nothing about an http: upstream";
            problems.error(at, message, "write https: in upstream, or leave upstream_tls out");
        }
        (false, None) if !is_loopback(&url) && danger != Some(true) => {
            let message =
                "the upstream is reached without TLS: credentials and plain fields are seen";
            let remedy = "use https: with upstream_tls:, or write danger_plaintext: true";
            problems.error(node.at, message, remedy);
        }
        (true, Some(_)) | (false, None) => {}
    }
    Some(Upstream { url, tls })
}

/// Reads a URL. It is never repeated in a message: it may hold a password.
fn url(node: &Node, problems: &mut Problems) -> Option<Uri> {
    let found = text(node, "upstream", problems)?;
    let sound = |url: &Uri| {
        let has_user = url.authority().is_some_and(|authority| authority.as_str().contains('@'));
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.host().is_some_and(|host| !host.is_empty())
            && !has_user
            && url.query().is_none()
    };
    let url = found.parse().ok().filter(sound);
    if url.is_none() || found.contains('#') {
        let message = "upstream is not the URL of an API";
        let remedy = "write https://host:port/path, without user, query and fragment";
        problems.error(node.at, message, remedy);
        return None;
    }
    url
}

fn is_loopback(url: &Uri) -> bool {
    host::is_loopback(url.host().unwrap_or_default())
}

/// Reads who vouches for the other side, and how it is convinced of us.
pub(super) fn tls_section(
    node: &Node,
    what: &'static str,
    problems: &mut Problems,
) -> Option<UpstreamTls> {
    let mut fields = Fields::of(node, what, problems)?;
    fields.later(&["pin", "server_name"]);
    let ca = fields.required("ca", "add ca: \"file:tls/db-ca.pem\"", problems);
    let (cert, key) = (fields.optional("cert"), fields.optional("key"));
    fields.finish(problems);
    let ca = ca.and_then(|node| FileRef::tagged(node, "ca", problems));
    let identity = match (cert, key) {
        (None, None) => None,
        (Some(cert), Some(key)) => {
            let cert = FileRef::tagged(cert, "cert", problems);
            let key = FileRef::secret(key, "key", problems);
            Some((cert?, key?))
        }
        (Some(node), None) | (None, Some(node)) => {
            problems.error(node.at, "cert and key go together", "add the other, or leave both out");
            None
        }
    };
    Some(UpstreamTls { ca: ca?, identity })
}
