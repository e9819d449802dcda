//! What is counted, for `/metrics`, in OpenMetrics text.
//!
//! Labels are names from the two files and words from closed lists, so their number is bounded and
//! none can hold a value: the verb but not the path, the refusal code but not the field. Entities
//! are left out on purpose, since the audit log has them; but for fields in migration, of which the
//! policy says how many there are, and which fall to none.

mod job;

use std::time::Duration;

use http::StatusCode;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

use crate::{
    audit::{Action, Counts, Fate},
    base::{digest::Digest, ident::ApiName, refusal::Code},
    keys::Freshness,
    model::FieldRef,
    policy::Migrating,
};

pub use job::JobMetrics;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    api: String,
    verb: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfClass {
    class: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfApi {
    api: String,
}

/// A field in migration: a name of the policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfField {
    api: String,
    entity: String,
    field: String,
}

impl OfField {
    fn new(api: &ApiName, field: &FieldRef) -> Self {
        Self {
            api: api.as_str().to_owned(),
            entity: field.entity.as_str().to_owned(),
            field: field.field.as_str().to_owned(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InForce {
    digest: String,
}

/// 50 µs to about 26 s in powers of two: from an exchange that seals nothing to a stuck upstream.
#[derive(Clone)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(50e-6, 2.0, 20))
    }
}

/// The counters of one sidecar. More than eight fields, because each is one line of `/metrics`.
pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    refusals: Family<Refused, Counter>,
    /// One family for each of [`Fate::ALL`], in that order.
    values: [Family<OfClass, Counter>; Fate::ALL.len()],
    strays_passed: Counter,
    unknown_fields: Family<OfApi, Counter>,
    plaintext_seen: Family<OfField, Counter>,
    migration_until: Family<OfField, Gauge>,
    overhead: Family<OfApi, Histogram, Buckets>,
    upstream: Family<OfApi, Histogram, Buckets>,
    inflight: Gauge,
    reload_successful: Gauge,
    policy: Family<InForce, Gauge>,
    key_epoch: Gauge,
    keys_seal: Gauge,
    keys_open: Gauge,
    job: JobMetrics,
}

/// An exchange is in flight for as long as this lives.
#[must_use = "dropped at once, it counts nothing"]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("labseal");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running version", version);
        let requests = Family::default();
        registry.register("requests", "Exchanges by API, verb and outcome", requests.clone());
        let refusals = Family::default();
        registry.register("refusals", "Refusals by code, see docs/errors.md", refusals.clone());
        let values = Fate::ALL.map(|fate| {
            let (name, help) = family_of(fate);
            let family = Family::default();
            registry.register(name, help, family.clone());
            family
        });
        let strays_passed = Counter::default();
        let help = "Envelope-shaped texts in answers that did not open and passed unchanged";
        registry.register("strays_passed", help, strays_passed.clone());
        let unknown_fields = Family::default();
        let help = "Fields of requests that passed, although the policy does not list them";
        registry.register("unknown_fields", help, unknown_fields.clone());
        let plaintext_seen = Family::default();
        let help = "Values in clear in answers, of fields in migration";
        registry.register("plaintext_values_seen", help, plaintext_seen.clone());
        let migration_until = Family::default();
        let help = "When the migration of a field was to end, since the Unix epoch";
        registry.register_with_unit(
            "migration_until",
            help,
            Unit::Seconds,
            migration_until.clone(),
        );
        let overhead = Family::new_with_constructor(Buckets);
        let help = "Time of an exchange less the time of the database API";
        registry.register_with_unit("overhead", help, Unit::Seconds, overhead.clone());
        let upstream = Family::new_with_constructor(Buckets);
        let help = "Time until the database API has answered";
        registry.register_with_unit("upstream", help, Unit::Seconds, upstream.clone());
        let inflight = Gauge::default();
        registry.register("inflight", "Exchanges in flight", inflight.clone());
        let reload_successful = Gauge::default();
        let help = "1 if the last reload of the policy succeeded, 0 if the old one stays in force";
        registry.register("config_last_reload_successful", help, reload_successful.clone());
        let policy = Family::default();
        registry.register("policy_info", "The digest of the policy in force", policy.clone());
        let key_epoch = Gauge::default();
        registry.register("key_epoch", "The last entry of the key log in use", key_epoch.clone());
        let (keys_seal, keys_open) = (Gauge::default(), Gauge::default());
        let help = "1 while values are sealed, 0 while the key store has been out of reach for longer \
                    than keys.lease";
        registry.register("keys_seal", help, keys_seal.clone());
        let help = "1 while values are opened, 0 while the key store has been out of reach for longer \
                    than keys.grace";
        registry.register("keys_open", help, keys_open.clone());
        let job = JobMetrics::register(&mut registry);
        Self {
            registry,
            requests,
            refusals,
            values,
            strays_passed,
            unknown_fields,
            plaintext_seen,
            migration_until,
            overhead,
            upstream,
            inflight,
            reload_successful,
            policy,
            key_epoch,
            keys_seal,
            keys_open,
            job,
        }
    }

    /// The job on stored values.
    pub fn job(&self) -> &JobMetrics {
        &self.job
    }

    /// An exchange begins; it ends when the answer of this is dropped.
    pub fn enter(&self) -> InFlight {
        self.inflight.inc();
        InFlight(self.inflight.clone())
    }

    /// An exchange has ended with `outcome`, a word from a closed list.
    pub fn exchange(
        &self,
        action: &Option<Action>,
        outcome: &'static str,
        overhead: Duration,
        upstream: Option<(StatusCode, Duration)>,
    ) {
        let api = action.as_ref().map_or("none", |action| action.api.as_str()).to_owned();
        let subject = action.as_ref().and_then(|action| action.subject.as_ref());
        let verb = subject.map_or("unclassified", |(verb, _)| verb.as_str());
        let request = Request { api: api.clone(), verb, outcome };
        self.requests.get_or_create(&request).inc();
        let api = OfApi { api };
        self.overhead.get_or_create(&api).observe(overhead.as_secs_f64());
        if let Some((_, took)) = upstream {
            self.upstream.get_or_create(&api).observe(took.as_secs_f64());
        }
    }

    /// A request was refused.
    pub fn refused(&self, code: Code) {
        self.refusals.get_or_create(&Refused { code: code.number() }).inc();
    }

    /// What an exchange did to values.
    pub fn values(&self, counts: &Counts) {
        for (class, by_fate) in &counts.classes {
            for (family, fate) in self.values.iter().zip(Fate::ALL) {
                let count = by_fate.of(fate);
                if count > 0 {
                    let class = OfClass { class: class.as_str().to_owned() };
                    family.get_or_create(&class).inc_by(count);
                }
            }
        }
        self.strays_passed.inc_by(counts.strays_passed);
    }

    /// Fields passed that the policy of this API does not list.
    pub fn unknown_fields(&self, api: &ApiName, count: u64) {
        let api = OfApi { api: api.as_str().to_owned() };
        self.unknown_fields.get_or_create(&api).inc_by(count);
    }

    /// Values in clear were in an answer.
    pub fn plaintext_seen(&self, api: &ApiName, field: &FieldRef, count: u64) {
        self.plaintext_seen.get_or_create(&OfField::new(api, field)).inc_by(count);
    }

    /// A policy came into force. Its fields in migration are counted from zero on, so that one that
    /// is not seen can be told from one that is not there.
    pub fn policy_in_force(&self, digest: Digest, migrating: &[Migrating]) {
        self.reload_successful.set(1);
        self.migration_until.clear();
        for one in migrating {
            let field = OfField::new(&one.api, &one.field);
            self.migration_until.get_or_create(&field).set(one.until.end());
            drop(self.plaintext_seen.get_or_create(&field));
        }
        self.policy.clear();
        self.policy.get_or_create(&InForce { digest: digest.to_string() }).set(1);
    }

    /// A policy was refused; the old one stays in force.
    pub fn policy_refused(&self) {
        self.reload_successful.set(0);
    }

    /// The key log was read up to this entry.
    pub fn key_epoch(&self, epoch: u64) {
        self.key_epoch.set(i64::try_from(epoch).unwrap_or(i64::MAX));
    }

    /// How far keys may be relied on.
    pub fn keys_are(&self, freshness: Freshness) {
        self.keys_seal.set(i64::from(freshness == Freshness::Fresh));
        self.keys_open.set(i64::from(freshness != Freshness::Expired));
    }

    /// All of it, in OpenMetrics text (version 1.0.0).
    pub fn encode(&self) -> String {
        let mut out = String::new();
        // Invariant: writing into a String does not fail, and nothing else here can.
        if text::encode(&mut out, &self.registry).is_err() {
            out.clear();
        }
        out
    }
}

