//! Routes: `METHOD /path/{parameter}`, the places protected on them, and which one a path means.

use std::{collections::BTreeSet, ops::Range};

use super::{
    form,
    names::{could_be, last_name},
};
use crate::{
    base::ident::{EntityName, FieldName},
    dialect::{
        SurfaceError,
        text::{self, Decoded},
    },
    model::{FieldRef, KeyPlace, Node, RouteDecl, Use, Verb},
};

/// A route that can be matched.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) name: EntityName,
    pub(super) method: String,
    pub(super) verb: Verb,
    segments: Vec<Segment>,
    /// Protected query parameters.
    pub(super) query: BTreeSet<String>,
    /// Query parameters whose values may be the names of protected fields.
    may_name: Vec<String>,
    /// The body of an answer.
    pub(super) answer: Node<FieldRef>,
    /// The body of a request.
    pub(super) request: Node<FieldRef>,
    /// The parameter of the path that is the key of the record.
    key: Option<String>,
    /// Whether everything passes untouched.
    pub(super) is_open: bool,
    /// Every protected field of the route.
    pub(super) fields: Vec<FieldName>,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Parameter { name: String, protected: bool },
}

impl Route {
    /// Checks and compiles a declared route.
    pub(super) fn new(declared: &RouteDecl) -> Result<Self, Vec<SurfaceError>> {
        let mut errors = Vec::new();
        let at = declared.pattern.as_str();
        let mut wrong = |at: &str, problem: String| {
            errors.push(SurfaceError { at: at.to_owned(), problem });
        };
        let (method, pattern) = at.split_once(' ').unwrap_or((at, ""));
        let verb = verb(method);
        if verb.is_none() {
            wrong(
                at,
                "start it with one of GET, HEAD, POST, PUT, PATCH, DELETE and a space".into(),
            );
        }
        if !pattern.starts_with('/') || pattern.contains(['?', '#', ' ', '%']) {
            wrong(at, "the path starts with / and stands there decoded, without a query".into());
        }
        let segments: Vec<_> = pattern
            .trim_start_matches('/')
            .split('/')
            .map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                Some(name) => Segment::Parameter {
                    name: name.to_owned(),
                    protected: declared.path.iter().any(|protected| protected == name),
                },
                None => Segment::Literal(part.to_owned()),
            })
            .collect();
        let mut seen = BTreeSet::new();
        for segment in &segments {
            match segment {
                Segment::Literal(text) if text.contains(['{', '}']) => {
                    wrong(at, "a parameter is a whole segment: /{name}/".into());
                }
                Segment::Parameter { name, .. }
                    if name.is_empty() || !seen.insert(name.clone()) =>
                {
                    wrong(at, "each parameter has a name of its own".into());
                }
                Segment::Literal(_) | Segment::Parameter { .. } => {}
            }
        }
        for name in declared.path.iter().filter(|name| !seen.contains(*name)) {
            wrong(at, format!("path: names {name}, which is not in the pattern"));
        }
        let form::Bodies { answer, request } = form::bodies(declared).unwrap_or_else(|misplaced| {
            misplaced
                .iter()
                .for_each(|one| wrong(&format!("{at} {}", one.at), one.problem.clone()));
            form::Bodies::default()
        });
        let Some(verb) = verb.filter(|_| errors.is_empty()) else { return Err(errors) };
        let parameters = declared.path.iter().map(|name| format!("path:{name}"));
        let query = declared.query.iter().map(|name| format!("query:{name}"));
        let form = declared.form.iter().map(|name| format!("form:{name}"));
        let named = parameters.chain(query).chain(form).map(FieldName::new);
        Ok(Self {
            name: declared.pattern.clone(),
            method: method.to_owned(),
            verb,
            segments,
            query: declared.query.iter().cloned().collect(),
            may_name: declared.may_name.clone(),
            answer,
            request,
            key: declared.bind.as_ref().and_then(form::parameter).map(str::to_owned),
            is_open: declared.is_open,
            fields: named.chain(declared.fields.iter().cloned()).collect(),
        })
    }

    /// Whether a request of this method may be for this route.
    pub(super) fn serves(&self, method: &str) -> bool {
        self.method == method || (method == "HEAD" && self.method == "GET")
    }

    /// Whether anything of the route is protected.
    pub(super) fn is_protected(&self) -> bool {
        !self.fields.is_empty()
    }

    /// Whether the decoded segments are this route's, letter by letter.
    pub(super) fn matches(&self, path: &Path) -> bool {
        self.segments.len() == path.segments.len()
            && self.segments.iter().zip(&path.segments).all(|(own, (_, text))| match own {
                Segment::Literal(literal) => literal == text.text(),
                Segment::Parameter { .. } => !text.text().is_empty(),
            })
    }

    /// Whether a server that normalises more than we do could take the path for this route; or, if
    /// the route holds a protected value in its path, for something under or above it.
    pub(super) fn could_match(&self, path: &Path) -> bool {
        let own: Vec<_> = self
            .segments
            .iter()
            .filter(|own| !matches!(own, Segment::Literal(text) if text.is_empty()))
            .collect();
        let fits = |run: &[String]| {
            own.iter().zip(run).all(|(own, text)| match own {
                Segment::Literal(literal) => literal.to_lowercase() == text.to_lowercase(),
                Segment::Parameter { .. } => true,
            })
        };
        let holds_value =
            own.iter().any(|own| matches!(own, Segment::Parameter { protected: true, .. }));
        match holds_value && !own.is_empty() {
            true => path.normal.windows(own.len()).any(fits),
            false => own.len() == path.normal.len() && fits(&path.normal),
        }
    }

    /// The protected field that the value of a query parameter names, where it may not.
    pub(super) fn named_by(&self, parameter: &str, value: &str) -> Option<&FieldName> {
        if self.may_name.iter().any(|name| name == parameter) {
            return None;
        }
        let is_named = |field: &&FieldName| {
            let name = last_name(field.as_str());
            !name.is_empty() && could_be(value, name)
        };
        self.fields.iter().find(is_named)
    }

    /// The value in a path that matches which is the key of the record and stands there in clear.
    pub(super) fn clear_key<'p>(&self, path: &'p Path) -> Option<(&str, &'p Decoded)> {
        let key = self.key.as_ref()?;
        self.segments.iter().zip(&path.segments).find_map(|(own, (_, text))| match own {
            Segment::Parameter { name, protected: false } if name == key => {
                Some((name.as_str(), text))
            }
            Segment::Literal(_) | Segment::Parameter { .. } => None,
        })
    }

    /// Says of a body which of the uses in the head is the key of its record.
    pub(super) fn place_key(&self, body: &mut Node<FieldRef>, uses: &[Use]) {
        let Some(name) = &self.key else { return };
        let column = format!("path:{name}");
        let own =
            |one: &Use| one.entity.as_ref() == Some(&self.name) && one.column.as_str() == column;
        let key = match uses.iter().position(own) {
            Some(used) => KeyPlace::Head { used, member: None },
            None => KeyPlace::Nowhere { member: None },
        };
        let element = body.elements.as_deref_mut().and_then(|element| element.bound.as_mut());
        for bound in body.bound.iter_mut().chain(element) {
            bound.key = key.clone();
        }
    }

    /// Whether a path of this route may hold a protected value of `other`, to whichever method.
    pub(super) fn hides(&self, other: &Self) -> bool {
        let fits = |(own, its): (&Segment, &Segment)| match (own, its) {
            (Segment::Literal(own), Segment::Literal(its)) => own == its,
            (Segment::Parameter { .. }, _) | (_, Segment::Parameter { .. }) => true,
        };
        let holds = |(own, its): (&Segment, &Segment)| {
            matches!(own, Segment::Parameter { .. })
                && matches!(its, Segment::Parameter { protected: true, .. })
        };
        let pairs = || self.segments.iter().zip(&other.segments);
        self.segments.len() == other.segments.len() && pairs().all(fits) && pairs().any(holds)
    }

    /// The protected parameters in a path that matches: name, and where the value stands.
    pub(super) fn parameters<'p>(
        &self,
        path: &'p Path,
    ) -> impl Iterator<Item = (&str, &'p Range<usize>, &'p Decoded)> {
        self.segments.iter().zip(&path.segments).filter_map(|(own, (range, text))| match own {
            Segment::Parameter { name, protected: true } => Some((name.as_str(), range, text)),
            Segment::Literal(_) | Segment::Parameter { .. } => None,
        })
    }
}

