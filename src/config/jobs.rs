//! The section `jobs:`: how work on stored values reaches each API, as a caller of its own.
//!
//! Where the API is, and TLS, are said in `apis:`; jobs go there directly and never through a
//! listener, since they must see what is stored.

use std::collections::HashMap;

use http::HeaderName;

use crate::{
    base::ident::ApiName,
    policy::{
        diagnostic::Problems,
        document::{
            Fields, Node, list,
            reader::{number, pairs, suggest},
            text, truth,
        },
    },
};

use super::{Api, SecretRef};

/// How jobs reach the APIs.
#[derive(Debug, Default)]
pub struct Jobs {
    apis: HashMap<ApiName, JobsOfApi>,
}

/// How jobs reach one API.
#[derive(Clone, Debug)]
pub struct JobsOfApi {
    /// What they send with every request, above all who they are. The values are elsewhere.
    pub headers: Vec<(HeaderName, SecretRef)>,
    /// Records that are asked for at a time.
    pub page: usize,
    /// Requests at a time, at most.
    pub concurrency: usize,
    /// The lists of documents of a plain JSON API.
    pub walk: Vec<Walk>,
}

/// One list of documents, and where each of them is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Path and query of the list.
    pub list: String,
    /// The path of one document, with `{id}` where its key stands.
    pub item: String,
    /// Where the records are in the list.
    pub records: String,
    /// Where the key is in a record.
    pub key: String,
    /// Where the list says where it goes on.
    pub next: Next,
    /// Whether documents are written without a condition.
    pub is_unsafe: bool,
}

/// Where a list says where it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// In a header of this name.
    Header(HeaderName),
    /// In `Link`.
    Link,
    /// In a member of the list.
    Member(String),
    /// It does not: it is one page.
    Nowhere,
}

impl Default for JobsOfApi {
    fn default() -> Self {
        Self { headers: Vec::new(), page: 500, concurrency: 8, walk: Vec::new() }
    }
}

impl Jobs {
    /// How jobs reach this API. Without a word about it, nameless.
    pub fn of(&self, api: &ApiName) -> JobsOfApi {
        self.apis.get(api).cloned().unwrap_or_default()
    }

    /// Reads the section.
    pub(super) fn read(node: &Node, apis: &[Api], problems: &mut Problems) -> Self {
        let mut jobs = Self::default();
        let Some(mut fields) = Fields::of(node, "jobs", problems) else { return jobs };
        let shape = "add apis: {NAME: {headers: {Authorization: \"file:reseal.token\"}}}";
        let section = fields.required("apis", shape, problems);
        fields.finish(problems);
        let entries = section.and_then(|node| pairs(node, "apis of jobs", problems));
        for (key, node) in entries.unwrap_or_default() {
            let name = ApiName::new(key.text.as_str());
            if !apis.iter().any(|api| api.name == name) {
                let remedy = suggest(&key.text, apis.iter().map(|api| api.name.as_str()));
                problems.error(key.at, format!("no API is named `{name}`"), remedy);
            }
            if let Some(of) = JobsOfApi::read(node, problems) {
                jobs.apis.insert(name, of);
            }
        }
        jobs
    }
}

