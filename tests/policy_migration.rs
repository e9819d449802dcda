//! `migration:` of a field: its end, and what is decided while it lasts.

use http::{HeaderMap, HeaderValue};
use labseal::{
    auth::Facts,
    base::{
        day::Day,
        ident::{EntityName, FieldName, FunctionName},
        refusal::Code,
        secret::Plaintext,
    },
    model::{
        BodyForm, FieldRef, Filter, FunctionDecl, Node, Operation, Placement, Target, Test, Use,
        UseKind, Verb,
    },
    policy::{Migration, Plan, Policy, Severity, plan::Holds},
};

const POLICY: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  d: {id: d, mode: deterministic}
  e: {id: e, mode: deterministic}
callers:
  full:   {api_key: {header: X-full, sha256_file: hash}}
  masked: {api_key: {header: X-masked, sha256_file: hash}}
grants:
  full:   {"*": {read: clear, filter: allow, write: allow}}
  masked: {"*": {read: clear, filter: allow}, d: {read: masked, filter: allow}}
apis:
  - name: db
    dialect: postgrest
    undeclared: {entities: [wards], why: "no patient data"}
    functions:
      keep: {args: {d: {class: d, use: store}}}
      find: {args: {d: {class: d, use: test}}}
      both: {args: {d: {class: d}}}
      free: {args: {e: {class: e, use: test}}}
    entities:
      patients:
        fields:
          d: {class: d, unique: true, migration: {state: plaintext_ok, until: 2026-12-31}}
          e: {class: e}
"#;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn policy() -> Policy {
    let folder = tempfile::tempdir().unwrap();
    let hash = labseal::base::digest::Digest::of(&[KEY.as_bytes()]);
    std::fs::write(folder.path().join("hash"), hash.to_string()).unwrap();
    let path = folder.path().join("policy.yaml");
    std::fs::write(&path, POLICY).unwrap();
    let (policy, warnings) = Policy::load(&path).unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].message.starts_with("a unique index does not see"));
    policy
}

fn plan(name: &str, operation: &Operation) -> Result<Plan, Code> {
    let policy = policy();
    let mut headers = HeaderMap::new();
    let header: http::HeaderName = format!("x-{name}").parse().unwrap();
    headers.insert(header, HeaderValue::from_static(KEY));
    let facts = Facts { headers: &headers, certificate: None, unix_peer: None };
    let caller = policy.rules().identify(&facts).unwrap();
    policy.apis()[0].plan(operation, &caller).map_err(|refusal| refusal.code)
}

fn patients() -> EntityName {
    EntityName::new("public.patients")
}

fn operation(verb: Verb, target: Target, uses: Vec<Use>) -> Operation {
    Operation { verb, target, uses, ..Operation::unexamined() }
}

fn used(entity: EntityName, column: &str, kind: UseKind) -> Vec<Use> {
    let column = FieldName::new(column);
    vec![Use { entity: Some(entity), column, kind, place: Placement::Required }]
}

fn equal(operator: &'static str) -> UseKind {
    UseKind::Filter(Filter { operator, test: Test::Equal(Plaintext::from("x")) })
}

#[test]
fn the_end_is_warned_of_for_thirty_days_and_is_an_error_afterwards() {
    let policy = policy();
    let field = FieldRef { entity: patients(), field: FieldName::new("d") };
    let until: Day = "2026-12-31".parse().unwrap();
    assert_eq!(policy.apis()[0].migration(&field), Migration::PlaintextOk { until });
    let said = |day: &str| -> Vec<(Severity, String, usize)> {
        let found = policy.overdue(day.parse().unwrap()).into_iter();
        found.map(|one| (one.severity, one.message, one.line)).collect()
    };
    assert_eq!(said("2026-11-30"), []);
    for (day, left) in [("2026-12-01", 30), ("2026-12-31", 0)] {
        let message = format!("`public.patients.d` may be plaintext_ok for {left} more days");
        assert_eq!(said(day), [(Severity::Warning, message, 24)]);
    }
    let message = "`public.patients.d` was to be plaintext_ok until 2026-12-31 at most";
    assert_eq!(said("2027-01-01"), [(Severity::Error, message.to_owned(), 24)]);
}

#[test]
fn tests_ask_for_both_forms_and_keys_are_not_decided_by_them() {
    let target = || Target::Entity(patients());
    let of = |verb, column: &str, kind| operation(verb, target(), used(patients(), column, kind));
    for verb in [Verb::Read, Verb::Update, Verb::Delete] {
        for (column, holds) in [("d", Holds::Mixed), ("e", Holds::Envelopes)] {
            let plan = plan("full", &of(verb, column, equal("eq"))).unwrap();
            assert_eq!(plan.filters[0].as_ref().map(|rule| rule.holds), Some(holds));
        }
    }
    for (verb, kind) in [
        (Verb::Create, UseKind::Conflict),
        (Verb::Create, UseKind::Key),
        (Verb::Replace, equal("eq")),
    ] {
        let refused = plan("full", &of(verb, "d", kind.clone())).map(drop);
        assert_eq!(refused, Err(Code::MixedKey), "{kind:?}");
        assert!(plan("full", &of(verb, "e", kind)).is_ok());
    }
}

#[test]
fn a_function_is_given_what_it_stores_and_not_what_it_compares() {
    for (name, argument, code) in [
        ("keep", "d", None),
        ("find", "d", Some(Code::MixedTest)),
        ("both", "d", Some(Code::MixedTest)),
        ("free", "e", None),
    ] {
        let function = FunctionName::new(format!("public.{name}"));
        let arguments = FunctionDecl::arguments_of(&function);
        let target = Target::Function(function);
        let uses = used(arguments.clone(), argument, equal("argument"));
        let by_get = operation(Verb::Call, target.clone(), uses);
        assert_eq!(plan("full", &by_get).map(drop).err(), code, "{name}");
        let mut body = Node { record: true, ..Node::default() };
        let field = FieldRef { entity: arguments, field: FieldName::new(argument) };
        body.members.insert(argument.to_owned(), Node::leaf(field));
        let mut by_post = operation(Verb::Call, target, Vec::new());
        by_post.body = BodyForm::Records(body);
        assert_eq!(plan("full", &by_post).map(drop).err(), code, "{name}");
    }
}

#[test]
fn what_nobody_declares_is_closed_to_callers_who_may_not_see_all_of_it() {
    let embed = |entity: &str| {
        let kind = UseKind::Embed;
        let uses = used(EntityName::new(entity), "x", kind);
        operation(Verb::Read, Target::Entity(patients()), uses)
    };
    let undeclared =
        |name: &str| operation(Verb::Read, Target::Undeclared(EntityName::new(name)), Vec::new());
    let call =
        |name: &str| operation(Verb::Call, Target::Function(FunctionName::new(name)), Vec::new());
    for (operation, is_closed) in [
        (undeclared("public.view"), true),
        (undeclared("public.wards"), false),
        (embed("public.view"), true),
        (embed("public.wards"), false),
        (call("public.keep"), true),
        (operation(Verb::Describe, Target::Service, Vec::new()), false),
        (operation(Verb::Read, Target::Entity(patients()), Vec::new()), false),
    ] {
        let code = is_closed.then_some(Code::MixedElsewhere);
        assert_eq!(plan("masked", &operation).map(drop).err(), code, "{operation:?}");
        let seen = plan("full", &operation).unwrap();
        assert!(!seen.hides_errors);
    }
    let own = operation(Verb::Read, Target::Entity(patients()), Vec::new());
    assert!(plan("masked", &own).unwrap().hides_errors);
}
