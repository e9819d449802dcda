//! The routes of a plain JSON API: where protected values are in its paths, queries and bodies.

use std::sync::Arc;

use crate::{
    base::{
        class::Mode,
        ident::{EntityName, FieldName},
    },
    model::{FieldRef, Rest, RouteDecl, Unknown},
};

use super::{
    apis::{Declared, Field},
    classes::Classes,
    diagnostic::Problems,
    document::{Fields, Node, list, reader::pairs, reader::suggest, text, truth},
    entities::{self, Reading, field},
    migration::Migration,
    plan::Class,
    records::{self, Bind},
};

/// Reads `routes:`.
pub(super) fn read(
    node: &Node,
    classes: &Classes,
    unknown: Unknown,
    declared: &mut Declared,
    problems: &mut Problems,
) -> Vec<RouteDecl> {
    let mut routes: Vec<RouteDecl> = Vec::new();
    for item in list(node, "routes", problems).unwrap_or_default() {
        let Some(route) = route(item, classes, unknown, declared, problems) else { continue };
        if routes.iter().any(|other| other.pattern == route.pattern) {
            let message = format!("`{}` is declared twice", route.pattern);
            problems.error(item.at, message, "keep one");
        }
        routes.push(route);
    }
    routes
}

fn route(
    node: &Node,
    classes: &Classes,
    unknown: Unknown,
    declared: &mut Declared,
    problems: &mut Problems,
) -> Option<RouteDecl> {
    let mut fields = Fields::of(node, "a route", problems)?;
    fields.later(&["body", "headers", "when"]);
    let pattern = fields.required("match", "add match: \"GET /patients/{mrn}\"", problems);
    let (path, query) = (fields.optional("path"), fields.optional("query"));
    let (places, form) = (fields.optional("fields"), fields.optional("form"));
    let (bind, unknown_fields) = (fields.optional("bind"), fields.optional("unknown_fields"));
    let may_name = fields.optional("may_name");
    let (open, why) = (fields.optional("open"), fields.optional("why"));
    fields.finish(problems);
    let pattern_node = pattern?;
    let pattern = pattern_text(pattern_node, problems)?;
    let entity = EntityName::new(pattern);
    let mut route = RouteDecl {
        pattern: entity.clone(),
        path: Vec::new(),
        query: Vec::new(),
        fields: Vec::new(),
        form: Vec::new(),
        may_name: Vec::new(),
        rest: Rest { plain: Vec::new(), unknown },
        bind: None,
        is_open: false,
    };
    if let Some(open) = open {
        let others = [path, query, places, form, bind, unknown_fields, may_name];
        route.is_open = is_open(open, why, others, problems);
        // Nothing that an API says of unknown fields is for what nobody looks at.
        route.rest.unknown = Unknown::Pass;
        return Some(route);
    }
    if let Some(why) = why {
        problems.error(why.at, "why is for open routes", "add open: true, or leave it out");
    }
    let mut declare = |name: String, field: Field| {
        let name = FieldName::new(name);
        declared.fields.push((FieldRef { entity: entity.clone(), field: name.clone() }, field));
        name
    };

    for (key, node) in path.and_then(|node| pairs(node, "path", problems)).unwrap_or_default() {
        if !parameters(pattern).any(|parameter| parameter == key.text) {
            let message = format!("the path has no parameter `{}`", key.text);
            problems.error(key.at, message, suggest(&key.text, parameters(pattern)));
        }
        let Some(class) = classes.named(node, problems) else { continue };
        if class.params.mode != Mode::Deterministic {
            let mode = class.params.mode.as_str();
            let message = format!("a path names one stored value, and a {mode} class has many");
            problems.error(node.at, message, "use a deterministic class");
            continue;
        }
        declare(format!("path:{}", key.text), of_parameter(class, key.at.line));
        route.path.push(key.text.clone());
    }
    for (key, node) in query.and_then(|node| pairs(node, "query", problems)).unwrap_or_default() {
        let Some(class) = classes.named(node, problems) else { continue };
        match class.params.mode {
            Mode::Deterministic => {}
            Mode::Random => {
                let message = "a random class cannot be tested for equality";
                problems.error(node.at, message, "use a deterministic or searchable class");
                continue;
            }
            Mode::Searchable => problems.warning(
                node.at,
                format!("`{}` is rewritten to a prefix, so the API must test it as one", key.text),
                "check the API, or use a deterministic class",
            ),
        }
        declare(format!("query:{}", key.text), of_parameter(class, key.at.line));
        route.query.push(key.text.clone());
    }
    for (key, node) in places.and_then(|node| pairs(node, "fields", problems)).unwrap_or_default() {
        if !is_json_path(&key.text) {
            let message = format!("`{}` is not a JSONPath that is read here", key.text);
            problems.error(key.at, message, "write $.name, $.list[*].name or $[*].name");
            continue;
        }
        match field(node, key.at, classes, problems) {
            Some(Reading::Protected(field)) => {
                route.fields.push(declare(key.text.clone(), field));
            }
            Some(Reading::Plain) => route.rest.plain.push(FieldName::new(key.text.as_str())),
            None => {}
        }
    }
    for (key, node) in form.and_then(|node| pairs(node, "form", problems)).unwrap_or_default() {
        if !["PATCH ", "POST ", "PUT "].iter().any(|method| pattern.starts_with(method)) {
            let message = "a request of this route has no form";
            problems.error(key.at, message, "leave it out, or declare the route that takes it");
            continue;
        }
        let Some(class) = classes.named(node, problems) else { continue };
        declare(format!("form:{}", key.text), of_parameter(class, key.at.line));
        route.form.push(key.text.clone());
    }
    let named = may_name.and_then(|node| list(node, "may_name", problems)).unwrap_or_default();
    for node in named {
        route.may_name.extend(text(node, "may_name", problems).map(str::to_owned));
    }
    if let Some(node) = unknown_fields {
        route.rest.unknown = entities::unknown(node, problems).unwrap_or_default();
    }
    if let Some(bind) = bind.and_then(|node| records::read(node, problems))
        && can_bind(&bind, pattern, problems)
    {
        route.bind = bind.settle(&entity, None, declared, problems);
        if let Some(bind) = &route.bind
            && is_json_path(bind.key.as_str())
            && !route.fields.contains(&bind.key)
            && !route.rest.plain.contains(&bind.key)
        {
            route.rest.plain.push(bind.key.clone());
        }
    }
    Some(route)
}