impl JobsOfApi {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let mut of = Self::default();
        let mut fields = Fields::of(node, "jobs of an API", problems)?;
        let headers = fields.optional("headers");
        let (page, concurrency) = (fields.optional("page"), fields.optional("concurrency"));
        let walk = fields.optional("walk");
        fields.finish(problems);
        for (key, node) in
            headers.and_then(|node| pairs(node, "headers", problems)).unwrap_or_default()
        {
            let value = SecretRef::read(node, "the value of a header", problems);
            match (key.text.parse::<HeaderName>(), value) {
                (Ok(name), Some(value)) => of.headers.push((name, value)),
                (Err(_), _) => {
                    let message = format!("`{}` is no name of a header", key.text);
                    problems.error(key.at, message, "write it as in Authorization");
                }
                (Ok(_), None) => {}
            }
        }
        for node in walk.and_then(|node| list(node, "walk", problems)).unwrap_or_default() {
            of.walk.extend(Walk::read(node, problems));
        }
        let mut set = |node: Option<&Node>, key, most, to: &mut usize| {
            let Some(node) = node else { return };
            let Some(found) = number(node, key, problems) else { return };
            match usize::try_from(found) {
                Ok(found) if (1..=most).contains(&found) => *to = found,
                _ => {
                    let remedy = format!("write a number from 1 to {most}");
                    problems.error(node.at, format!("{key} cannot be {found}"), remedy);
                }
            }
        };
        set(page, "page", 10_000, &mut of.page);
        set(concurrency, "concurrency", 256, &mut of.concurrency);
        Some(of)
    }
}

impl Walk {
    /// Reads `{list: "GET /…", item: "PUT /…/{id}", records: "$.data[*]", key: "$.id", next: …}`.
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let mut fields = Fields::of(node, "a walk", problems)?;
        let list = fields.required("list", "add list: \"GET /path\"", problems);
        let item = fields.required("item", "add item: \"PUT /path/{id}\"", problems);
        let records = fields.required("records", "add records: \"$.data[*]\"", problems);
        let key = fields.required("key", "add key: \"$.id\"", problems);
        let (next, is_unsafe) = (fields.optional("next"), fields.optional("unsafe_sweep"));
        fields.finish(problems);
        let list = list.and_then(|node| target(node, "GET ", "list", problems));
        let item = item.and_then(|node| {
            let item = target(node, "PUT ", "item", problems)?;
            if item.matches("{id}").count() != 1 {
                let remedy = "write {id} once, where the key of the document stands";
                problems.error(node.at, "item does not say where the key stands", remedy);
            }
            Some(item)
        });
        let records = records.and_then(|node| path(node, "records", problems));
        let key = key.and_then(|node| path(node, "key", problems));
        let next = match next {
            Some(node) => self::next(node, problems)?,
            None => Next::Nowhere,
        };
        let is_unsafe = is_unsafe.and_then(|node| truth(node, "unsafe_sweep", problems));
        let is_unsafe = is_unsafe.unwrap_or_default();
        Some(Self { list: list?, item: item?, records: records?, key: key?, next, is_unsafe })
    }
}

fn target(node: &Node, verb: &str, what: &str, problems: &mut Problems) -> Option<String> {
    let found = text(node, what, problems)?;
    let target = found.strip_prefix(verb).filter(|target| target.starts_with('/'));
    if target.is_none() {
        let remedy = format!("write \"{verb}/path\"");
        problems.error(node.at, format!("{what} cannot be `{found}`"), remedy);
    }
    target.map(str::to_owned)
}

fn path(node: &Node, what: &str, problems: &mut Problems) -> Option<String> {
    let found = text(node, what, problems)?;
    let names = found.strip_suffix("[*]").unwrap_or(found).strip_prefix('$');
    let sound = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if !names.is_some_and(|names| names.bytes().all(sound)) {
        let message = format!("{what} cannot be `{found}`");
        problems.error(node.at, message, "write $.member.member, of letters, digits, - and _");
        return None;
    }
    Some(found.to_owned())
}

fn next(node: &Node, problems: &mut Problems) -> Option<Next> {
    let found = text(node, "next", problems)?;
    if found == "link" {
        return Some(Next::Link);
    }
    if found.starts_with('$') {
        return path(node, "next", problems).map(Next::Member);
    }
    let name = found.strip_prefix("header:").and_then(|name| name.parse().ok());
    if name.is_none() {
        let remedy = "write header:NAME, link, or $.member";
        problems.error(node.at, format!("next cannot be `{found}`"), remedy);
    }
    name.map(Next::Header)
}
