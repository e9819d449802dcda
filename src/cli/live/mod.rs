//! What `labseal check --live` asks: do the columns hold what the policy puts there?
//!
//! [`openapi`] asks each PostgREST API for its description of itself and compares; [`catalogue`] asks
//! the database what no description says. Both make [`finding`]s, which [`report`] prints.

mod catalogue;
mod finding;
mod openapi;
mod report;

use std::{convert::Infallible, time::Duration};

use anyhow::Context as _;
use http::{HeaderName, HeaderValue};

use crate::{app, base::ident::ApiName, config::Config, keys::named::Named, policy::Policy};

pub use finding::Finding;
pub use report::{as_json, print};

/// The dialect whose APIs describe themselves.
const DESCRIBED: &str = "postgrest";

/// What `check` takes to look at what is behind labseal.
#[derive(Debug, clap::Args)]
pub struct Look {
    /// Ask each PostgREST API whether its columns hold sealed values
    #[arg(long)]
    live: bool,
    /// A header to ask with, its value by reference: "Authorization: env:TOKEN" or "…: file:PATH"
    #[arg(long, value_name = "NAME: REF", requires = "live", value_parser = header)]
    header: Vec<Written<Header>>,
    /// Also ask the database for indexes and collations; where its URL is: env:NAME or file:PATH
    #[arg(long, value_name = "REF", requires = "live", value_parser = reference)]
    database: Option<Written<Named>>,
    /// Ask the database over a network without TLS
    #[arg(long, requires = "database")]
    danger_plaintext_database: bool,
    /// Print the query that --database asks, for an administrator to run, and ask nothing
    #[arg(long, requires = "live", conflicts_with = "database")]
    sql: bool,
}

/// A header whose value is elsewhere.
#[derive(Clone, Debug)]
struct Header {
    name: HeaderName,
    value: Named,
}

/// What was written, or why it cannot be used. A parser that fails would have clap repeat what may
/// be the secret itself.
#[derive(Clone, Debug)]
struct Written<T>(Result<T, &'static str>);

const NOT_A_REFERENCE: &str =
    "secrets are given by reference, env:NAME or file:PATH, since everybody can read arguments";

fn reference(text: &str) -> Result<Written<Named>, Infallible> {
    Ok(Written(Named::parse(text).ok_or(NOT_A_REFERENCE)))
}

fn header(text: &str) -> Result<Written<Header>, Infallible> {
    let read = || {
        let (name, value) = text.split_once(':').ok_or("write --header \"NAME: env:VARIABLE\"")?;
        let name = name.trim().parse().map_err(|_| "--header begins with no name of a header")?;
        let value = Named::parse(value.trim()).ok_or(NOT_A_REFERENCE)?;
        Ok(Header { name, value })
    };
    Ok(Written(read()))
}

/// What was asked, and what was found.
#[derive(Debug, Default)]
pub struct Live {
    /// APIs that described themselves.
    asked: Vec<ApiName>,
    /// APIs of other dialects, which have nothing to be asked.
    silent: Vec<ApiName>,
    /// Everything found.
    findings: Vec<Finding>,
    /// Whether the database was asked.
    catalogue: bool,
}

impl Live {
    /// Whether labseal can work with what is there.
    pub fn is_usable(&self) -> bool {
        !self.findings.iter().any(|finding| finding.kind.is_error())
    }
}

impl Look {
    /// Whether anything is to be asked.
    pub fn is_wanted(&self) -> bool {
        self.live
    }

    /// Whether only the query is wanted.
    pub fn wants_sql(&self) -> bool {
        self.sql
    }

    /// What is wrong with how the command was used.
    pub fn misused(&self) -> Option<&'static str> {
        let headers = self.header.iter().filter_map(|written| written.0.as_ref().err());
        let database = self.database.iter().filter_map(|written| written.0.as_ref().err());
        headers.chain(database).next().copied()
    }

    /// Asks every API of the configuration, and the database if it was named.
    pub fn ask(&self, config: &Config, policy: &Policy) -> anyhow::Result<Live> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.ask_all(config, policy))
    }

    async fn ask_all(&self, config: &Config, policy: &Policy) -> anyhow::Result<Live> {
        let mut live = Live::default();
        let headers = self.headers()?;
        for section in &config.apis {
            let Some(api) = policy.api(&section.name) else { continue };
            if api.dialect() != DESCRIBED || api.is_open() {
                live.silent.push(section.name.clone());
                continue;
            }
            let upstream = app::upstream(section, config)
                .with_context(|| format!("upstream of {}", section.name))?;
            let within = config.timeouts.upstream + config.timeouts.connect;
            live.findings.extend(openapi::ask(&upstream, api, &headers, within).await);
            live.asked.push(section.name.clone());
        }
        if let Some(Written(Ok(database))) = &self.database {
            let limits = catalogue::Limits {
                connect: config.timeouts.connect,
                answer: config.timeouts.upstream.max(Duration::from_secs(1)),
                plaintext: self.danger_plaintext_database,
            };
            let found = catalogue::ask(database, &limits, policy).await?;
            live.add_catalogue(found);
        }
        live.findings.sort_by_key(|finding| finding.line);
        Ok(live)
    }

    fn headers(&self) -> anyhow::Result<Vec<(HeaderName, HeaderValue)>> {
        let mut headers = Vec::new();
        for Header { name, value } in self.header.iter().flat_map(|written| &written.0) {
            let value = value.lend(HeaderValue::from_str)?;
            let mut value = value.with_context(|| format!("the value of header {name}"))?;
            value.set_sensitive(true);
            headers.push((name.clone(), value));
        }
        Ok(headers)
    }
}

impl Live {
    /// Adds what the database says, but for columns of which it is known already that they are not
    /// there.
    fn add_catalogue(&mut self, found: Vec<Finding>) {
        self.catalogue = true;
        for finding in found {
            let known = self.findings.iter().any(|one| {
                one.entity == finding.entity && one.kind.says_absent() && finding.kind.says_absent()
            });
            if !known {
                self.findings.push(finding);
            }
        }
    }
}

/// The query that an administrator can run instead of giving `--database`.
pub fn sql(policy: &Policy) -> String {
    catalogue::query(policy)
}
