//! What a job works on: the entities of each API, with the columns and keys that the API says they
//! have.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use http::{Method, StatusCode};
use serde_json::{Map, Value};

use crate::{
    base::ident::{ApiName, EntityName, FieldName},
    config::{Config, Walk},
    policy::{ApiPolicy, Column, Policy},
    seal::stored::{Aim, Cell, Layout, Place, StoredError},
};

use super::{
    caller::{Ask, Caller},
    walk::{self, Table},
};

/// The dialect whose APIs can be walked.
const WALKED: &str = "postgrest";

/// Which part of everything a job is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Only {
    /// Of this API.
    pub api: Option<String>,
    /// Of this entity.
    pub entity: Option<String>,
    /// Of this field.
    pub field: Option<String>,
}

/// One API and what of it a job works on.
pub struct Target {
    /// Its name.
    pub name: ApiName,
    /// The way to it.
    pub caller: Arc<Caller>,
    /// The tables.
    pub entities: Vec<Entity>,
    /// The lists of documents.
    pub lists: Vec<(EntityName, Walk)>,
}

/// One entity.
#[derive(Clone)]
pub struct Entity {
    /// Its name in the policy.
    pub name: EntityName,
    /// Its name at the API.
    pub table: Table,
    /// Its columns.
    pub layout: Arc<Layout>,
    /// How many records there were at the start.
    pub records: u64,
}

/// Asks the APIs what there is.
pub async fn describe(
    config: &Config,
    policy: &Policy,
    aim: Aim,
    only: &Only,
) -> anyhow::Result<Vec<Target>> {
    let mut targets = Vec::new();
    for section in &config.apis {
        let is_meant = only.api.as_deref().is_none_or(|api| api == section.name.as_str());
        let Some(api) = policy.api(&section.name).filter(|api| is_meant && !api.is_open()) else {
            continue;
        };
        if api.dialect() != WALKED {
            let lists = lists(config, policy, api, only)?;
            let caller = Arc::new(Caller::new(section, config)?);
            targets.push(Target { name: api.name().clone(), caller, entities: Vec::new(), lists });
            continue;
        }
        let caller = Caller::new(section, config).with_context(|| format!("API {}", api.name()))?;
        let entities = entities(&caller, api, aim, only).await;
        let entities = entities.with_context(|| format!("API {}", api.name()))?;
        if !entities.is_empty() {
            let (name, caller, lists) = (api.name().clone(), Arc::new(caller), Vec::new());
            targets.push(Target { name, caller, entities, lists });
        }
    }
    if targets.is_empty() {
        bail!("the policy declares nothing that this names; see labseal check");
    }
    Ok(targets)
}

/// The lists of documents of an API that does not say itself what it has.
fn lists(
    config: &Config,
    policy: &Policy,
    api: &ApiPolicy,
    only: &Only,
) -> anyhow::Result<Vec<(EntityName, Walk)>> {
    let name = api.name();
    let walks = config.jobs.of(name).walk;
    if walks.is_empty() {
        bail!(
            "API {name} is of dialect {}, and nothing says how its records are walked: add jobs: \
             {{apis: {{{name}: {{walk: [{{list: \"GET /…\", …}}]}}}}}}, or name the others with --api",
            api.dialect()
        );
    }
    if only.field.is_some() {
        bail!("API {name} is walked by document, so leave out --field");
    }
    if policy.migrating().iter().any(|one| one.api == *name) {
        bail!(
            "API {name} has fields in migration, and values in clear are not found in documents: \
             write its records again through labseal, and declare the fields sealed"
        );
    }
    let named = walks.into_iter().map(|walk| (EntityName::new(format!("GET {}", walk.list)), walk));
    let is_meant =
        |entity: &EntityName| only.entity.as_deref().is_none_or(|name| name == entity.as_str());
    Ok(named.filter(|(entity, _)| is_meant(entity)).collect())
}