/// `open: true` with `why:`, and nothing else.
fn is_open(
    open: &Node,
    why: Option<&Node>,
    others: [Option<&Node>; 7],
    problems: &mut Problems,
) -> bool {
    let is_open = truth(open, "open", problems);
    if is_open == Some(false) {
        problems.error(open.at, "open: false says nothing", "leave it out");
    }
    match why {
        Some(why) => drop(text(why, "why", problems)),
        None => problems.error(
            open.at,
            "an open route lacks `why`",
            "say why nothing protected passes there",
        ),
    }
    for other in others.into_iter().flatten() {
        let message = "nothing in an open route is looked at";
        problems.error(other.at, message, "leave it out, or leave open: out");
    }
    is_open == Some(true)
}

/// Whether the key of a route is at a place that can be found.
fn can_bind(bind: &Bind<'_>, pattern: &str, problems: &mut Problems) -> bool {
    let key = bind.key();
    let found = match key.strip_prefix("path:") {
        Some(name) => parameters(pattern).any(|parameter| parameter == name),
        None => is_json_path(key),
    };
    if !found {
        let message = format!("`{key}` is no place of this route");
        problems.error(bind.key_at(), message, "write path:name, $.name or $.list[*].name");
    }
    found
}

fn of_parameter(class: Arc<Class>, line: usize) -> Field {
    Field {
        class,
        unique: false,
        argument: None,
        line,
        is_bound: false,
        migration: Migration::Sealed,
    }
}

/// `METHOD /path/{parameter}`.
fn pattern_text<'a>(node: &'a Node, problems: &mut Problems) -> Option<&'a str> {
    let pattern = text(node, "match", problems)?;
    let sound = pattern.split_once(' ').is_some_and(|(method, path)| {
        let method = !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase());
        method && path.starts_with('/') && !path.contains([' ', '?', '#'])
    });
    let mut seen = Vec::new();
    let twice = parameters(pattern).any(|name| {
        let twice = seen.contains(&name);
        seen.push(name);
        twice
    });
    if !sound || twice {
        let message = format!("`{pattern}` is not a route");
        problems.error(node.at, message, "write METHOD /path/{parameter}, each parameter once");
        return None;
    }
    Some(pattern)
}

/// The names between braces.
fn parameters(pattern: &str) -> impl Iterator<Item = &str> + Clone {
    pattern.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

/// A first look; the dialect reads it for good.
fn is_json_path(text: &str) -> bool {
    text == "$" || text.starts_with("$.") || text.starts_with("$[")
}
