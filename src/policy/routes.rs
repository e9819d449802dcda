//! The routes of a plain JSON API: where protected values are in its paths, queries and bodies.

use crate::{
    base::{
        class::Mode,
        ident::{EntityName, FieldName},
    },
    model::{FieldRef, RouteDecl},
};

use super::{
    apis::{Declared, Field, field},
    classes::Classes,
    diagnostic::Problems,
    document::{Fields, Node, list, reader::pairs, reader::suggest, text},
};

/// Reads `routes:`.
pub(super) fn read(
    node: &Node,
    classes: &Classes,
    declared: &mut Declared,
    problems: &mut Problems,
) -> Vec<RouteDecl> {
    let mut routes: Vec<RouteDecl> = Vec::new();
    for item in list(node, "routes", problems).unwrap_or_default() {
        let Some(route) = route(item, classes, declared, problems) else { continue };
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
    declared: &mut Declared,
    problems: &mut Problems,
) -> Option<RouteDecl> {
    let mut fields = Fields::of(node, "a route", problems)?;
    fields.later(&["body", "headers", "open", "unknown_fields", "when"]);
    let pattern = fields.required("match", "add match: \"GET /patients/{mrn}\"", problems);
    let (path, query) = (fields.optional("path"), fields.optional("query"));
    let (places, form) = (fields.optional("fields"), fields.optional("form"));
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
    };
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
        declare(
            format!("path:{}", key.text),
            Field { class, unique: false, argument: None, line: key.at.line },
        );
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
        declare(
            format!("query:{}", key.text),
            Field { class, unique: false, argument: None, line: key.at.line },
        );
        route.query.push(key.text.clone());
    }
    for (key, node) in places.and_then(|node| pairs(node, "fields", problems)).unwrap_or_default() {
        if !is_json_path(&key.text) {
            let message = format!("`{}` is not a JSONPath that is read here", key.text);
            problems.error(key.at, message, "write $.name, $.list[*].name or $[*].name");
            continue;
        }
        let Some(field) = field(node, key.at, classes, problems) else { continue };
        route.fields.push(declare(key.text.clone(), field));
    }
    for (key, node) in form.and_then(|node| pairs(node, "form", problems)).unwrap_or_default() {
        if !["PATCH ", "POST ", "PUT "].iter().any(|method| pattern.starts_with(method)) {
            let message = "a request of this route has no form";
            problems.error(key.at, message, "leave it out, or declare the route that takes it");
            continue;
        }
        let Some(class) = classes.named(node, problems) else { continue };
        let field = Field { class, unique: false, argument: None, line: key.at.line };
        declare(format!("form:{}", key.text), field);
        route.form.push(key.text.clone());
    }
    Some(route)
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
