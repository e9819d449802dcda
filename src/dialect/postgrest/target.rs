//! The path: which table or function, and what the method does to it.

use http::Method;

use crate::{
    base::refusal::{Code, Refusal},
    dialect::text::{self, Decoded},
    model::Verb,
};

/// What the path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    /// `/rpc/name`.
    Function(String),
    /// `/`.
    Root,
    /// `/name`.
    Table(String),
}

/// Reads the path. What the server could read in two ways is unclassified.
pub(super) fn resource(target: &str) -> Result<Resource, Refusal> {
    let (path, _) = text::split(target);
    let unclassified = || Refusal::new(Code::Unclassified).by("path");
    if !target.starts_with('/') {
        return Err(unclassified());
    }
    let mut names = Vec::new();
    for range in text::pieces(target, 1..path.end, '/') {
        let segment = Decoded::of_segment(target, range).ok_or_else(unclassified)?;
        names.push(segment.text().to_owned());
    }
    let is_plain = |name: &String| {
        !name.is_empty()
            && !matches!(name.as_str(), "." | "..")
            && !name.contains(['/', '\\', '\0'])
    };
    match names.as_slice() {
        [root] if root.is_empty() => Ok(Resource::Root),
        [table] if is_plain(table) => Ok(Resource::Table(table.clone())),
        [rpc, function] if rpc == "rpc" && is_plain(function) => {
            Ok(Resource::Function(function.clone()))
        }
        _ => Err(unclassified()),
    }
}

/// What a method does to a resource.
pub(super) fn verb(method: &Method, resource: &Resource) -> Result<Verb, Refusal> {
    let verb = match (method.as_str(), resource) {
        ("OPTIONS", _) | ("GET" | "HEAD", Resource::Root) => Verb::Describe,
        ("GET" | "HEAD" | "POST", Resource::Function(_)) => Verb::Call,
        ("GET" | "HEAD", Resource::Table(_)) => Verb::Read,
        ("DELETE", Resource::Table(_)) => Verb::Delete,
        ("PATCH", Resource::Table(_)) => Verb::Update,
        ("POST", Resource::Table(_)) => Verb::Create,
        ("PUT", Resource::Table(_)) => Verb::Replace,
        _ => return Err(Refusal::new(Code::Unclassified).by("method")),
    };
    Ok(verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_could_be_read_in_two_ways_are_unclassified() {
        assert_eq!(resource("/?x").unwrap(), Resource::Root);
        assert_eq!(resource("/p%61tients?x=/").unwrap(), Resource::Table("patients".into()));
        assert_eq!(resource("/rpc/f").unwrap(), Resource::Function("f".into()));
        for target in [
            "",
            "patients",
            "//patients",
            "/patients/",
            "/a/b",
            "/a%2Fb",
            "/a%5cb",
            "/..",
            "/%2e",
            "/rpc/",
            "/rpc/f/",
            "/%zz",
            "/%ff",
            "/rpc/a%2fb",
            "/a%00",
        ] {
            assert!(resource(target).is_err(), "{target}");
        }
    }
}
