//! The section `callers:`: who is asking, and what proves it. File order is kept: the first rule
//! that matches decides.

use std::{collections::HashSet, fs, io, path::Path};

use crate::{
    auth::{ANONYMOUS, ApiKey, Proof, Rule, Rules, SpiffeId, Subject, api_key, unix_peer},
    base::ident::CallerName,
};

use super::{
    diagnostic::{Place, Problems},
    document::{
        Fields, Node, list,
        reader::{not_built, number, pairs, suggest},
        text,
    },
};

/// Every caller of a policy.
#[derive(Debug, Default)]
pub(super) struct Callers {
    declared: Vec<(CallerName, Place)>,
    names: HashSet<String>,
    rules: Rules,
}

impl Callers {
    /// Reads the section.
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Self {
        let mut callers = Self::default();
        let mut rules = Vec::new();
        for (key, node) in pairs(node, "callers", problems).unwrap_or_default() {
            let name = key.text.as_str();
            if name == ANONYMOUS || name == "*" || name.trim().is_empty() {
                let message = format!("`{name}` cannot be the name of a caller");
                problems.error(
                    key.at,
                    message,
                    "anonymous is whoever no rule matches; it has no rule",
                );
                continue;
            }
            let caller = CallerName::new(name);
            callers.names.insert(key.text.clone());
            callers.declared.push((caller.clone(), key.at));
            rules.extend(proof(node, problems).map(|proof| Rule { caller, proof }));
        }
        callers.rules = Rules::new(rules);
        callers
    }

    /// Every declared caller and where it is declared.
    pub(super) fn declared(&self) -> &[(CallerName, Place)] {
        &self.declared
    }

    /// The caller of this name, or anonymous; reported at `at` if there is none.
    pub(super) fn find(
        &self,
        name: &str,
        at: Place,
        problems: &mut Problems,
    ) -> Option<CallerName> {
        if name == ANONYMOUS || self.names.contains(name) {
            return Some(CallerName::new(name));
        }
        let known = self.declared.iter().map(|(name, _)| name.as_str()).chain([ANONYMOUS]);
        problems.error(at, format!("no caller is named `{name}`"), suggest(name, known));
        None
    }

    /// What recognises them.
    pub(super) fn into_rules(self) -> Rules {
        self.rules
    }
}

const SHAPES: &str = "write one of {spiffe: …}, {subject: …}, {unix_peer: {user: …}}, \
                      {api_key: {header: …, sha256_file: …}}, {any: […]}";

fn proof(node: &Node, problems: &mut Problems) -> Option<Proof> {
    let pairs = pairs(node, "a caller", problems)?;
    let [(key, value)] = pairs else {
        problems.error(node.at, "a caller must have exactly one proof", SHAPES);
        return None;
    };
    match key.text.as_str() {
        "any" => {
            let items = list(value, "any", problems)?;
            if items.is_empty() {
                problems.error(value.at, "any: [] never matches", SHAPES);
            }
            Some(Proof::Any(items.iter().filter_map(|item| proof(item, problems)).collect()))
        }
        "api_key" => api_key(value, problems).map(Proof::ApiKey),
        "spiffe" => {
            let id = text(value, "spiffe", problems)?;
            let remedy = "write spiffe://trust-domain/path, without a wildcard";
            parsed(SpiffeId::parse(id), value.at, "a SPIFFE id", remedy, problems)
                .map(Proof::Spiffe)
        }
        "subject" => {
            let name = text(value, "subject", problems)?;
            let remedy = "write the whole subject as RFC 4514 spells it, like CN=lims,O=lab";
            parsed(Subject::parse(name), value.at, "a subject", remedy, problems)
                .map(Proof::Subject)
        }
        "unix_peer" => unix_peer(value, problems).map(Proof::UnixPeer),
        later @ ("jwt" | "basic" | "cidr") => {
            not_built(key.at, later, problems);
            None
        }
        other => {
            problems.error(key.at, format!("a caller has no key `{other}`"), SHAPES);
            None
        }
    }
}

fn parsed<T, E: std::fmt::Display>(
    result: Result<T, E>,
    at: Place,
    what: &str,
    remedy: &str,
    problems: &mut Problems,
) -> Option<T> {
    result.map_err(|error| problems.error(at, format!("this is not {what}: {error}"), remedy)).ok()
}

fn unix_peer(node: &Node, problems: &mut Problems) -> Option<Option<u32>> {
    let mut fields = Fields::of(node, "unix_peer", problems)?;
    let (user, uid) = (fields.optional("user"), fields.optional("uid"));
    let at = fields.at();
    fields.finish(problems);
    match (user, uid) {
        (Some(user), None) => {
            let name = text(user, "user", problems)?;
            let uid = unix_peer::uid_of(name);
            if uid.is_none() {
                let message =
                    format!("this machine has no user `{name}`, so the rule never matches");
                problems.warning(user.at, message, "create the user and reload, or write {uid: …}");
            }
            Some(uid)
        }
        (None, Some(uid)) => {
            let id = number(uid, "uid", problems)?;
            let id = u32::try_from(id).ok();
            if id.is_none() {
                problems.error(uid.at, "uid is not a user id", "write a number below 2^32");
            }
            id.map(Some)
        }
        (Some(_), Some(_)) | (None, None) => {
            problems.error(at, "unix_peer needs either user or uid", "write {user: lims}");
            None
        }
    }
}

fn api_key(node: &Node, problems: &mut Problems) -> Option<ApiKey> {
    let mut fields = Fields::of(node, "api_key", problems)?;
    fields.later(&["danger_shared_with_upstream", "sha256_env"]);
    let header = fields.required("header", "add header: X-Api-Key", problems);
    let file = fields.required("sha256_file", HASH, problems);
    fields.finish(problems);
    let header = header.and_then(|node| {
        let name = text(node, "header", problems)?;
        let remedy = "use a header of its own, like X-Api-Key";
        parsed(ApiKey::parse_header(name), node.at, "a header for keys", remedy, problems)
    });
    let file = file?;
    let path = text(file, "sha256_file", problems)?;
    let path = problems.file().parent().unwrap_or(Path::new("")).join(path);
    let hash = match read_hash(&path) {
        Ok(hash) => hash,
        Err(error) => {
            let message = format!("{} cannot be read: {error}", path.display());
            problems.error(file.at, message, HASH);
            return None;
        }
    };
    match ApiKey::new(header?, &hash) {
        Ok(key) => Some(key),
        Err(error) => {
            let what = match error {
                api_key::HashError::Empty => "holds the SHA-256 of nothing",
                api_key::HashError::NotADigest => "does not hold 64 hexadecimal digits",
            };
            problems.error(file.at, format!("{} {what}", path.display()), HASH);
            None
        }
    }
}

const HASH: &str = "make a key with `openssl rand -hex 32`, give it to the caller, and keep \
                    `printf %s KEY | sha256sum | cut -c1-64` in the file";

/// Reads what is at most a digest and a newline; a longer file is not one.
fn read_hash(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > 128 {
        return Ok(String::new());
    }
    fs::read_to_string(path)
}
