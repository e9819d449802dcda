//! PostgREST: tables, views and functions of PostgreSQL, filtered by their query string.
//!
//! [`query`] parses parameters, [`walk`] finds what they use and where it is spelled, and
//! [`rewrite`] spells replacements. `docs/postgrest.md` says what passes, is rewritten and refused.
//!
//! # Why
//! The grammar follows the parsers of PostgREST 12 and was tried against 12.0.2. Where its parsers
//! are lax, ours are strict: see [`query`]. (2026-11)

mod accept;
mod array;
mod bind;
mod call;
mod classify;
mod cursor;
mod declared;
mod echo;
mod either;
mod embed;
mod filter;
mod openapi;
mod operators;
mod order;
mod page;
mod query;
mod rewrite;
mod select;
mod target;
mod walk;
mod whole;

pub use operators::{Kind, Modifiers, OPERATORS, Operator};

use http::{HeaderMap, Method, StatusCode};
use serde_json::json;

use self::{declared::Declared, rewrite::Trees};
use super::{Dialect, Echo, ErrorBody, Head, Readdressed, Records, SurfaceError, text};
use crate::{
    base::{
        ident::RequestId,
        refusal::{Blame, Code, Refusal},
        secret::Plaintext,
    },
    model::{Described, Operation, Replacement, Surface, Verb},
};

/// The dialect, for one API.
#[derive(Debug)]
struct PostgRest {
    declared: Declared,
}

/// Makes the dialect for what the policy declares of an API.
pub fn build(surface: &Surface) -> Result<Box<dyn Dialect>, Vec<SurfaceError>> {
    Ok(Box::new(PostgRest { declared: Declared::new(surface)? }))
}

impl Dialect for PostgRest {
    fn classify(&self, head: Head<'_>) -> Result<Operation, Refusal> {
        Ok(classify::read(&self.declared, head)?.operation)
    }

    fn readdress(
        &self,
        head: Head<'_>,
        replacements: &[Option<Replacement>],
    ) -> Result<Readdressed, Refusal> {
        let classify::Reading { operation, sites, additions } =
            classify::read(&self.declared, head)?;
        if sites.len() != replacements.len() {
            return Err(Code::Internal.into());
        }
        if head.method == Method::OPTIONS {
            return Ok(self.readdress_options(head));
        }
        let trees = match operation.verb {
            Verb::Delete | Verb::Replace | Verb::Update => Trees::Twice,
            Verb::Call | Verb::Create | Verb::Describe | Verb::Read => Trees::Once,
        };
        let mut edits = Vec::new();
        let mut echoes = Vec::new();
        for (site, replacement) in sites.iter().zip(replacements) {
            let Some(replacement) = replacement else { continue };
            if let (walk::Site::Term { whole, place, from, next }, Replacement::Removed) =
                (site, replacement)
            {
                rewrite::remove_term(head.target, (whole, *place, *from, *next), &mut edits)?;
                continue;
            }
            let found = rewrite::edits(head.target, site, replacement, trees)?;
            if let walk::Site::Argument { whole, .. } | walk::Site::Parameter { whole, .. } = site {
                echoes.extend(echo_of(head.target, whole.clone(), &found)?);
            }
            edits.extend(found);
        }
        edits.extend(additions);
        edits.sort_by_key(|(range, _)| range.start);
        let target = text::splice(head.target, &edits).ok_or(Code::Internal)?;
        if !edits.is_empty() {
            // The whole query first: rewriting may have moved parameters to other names.
            let original = Plaintext::new(echo::canonical(head.target)?.into_bytes());
            echoes.insert(0, Echo { written: echo::canonical(&target)?, original });
        }
        Ok(Readdressed { target, echoes })
    }

    fn describe(&self, head: Head<'_>, document: &[u8], fields: &[Described]) -> Option<Vec<u8>> {
        let profile = accept::profile(head.headers, &classify::ACCEPT_PROFILE).ok()?;
        let schema = self.declared.schema(profile)?;
        let document = std::str::from_utf8(document).ok()?;
        openapi::annotate(document, schema, fields).map(String::into_bytes)
    }

    fn ask_whole(&self, headers: &mut HeaderMap) {
        whole::ask(headers);
    }

    fn is_whole(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        whole::is_said(status, headers)
    }

    fn restate(&self, asked: &str, sent: &str, records: Records, headers: &mut HeaderMap) {
        whole::restate(asked, sent, records, headers);
    }

    fn refuse(&self, refusal: &Refusal, request: RequestId) -> ErrorBody {
        let hint = match refusal.code.blame() {
            Blame::Caller => refusal.hint(),
            Blame::Service | Blame::Upstream => format!("{}; request {request}", refusal.hint()),
        };
        let body = json!({
            "code": refusal.code.number(),
            "details": refusal.details(),
            "hint": hint,
            "message": refusal.code.title(),
        });
        ErrorBody {
            content_type: "application/json; charset=utf-8",
            body: body.to_string().into_bytes(),
        }
    }
}

impl PostgRest {
    /// The answer to OPTIONS does not depend on the query, but a browser's preflight repeats the
    /// query of the request it prepares, in clear. Unless nothing in it can be protected, it stays
    /// here.
    fn readdress_options(&self, head: Head<'_>) -> Readdressed {
        let read = classify::read(&self.declared, Head { method: &Method::GET, ..head });
        let harmless = read.is_ok_and(|reading| {
            let mut uses = reading.operation.uses.iter();
            uses.all(|used| !self.declared.protects(used.column.as_str()))
        });
        let (path, _) = text::split(head.target);
        let target = if harmless { head.target } else { head.target.get(path).unwrap_or("/") };
        Readdressed { target: target.to_owned(), echoes: Vec::new() }
    }
}

/// A single parameter as the server repeats it, before and after.
fn echo_of(
    target: &str,
    whole: std::ops::Range<usize>,
    edits: &[text::Edit],
) -> Result<Option<Echo>, Refusal> {
    if edits.is_empty() {
        return Ok(None);
    }
    let spelled = |edits: &[text::Edit]| {
        let moved: Vec<_> = edits
            .iter()
            .map(|(range, text)| {
                let start = range.start.saturating_sub(whole.start) + 1;
                (start..start + range.len(), text.clone())
            })
            .collect();
        let alone = format!("?{}", target.get(whole.clone()).unwrap_or_default());
        text::splice(&alone, &moved).ok_or(Refusal::from(Code::Internal))
    };
    let original = Plaintext::new(echo::canonical(&spelled(&[])?)?.into_bytes());
    Ok(Some(Echo { written: echo::canonical(&spelled(edits)?)?, original }))
}
