//! What a PostgREST API says of its columns in the OpenAPI description at its root.

use std::time::Duration;

use anyhow::{Context as _, bail};
use http::{
    HeaderName, HeaderValue, Request, StatusCode,
    header::{ACCEPT, HOST},
};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Map, Value};

use crate::{
    base::class::Mode,
    crypto::size::{envelope_len, longest_of_type, longest_that_fits, longest_value},
    policy::{ApiPolicy, Column},
    proxy::{body, upstream::Upstream},
};

use super::finding::{Finding, Kind, quoted, table};

/// More than any description takes.
const LONGEST: usize = 16 << 20;

const DESCRIBED: HeaderValue = HeaderValue::from_static("application/openapi+json");

/// Asks an API to describe each of its schemas, and compares.
pub async fn ask(
    upstream: &Upstream,
    api: &ApiPolicy,
    headers: &[(HeaderName, HeaderValue)],
    within: Duration,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for schema in &api.surface().schemas {
        let asked = tokio::time::timeout(within, describe(upstream, schema, headers)).await;
        let described = asked.context("no answer in time").and_then(|answer| answer);
        match described {
            Ok(description) => findings.extend(compare(api, schema, &description)),
            Err(error) => {
                let message = format!("schema {schema}: {error:#}");
                let line = api.dialect_line();
                findings.push(
                    Finding::of_api(api.name(), line, Kind::Undescribed, message).hint(UNDESCRIBED),
                );
            }
        }
    }
    findings
}

const UNDESCRIBED: &str = "PostgREST describes what the role of the token may see: give \
    --header \"Authorization: env:NAME\" with one for the role of the LIMS, and set openapi-mode \
    in PostgREST if it is disabled";

async fn describe(
    upstream: &Upstream,
    schema: &str,
    headers: &[(HeaderName, HeaderValue)],
) -> anyhow::Result<Value> {
    let mut request = Request::get(upstream.locate("/")?.0).body(body::none())?;
    let fields = request.headers_mut();
    fields.insert(HOST, HeaderValue::from_str(upstream.authority())?);
    fields.insert(ACCEPT, DESCRIBED);
    fields.insert("accept-profile", HeaderValue::from_str(schema)?);
    for (name, value) in headers {
        fields.append(name.clone(), value.clone());
    }
    let answer = upstream.forward(request, None).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
    if status != StatusCode::OK {
        bail!("the API answered {status} when it was asked to describe itself");
    }
    serde_json::from_slice(&body).context("what the API answered is no OpenAPI description")
}

/// Compares what is declared of one schema with its description.
fn compare(api: &ApiPolicy, schema: &str, description: &Value) -> Vec<Finding> {
    // A schema without tables has no definitions.
    let nothing = Map::new();
    let definitions = match description.get("definitions") {
        None if description.get("swagger").is_some() => Some(&nothing),
        definitions => definitions.and_then(Value::as_object),
    };
    let Some(definitions) = definitions else {
        let message = format!("schema {schema}: what the API answered is no OpenAPI 2.0");
        let line = api.dialect_line();
        return vec![
            Finding::of_api(api.name(), line, Kind::Undescribed, message).hint(UNDESCRIBED),
        ];
    };
    let columns = api.columns();
    let mut findings = Vec::new();
    for entity in &api.surface().entities {
        let Some((of, name)) = entity.name.as_str().split_once('.') else { continue };
        if of != schema {
            continue;
        }
        let mut expected = columns.iter().filter(|column| *column.entity == entity.name).peekable();
        let Some(definition) = definitions.get(name) else {
            let line = expected.peek().map_or(api.dialect_line(), |column| column.line);
            let listed: Vec<_> =
                expected.map(|column| format!("{} text", quoted(column.name.as_str()))).collect();
            let ddl = format!("CREATE TABLE {} ({});", table(&entity.name), listed.join(", "));
            let message = "the API has no such table or view".to_owned();
            let kind = Kind::MissingEntity;
            let finding = Finding::of_entity(api.name(), &entity.name, line, kind, message);
            findings.push(finding.mended_by(ddl).hint(MISSING));
            continue;
        };
        let properties = definition.get("properties").and_then(Value::as_object);
        for column in expected {
            let property = properties.and_then(|all| all.get(column.name.as_str()));
            findings.extend(judge(api, column, property));
        }
    }
    findings
}

const MISSING: &str = "correct the policy if the name is wrong; if it is there, the role that was \
    asked for may not see it: GRANT it, or ask with --header for another";
const RETYPED: &str = "values that are there become their text (add USING to choose another one) \
    and stay in clear until they are written again; views and foreign keys of the column have to \
    be changed with it";
const WIDENED: &str = "no value is rewritten";

fn judge(api: &ApiPolicy, column: &Column<'_>, property: Option<&Value>) -> Option<Finding> {
    let (relation, name) = (table(column.entity), quoted(column.name.as_str()));
    let found = |kind, message: String| Finding::of_column(api.name(), column, kind, message);
    let Some(property) = property else {
        let ddl = format!("ALTER TABLE {relation} ADD COLUMN {name} text;");
        let message = "the table has no such column".to_owned();
        return Some(found(Kind::MissingColumn, message).mended_by(ddl).hint(MISSING));
    };
    let word = |key| property.get(key).and_then(Value::as_str);
    let ty = word("format").or_else(|| word("type")).unwrap_or("of no type");
    let ddl = format!("ALTER TABLE {relation} ALTER COLUMN {name} TYPE text;");
    let mode = column.class.params.mode;
    match fit(ty, mode) {
        Fit::Never => {
            let message = format!("the column is {ty}, and sealed values are text");
            return Some(found(Kind::Typed, message).mended_by(ddl).hint(RETYPED));
        }
        Fit::NotTested => {
            let mode = mode.as_str();
            let message = format!(
                "the column is {ty}, which holds a sealed value but cannot be tested for one, and \
                 the class is {mode}"
            );
            return Some(found(Kind::Typed, message).mended_by(ddl).hint(RETYPED));
        }
        Fit::Text => {}
    }
    let room = property.get("maxLength").and_then(Value::as_u64)?;
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    let params = &column.class.params;
    let longest = longest_value(params);
    let needed = envelope_len(params, longest);
    if needed <= room {
        return None;
    }
    let takes = format!("the column takes {room} characters");
    let is_bounded = longest_of_type(params.ty).is_some();
    let (kind, message) = match longest_that_fits(params, room) {
        Some(bytes) if !is_bounded => {
            let kind = Kind::NarrowForLong;
            (kind, format!("{takes}, which is enough for values of up to {bytes} bytes"))
        }
        Some(_) | None => {
            let needed = if is_bounded { needed } else { envelope_len(params, 0) };
            let most = if is_bounded { "up to" } else { "at least" };
            (Kind::Narrow, format!("{takes}, and sealed values have {most} {needed}"))
        }
    };
    Some(found(kind, message).mended_by(ddl).hint(WIDENED))
}

/// Whether a column of some type holds sealed text.
enum Fit {
    Never,
    /// As a JSON string, which no test finds.
    NotTested,
    Text,
}

fn fit(ty: &str, mode: Mode) -> Fit {
    // `public.citext`: the type of an extension comes with its schema.
    let bare = ty.rsplit('.').next().unwrap_or(ty);
    match (bare, mode) {
        ("character varying" | "citext" | "text", _) => Fit::Text,
        ("json" | "jsonb", Mode::Random) => Fit::Text,
        ("json" | "jsonb", Mode::Deterministic | Mode::Searchable) => Fit::NotTested,
        _ => Fit::Never,
    }
}