async fn entities(
    caller: &Caller,
    api: &ApiPolicy,
    aim: Aim,
    only: &Only,
) -> anyhow::Result<Vec<Entity>> {
    let columns = api.columns();
    let mut entities = Vec::new();
    for schema in &api.surface().schemas {
        let of_schema = api.surface().entities.iter().filter_map(|decl| {
            let (of, table) = decl.name.as_str().split_once('.')?;
            let is_meant = only.entity.as_deref().is_none_or(|name| name == decl.name.as_str());
            (of == schema && is_meant).then_some((&decl.name, table))
        });
        let mut definitions = None;
        for (name, table) in of_schema {
            let is_meant = |column: &&Column<'_>| {
                column.entity == name
                    && only.field.as_deref().is_none_or(|field| field == column.name.as_str())
            };
            let columns: Vec<_> = columns.iter().filter(is_meant).collect();
            if columns.is_empty() {
                continue;
            }
            if definitions.is_none() {
                definitions = Some(definitions_of(caller, schema).await?);
            }
            let definition = definitions.as_ref().and_then(|all| all.get(table));
            let Some(properties) = definition.and_then(|it| it.get("properties")?.as_object())
            else {
                bail!(
                    "the API shows no table or view {name}: the caller of jobs: may not see it, or \
                     the policy names it wrongly; see labseal check --live"
                );
            };
            let table = Table { schema: schema.clone(), name: table.to_owned() };
            let mut layout = layout(api, name, &columns, properties)?;
            let is_open = |place: &&Place| match aim {
                Aim::Count => false,
                Aim::Reseal => place.seals_plaintext,
                Aim::Unseal => true,
            };
            let in_clear = layout.places.iter().filter(is_open);
            if let Some(place) = in_clear.into_iter().find(|place| layout.key.contains(&place.name))
            {
                bail!("{name}: {}", StoredError::KeyInClear(place.name.clone()));
            }
            let needs_revision = |place: &Place| place.seals_plaintext || place.holds == Cell::Json;
            if layout.places.iter().any(needs_revision) {
                let target = walk::probe(&table);
                let ask = Ask { schema: Some(schema), ..Ask::new(Method::GET, &target) };
                layout.has_revision = caller.ask(ask).await?.status.is_success();
            }
            let records = count(caller, &table, &layout).await?;
            let layout = Arc::new(layout);
            entities.push(Entity { name: name.clone(), table, layout, records });
        }
    }
    Ok(entities)
}

async fn definitions_of(caller: &Caller, schema: &str) -> anyhow::Result<Map<String, Value>> {
    let ask = Ask { schema: Some(schema), ..Ask::new(Method::GET, "/") };
    let answer = caller.ask(ask).await?;
    if answer.status != StatusCode::OK {
        bail!(
            "the API answered {} when it was asked to describe itself: jobs: names the headers of \
             the caller, and openapi-mode in PostgREST must not be disabled",
            answer.status
        );
    }
    let mut described: Value = serde_json::from_slice(&answer.body).context("no OpenAPI")?;
    match described.get_mut("definitions").map(Value::take) {
        Some(Value::Object(definitions)) => Ok(definitions),
        _ => Ok(Map::new()),
    }
}

fn layout(
    api: &ApiPolicy,
    entity: &EntityName,
    columns: &[&Column<'_>],
    properties: &Map<String, Value>,
) -> anyhow::Result<Layout> {
    let word = |name: &FieldName, key| properties.get(name.as_str())?.get(key)?.as_str();
    let mut places = Vec::new();
    for column in columns {
        let Some(ty) = word(column.name, "format").or_else(|| word(column.name, "type")) else {
            bail!("{entity} has no column {}; see labseal check --live", column.name);
        };
        let holds = match ty {
            "json" | "jsonb" => Cell::Json,
            _ => Cell::Text,
        };
        places.push(Place {
            name: column.name.clone(),
            class: column.class.clone(),
            is_bound: column.is_bound,
            seals_plaintext: column.accepts_plaintext(),
            holds,
        });
    }
    let marked = || {
        let is_key = |property: &Value| {
            property["description"].as_str().is_some_and(|text| text.contains("<pk/>"))
        };
        let names = properties.iter().filter(|(_, property)| is_key(property));
        names.map(|(name, _)| FieldName::new(name.as_str())).collect::<Vec<_>>()
    };
    let key = api.primary_key(entity).map_or_else(marked, <[_]>::to_vec);
    if key.is_empty() {
        bail!("{entity} has no primary key that the API tells: name it with key: in the policy");
    }
    let is_bound = places.iter().any(|place| place.is_bound);
    let bind = api.bind_rule(entity).filter(|_| is_bound).cloned();
    Ok(Layout { places, key, bind, has_revision: false })
}

async fn count(caller: &Caller, table: &Table, layout: &Layout) -> anyhow::Result<u64> {
    let target = walk::count(table, layout);
    let ask = Ask {
        schema: Some(&table.schema),
        prefer: Some("count=exact"),
        ..Ask::new(Method::GET, &target)
    };
    let answer = caller.ask(ask).await?;
    if !answer.status.is_success() {
        bail!(
            "the API answered {} when it was asked for {}.{}: grant SELECT on it to the caller of \
             jobs:",
            answer.status,
            table.schema,
            table.name
        );
    }
    Ok(answer.total.unwrap_or_default())
}
