//! Plain JSON APIs, described by routes: `METHOD /path/{parameter}` with protected path and query
//! parameters and places in bodies.
//!
//! The dialect knows nothing of the API but what the policy says, so it follows a path only where
//! every server would read it the same way: [`route`] compares both what stands there and what a
//! server that normalises more could make of it. `docs/json.md` has examples.

mod form;
mod names;
mod parameter;
mod path;
mod route;

use std::{collections::BTreeMap, ops::Range};

use http::{HeaderMap, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use self::{
    names::{could_be, last_name},
    parameter::parameters,
    route::{Path, Route},
};
use super::{
    Dialect, Echo, ErrorBody, Head, Readdressed, Records, SurfaceError,
    text::{self, Decoded},
};
use crate::{
    base::{
        ident::{EntityName, FieldName, RequestId},
        refusal::{Code, Refusal},
        secret::Plaintext,
    },
    model::{
        BodyForm, Cells, Described, FieldRef, Filter, Format, Formats, Node, Operation, Page,
        Placement, Replacement, Surface, Target, Test, Use, UseKind, Verb,
    },
};

/// RFC 3986 unreserved characters stay as they are.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What a body of records may be.
const RECORDS: Formats = Formats {
    request: &[
        Format::Csv,
        Format::Json,
        Format::JsonSequence,
        Format::Multipart,
        Format::Ndjson,
        Format::Urlencoded,
    ],
    cells: Cells::Plain,
};

/// The same, and what says how a record changes.
const CHANGES: Formats = Formats {
    request: &[
        Format::Csv,
        Format::Json,
        Format::JsonPatch,
        Format::JsonSequence,
        Format::MergePatch,
        Format::Multipart,
        Format::Ndjson,
        Format::Urlencoded,
    ],
    cells: Cells::Plain,
};

/// The dialect, for one API.
#[derive(Debug)]
struct Json {
    routes: Vec<Route>,
}

/// Makes the dialect for what the policy declares of an API.
pub fn build(surface: &Surface) -> Result<Box<dyn Dialect>, Vec<SurfaceError>> {
    let mut errors: Vec<_> = surface
        .entities
        .iter()
        .map(|entity| SurfaceError {
            at: entity.name.to_string(),
            problem: "this dialect has no entities; declare it under routes:".to_owned(),
        })
        .collect();
    errors.extend(surface.functions.iter().map(|function| SurfaceError {
        at: function.name.to_string(),
        problem: "this dialect has no functions; declare its route under routes:".to_owned(),
    }));
    let mut routes = Vec::new();
    for declared in &surface.routes {
        if routes.iter().any(|known: &Route| known.name == declared.pattern) {
            let problem = "it is declared twice".to_owned();
            errors.push(SurfaceError { at: declared.pattern.to_string(), problem });
        }
        match Route::new(declared) {
            Ok(route) => routes.push(route),
            Err(found) => errors.extend(found),
        }
    }
    for open in routes.iter().filter(|route| route.is_open) {
        for other in routes.iter().filter(|other| open.hides(other)) {
            let problem = format!(
                "it is open, and a path of it could hold a protected value of {}; give its path a \
                 word of its own, or protect the parameter there too",
                other.name
            );
            errors.push(SurfaceError { at: open.name.to_string(), problem });
        }
    }
    if errors.is_empty() { Ok(Box::new(Json { routes })) } else { Err(errors) }
}

/// A request head, understood.
struct Reading {
    operation: Operation,
    /// Aligned with the operation's uses: where the value stands, if it can be replaced.
    sites: Vec<Option<Range<usize>>>,
}

impl Dialect for Json {
    fn classify(&self, head: Head<'_>) -> Result<Operation, Refusal> {
        Ok(self.read(head)?.operation)
    }

    fn readdress(
        &self,
        head: Head<'_>,
        replacements: &[Option<Replacement>],
    ) -> Result<Readdressed, Refusal> {
        let sites = self.read(head)?.sites;
        if sites.len() != replacements.len() {
            return Err(Code::Internal.into());
        }
        let mut edits = Vec::new();
        let mut echoes = Vec::new();
        for (site, replacement) in sites.into_iter().zip(replacements) {
            let Some(replacement) = replacement else { continue };
            let site = site.ok_or(Code::Internal)?;
            let written = utf8_percent_encode(text_for(replacement)?, RESERVED).to_string();
            let original = head.target.get(site.clone()).unwrap_or_default();
            echoes.push(Echo { written: written.clone(), original: Plaintext::from(original) });
            edits.push((site, written));
        }
        let target = text::splice(head.target, &edits).ok_or(Code::Internal)?;
        Ok(Readdressed { target, echoes })
    }

    fn describe(&self, _: Head<'_>, _: &[u8], _: &[Described]) -> Option<Vec<u8>> {
        None
    }

    // No answer of a route is known to be a whole list, so none of these is ever asked.
    fn ask_whole(&self, _: &mut HeaderMap) {}

    fn is_whole(&self, _: StatusCode, _: &HeaderMap) -> bool {
        false
    }

    fn restate(&self, _: &str, _: &str, _: Records, _: &mut HeaderMap) {}

    fn refuse(&self, refusal: &Refusal, request: RequestId) -> ErrorBody {
        // RFC 9457, with members of our own.
        let body = json!({
            "type": "about:blank",
            "title": refusal.code.title(),
            "status": refusal.code.status(),
            "detail": refusal.details(),
            "code": refusal.code.number(),
            "hint": refusal.hint(),
            "request_id": request.to_string(),
        });
        ErrorBody { content_type: "application/problem+json", body: body.to_string().into_bytes() }
    }
}

/// The one text that stands for the one literal of a parameter.
fn text_for(replacement: &Replacement) -> Result<&str, Refusal> {
    let several = || Refusal::new(Code::UnsupportedOperator).by("parameter");
    match replacement {
        Replacement::Exact(texts) => match texts.as_slice() {
            [texts] => match texts.as_slice() {
                [text] => Ok(text),
                _ => Err(several()),
            },
            _ => Err(Code::Internal.into()),
        },
        Replacement::Ranges(ranges) => match ranges.as_slice() {
            [ranges] => match ranges.as_slice() {
                [(low, _)] => Ok(low),
                _ => Err(several()),
            },
            _ => Err(Code::Internal.into()),
        },
        Replacement::Either(_) | Replacement::Removed => Err(Code::Internal.into()),
    }
}

impl Json {
    fn read(&self, head: Head<'_>) -> Result<Reading, Refusal> {
        let path = Path::new(head.target).ok_or(Code::MalformedTarget)?;
        let method = head.method.as_str();
        let served = self.routes.iter().find(|r| r.serves(method) && r.matches(&path));
        let matched = served.or_else(|| self.routes.iter().find(|route| route.matches(&path)));
        let could = self.routes.iter().any(|r| r.is_protected() && r.could_match(&path));
        let protected = matched.is_some_and(Route::is_protected);
        if (path.is_ambiguous && (could || protected)) || (could && matched.is_none()) {
            return Err(Refusal::new(Code::MalformedTarget).by("path"));
        }
        let mut reading = Reading {
            operation: Operation {
                verb: Verb::Read,
                target: Target::Service,
                uses: Vec::new(),
                body: BodyForm::Opaque,
                answer: Node::default(),
                formats: RECORDS,
                // What a route does with its parameters is not known, so nothing follows from them.
                page: Page::Part("route"),
                own_keys: BTreeMap::new(),
            },
            sites: Vec::new(),
        };
        if let Some(route) = served.filter(|route| route.is_open) {
            reading.operation.verb = route.verb;
            reading.operation.target = Target::Open(route.name.clone());
            return Ok(reading);
        }
        // A route of another method that has this path protects the same values in it.
        if let Some(route) = matched {
            self.uses_of(route, &path, head.target, &mut reading)?;
        }
        if let Some((route, (name, text))) = served.and_then(|r| Some((r, r.clear_key(&path)?))) {
            // Not protected, so nothing is replaced; it is a use so that the policy finds it.
            reading.push(Some(&route.name), format!("path:{name}"), equal(text), None);
        }
        let operation = &mut reading.operation;
        match (served, method) {
            (Some(route), _) => {
                operation.verb = route.verb;
                operation.target = Target::Entity(route.name.clone());
                if route.verb == Verb::Update {
                    operation.formats = CHANGES;
                }
                operation.answer = route.answer.clone();
                let has_body = matches!(route.verb, Verb::Create | Verb::Replace | Verb::Update);
                if has_body && !route.request.is_empty() {
                    let mut body = route.request.clone();
                    route.place_key(&mut body, &operation.uses);
                    operation.body = BodyForm::Records(body);
                }
                route.place_key(&mut operation.answer, &operation.uses);
            }
            (None, "OPTIONS") => operation.verb = Verb::Describe,
            (None, "GET" | "HEAD") => {
                operation.target = Target::Undeclared(EntityName::new("GET (undeclared)"));
                self.undeclared_uses(head.target, &mut reading)?;
            }
            (None, _) => {
                (operation.verb, operation.target) = undeclared_write(method);
            }
        }
        Ok(reading)
    }

    /// The protected parameters of a route.
    fn uses_of(
        &self,
        route: &Route,
        path: &Path,
        target: &str,
        reading: &mut Reading,
    ) -> Result<(), Refusal> {
        let malformed = || Refusal::new(Code::MalformedTarget).by("parameter");
        for (name, range, text) in route.parameters(path) {
            reading.push(
                Some(&route.name),
                format!("path:{name}"),
                equal(text),
                Some(range.clone()),
            );
        }
        for parameter in parameters(target)? {
            let name = parameter.name.text();
            let own = route.query.iter().find(|protected| *protected == name);
            // Servers differ about case, brackets and semicolons in names.
            let could = |name: &str| route.query.iter().any(|protected| could_be(name, protected));
            let raw = target.get(parameter.whole.clone()).unwrap_or_default();
            let hidden = raw.contains(';')
                && (own.is_some()
                    || raw.split(';').any(|part| {
                        let name = part.split('=').next().unwrap_or_default();
                        Decoded::of_query(name, 0..name.len()).is_none_or(|n| could(n.text()))
                    }));
            match (own, &parameter.value) {
                _ if hidden => return Err(malformed()),
                (Some(name), Some((range, text))) => {
                    let column = format!("query:{name}");
                    reading.push(Some(&route.name), column, equal(text), Some(range.clone()));
                }
                (None, Some(_)) if could(name) => return Err(malformed()),
                (None, value) => {
                    if let Some((_, text)) = value
                        && let Some(field) = route.named_by(name, text.text())
                    {
                        let (entity, field) = (route.name.clone(), field.clone());
                        let refusal = Refusal::new(Code::NamedByValue);
                        return Err(refusal.on(FieldRef { entity, field }).by("parameter"));
                    }
                    for (column, named) in self.undeclared_names(target, parameter.whole)? {
                        if named == Named::Protected {
                            reading.push(None, column, Test::Other, None);
                        }
                    }
                }
                (Some(_), _) => {}
            }
        }
        Ok(())
    }

    /// Every query parameter of a request that no route describes. One that has the name of a
    /// protected place goes by the name of that place, so that the policy knows it.
    fn undeclared_uses(&self, target: &str, reading: &mut Reading) -> Result<(), Refusal> {
        for parameter in parameters(target)? {
            for (column, _) in self.undeclared_names(target, parameter.whole)? {
                reading.push(None, column, Test::Other, None);
            }
        }
        Ok(())
    }

    /// Each name in a parameter that no route declares, as the protected place that has this name
    /// somewhere in the API, or as it is.
    fn undeclared_names(
        &self,
        target: &str,
        whole: Range<usize>,
    ) -> Result<Vec<(String, Named)>, Refusal> {
        let raw = target.get(whole).unwrap_or_default();
        let known = |part: &str| {
            let name = part.split('=').next().unwrap_or_default();
            let name = Decoded::of_query(name, 0..name.len()).ok_or(Code::MalformedTarget)?;
            let named = |field: &&FieldName| could_be(name.text(), last_name(field.as_str()));
            let mut protected = self.routes.iter().flat_map(|route| &route.fields);
            Ok(match protected.find(named) {
                Some(field) => (field.to_string(), Named::Protected),
                None => (format!("query:{}", name.text()), Named::Otherwise),
            })
        };
        raw.split(';').map(known).collect()
    }
}

/// Whether a name is that of a protected place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    Otherwise,
    Protected,
}

impl Reading {
    fn push(
        &mut self,
        entity: Option<&EntityName>,
        column: String,
        test: Test,
        site: Option<Range<usize>>,
    ) {
        let kind = UseKind::Filter(Filter { operator: "parameter", test });
        let column = FieldName::new(column);
        let (entity, place) = (entity.cloned(), Placement::Within);
        self.operation.uses.push(Use { entity, column, kind, place });
        self.sites.push(site);
    }
}

fn equal(text: &Decoded) -> Test {
    Test::Equal(Plaintext::from(text.text()))
}

fn undeclared_write(method: &str) -> (Verb, Target) {
    let (verb, name) = match method {
        "DELETE" => (Verb::Delete, "DELETE (undeclared)"),
        "PATCH" => (Verb::Update, "PATCH (undeclared)"),
        "POST" => (Verb::Create, "POST (undeclared)"),
        "PUT" => (Verb::Replace, "PUT (undeclared)"),
        _ => (Verb::Call, "other method (undeclared)"),
    };
    (verb, Target::Undeclared(EntityName::new(name)))
}