/// What a method does to what it is sent to.
fn verb(method: &str) -> Option<Verb> {
    match method {
        "GET" | "HEAD" => Some(Verb::Read),
        "POST" => Some(Verb::Create),
        "PUT" => Some(Verb::Replace),
        "PATCH" => Some(Verb::Update),
        "DELETE" => Some(Verb::Delete),
        _ => None,
    }
}

/// The path of a target.
pub(super) struct Path {
    segments: Vec<(Range<usize>, Decoded)>,
    /// What is left when everything is done that some server does: decoding again, resolving dots,
    /// dropping empty segments and matrix parameters, taking backslashes for slashes.
    normal: Vec<String>,
    /// Whether servers may differ about the segments.
    pub(super) is_ambiguous: bool,
}

impl Path {
    /// Reads the path. `None` if it cannot be decoded.
    pub(super) fn new(target: &str) -> Option<Self> {
        let (path, _) = text::split(target);
        if !target.starts_with('/') {
            return None;
        }
        let mut segments = Vec::new();
        for range in text::pieces(target, 1..path.end, '/') {
            segments.push((range.clone(), Decoded::of_segment(target, range)?));
        }
        let mut normal: Vec<String> = Vec::new();
        let mut is_ambiguous = false;
        let last = segments.len().saturating_sub(1);
        for (at, (range, text)) in segments.iter().enumerate() {
            let raw = target.get(range.clone()).unwrap_or_default();
            let full = decode_fully(raw.split(';').next().unwrap_or_default());
            is_ambiguous |= raw.contains(';')
                || full.contains(['/', '\\', '\0'])
                || matches!(full.as_str(), "." | "..")
                || (text.text().is_empty() && at != last);
            for part in full.split(['/', '\\']) {
                match part {
                    "" | "." => {}
                    ".." => drop(normal.pop()),
                    part => normal.push(part.to_owned()),
                }
            }
        }
        Some(Self { segments, normal, is_ambiguous })
    }
}

fn decode_fully(raw: &str) -> String {
    let mut text = raw.to_owned();
    for _ in 0..3 {
        match Decoded::of_segment(&text, 0..text.len()) {
            Some(decoded) if decoded.text() != text => text = decoded.text().to_owned(),
            _ => break,
        }
    }
    text
}