fn family_of(fate: Fate) -> (&'static str, &'static str) {
    match fate {
        Fate::Failed => ("integrity_failures", "Stored values that failed their integrity check"),
        Fate::Masked => ("fields_masked", "Values shown as their mask"),
        Fate::Opened => ("fields_opened", "Values opened"),
        Fate::Plain => ("fields_plain", "Values shown that were not sealed yet"),
        Fate::PutBack => ("fields_put_back", "Envelopes stored again unchanged"),
        Fate::Sealed => ("fields_sealed", "Values sealed, in bodies and filters"),
        Fate::Withheld => ("fields_withheld", "Values answered as null or not at all"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use crate::{
        audit::Subject,
        base::ident::{ClassName, EntityName, FieldName},
        model::Verb,
        policy::Migration,
    };

    use super::*;

    fn used() -> Metrics {
        let metrics = Metrics::new();
        let subject = Some((Verb::Read, Subject::UndeclaredEntity));
        let action = Some(Action { api: ApiName::new("li\"ms\n"), subject });
        let took = Some((StatusCode::OK, Duration::from_millis(3)));
        metrics.exchange(&action, "answered", Duration::from_micros(400), took);
        metrics.exchange(&None, "refused", Duration::from_micros(20), None);
        metrics.refused(Code::StrayEnvelope);
        let mut counts = Counts { strays_passed: 2, ..Counts::default() };
        counts.add(Fate::Opened, &BTreeMap::from([(ClassName::new("mrn"), 40)]));
        counts.add(Fate::Failed, &BTreeMap::from([(ClassName::new("mrn"), 1)]));
        metrics.values(&counts);
        metrics.unknown_fields(&ApiName::new("lims"), 3);
        let field =
            FieldRef { entity: EntityName::new("lab.people"), field: FieldName::new("name") };
        let until = "2026-12-31".parse().unwrap();
        let (api, migration) = (ApiName::new("lims"), Migration::Dual { until });
        let migrating = Migrating { api, field: field.clone(), migration, until, line: 1 };
        metrics.policy_in_force(Digest([1; 32]), &[migrating]);
        metrics.plaintext_seen(&ApiName::new("lims"), &field, 4);
        metrics.policy_in_force(Digest([2; 32]), &[]);
        metrics.policy_refused();
        metrics.key_epoch(7);
        metrics
    }

    #[test]
    fn what_happened_can_be_read() {
        let metrics = used();
        let text = metrics.encode();
        for line in [
            r#"labseal_requests_total{api="li\"ms\n",verb="read",outcome="answered"} 1"#,
            r#"labseal_requests_total{api="none",verb="unclassified",outcome="refused"} 1"#,
            r#"labseal_refusals_total{code="LS103"} 1"#,
            r#"labseal_fields_opened_total{class="mrn"} 40"#,
            r#"labseal_integrity_failures_total{class="mrn"} 1"#,
            "labseal_strays_passed_total 2",
            r#"labseal_unknown_fields_total{api="lims"} 3"#,
            r#"labseal_upstream_seconds_count{api="li\"ms\n"} 1"#,
            r#"labseal_plaintext_values_seen_total{api="lims",entity="lab.people",field="name"} 4"#,
            "labseal_config_last_reload_successful 0",
            "labseal_key_epoch 7",
            "labseal_inflight 0",
            concat!("labseal_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert_eq!(text.matches("labseal_policy_info{").count(), 1);
        assert_eq!(text.matches("labseal_migration_until_seconds{").count(), 0);
        let entered = metrics.enter();
        assert!(metrics.encode().contains("\nlabseal_inflight 1\n"));
        drop(entered);
        assert!(metrics.encode().contains("\nlabseal_inflight 0\n"));
    }

    #[test]
    fn the_text_keeps_to_openmetrics() {
        let text = used().encode();
        let mut types = HashMap::new();
        let mut samples = 0;
        let mut rest = text.lines();
        for line in rest.by_ref().take_while(|line| *line != "# EOF") {
            if let Some(declared) = line.strip_prefix("# TYPE ") {
                let (name, kind) = declared.split_once(' ').unwrap();
                assert!(types.insert(name, kind).is_none(), "{line}");
            } else if !line.starts_with("# ") {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let name = name.split('{').next().unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
                let known = ["", "_total", "_info", "_bucket", "_sum", "_count"]
                    .iter()
                    .any(|end| name.strip_suffix(end).is_some_and(|name| types.contains_key(name)));
                assert!(known, "{line}");
                samples += 1;
            }
        }
        assert_eq!(rest.next(), None);
        assert!(samples > 20 && text.ends_with("# EOF\n"));
    }
}
