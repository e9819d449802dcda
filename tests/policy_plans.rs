//! What a policy decides: every mode by every use, every right by every place, and what is not
//! declared.

use http::{HeaderMap, HeaderValue};
use labseal::{
    auth::{Caller, Facts},
    base::{
        ident::{ApiName, EntityName, FieldName, FunctionName},
        refusal::Code,
        secret::Plaintext,
    },
    model::{
        BodyForm, Direction, FieldRef, Filter, Node, Nulls, Operation, Page, Placement, Target,
        Test, Use, UseKind, Verb,
    },
    policy::{
        Plan, Policy,
        plan::{AnswerPlan, Guard, RequestPlan, Right, Write},
    },
};

/// One class per mode; one caller per read right, known by the header of its name.
const POLICY: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  d: {id: d, mode: deterministic}
  r: {id: r, mode: random}
  s: {id: s, mode: searchable}
callers:
  full: {api_key: {header: X-full, sha256_file: hash}}
  masked: {api_key: {header: X-masked, sha256_file: hash}}
  sealed: {api_key: {header: X-sealed, sha256_file: hash}}
  "null": {api_key: {header: X-null, sha256_file: hash}}
  omit: {api_key: {header: X-omit, sha256_file: hash}}
  deny: {api_key: {header: X-deny, sha256_file: hash}}
  named: {api_key: {header: X-named, sha256_file: hash}}
grants:
  full: {"*": {read: clear, filter: allow, write: allow}}
  masked: {"*": {read: masked, write: allow}}
  sealed: {"*": {read: sealed, write: allow}}
  "null": {"*": {read: null, write: allow}}
  omit: {"*": {read: omit, write: allow}}
  deny: {"*": {read: deny, write: allow}}
  named: {"*": {read: clear, filter: allow, write: allow}, d: {read: masked}}
apis:
  - name: db
    dialect: postgrest
    undeclared: {entities: [wards], functions: [age], why: "no patient data"}
    entities:
      patients: {fields: {d: {class: d, unique: true}, r: {class: r}, s: {class: s}, p: {mode: plain, why: "routing"}}}
  - name: plain
    dialect: json
    routes:
      - {match: "GET /patients/{id}", path: {id: d}, query: {name: s}, fields: {"$.items[*].mrn": {class: d}}}
  - {name: open, dialect: postgrest}
"#;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn policy() -> Policy {
    let folder = tempfile::tempdir().unwrap();
    let hash = labseal::base::digest::Digest::of(&[KEY.as_bytes()]);
    std::fs::write(folder.path().join("hash"), hash.to_string()).unwrap();
    let path = folder.path().join("policy.yaml");
    std::fs::write(&path, POLICY).unwrap();
    Policy::load(&path).unwrap().0
}

fn caller(policy: &Policy, name: &str) -> Caller {
    let mut headers = HeaderMap::new();
    if name != "anonymous" {
        let header: http::HeaderName = format!("x-{name}").parse().unwrap();
        headers.insert(header, HeaderValue::from_static(KEY));
    }
    let facts = Facts { headers: &headers, certificate: None, unix_peer: None };
    let caller = policy.rules().identify(&facts).unwrap();
    assert_eq!(caller.name().as_str(), name);
    caller
}

fn plan(api: &str, name: &str, operation: &Operation) -> Result<Plan, (Code, Option<usize>)> {
    let policy = policy();
    let caller = caller(&policy, name);
    let api = policy.api(&ApiName::new(api)).unwrap();
    api.plan(operation, &caller).map_err(|refusal| (refusal.code, refusal.policy_line))
}

fn code(api: &str, name: &str, operation: &Operation) -> Result<(), Code> {
    plan(api, name, operation).map(drop).map_err(|(code, _)| code)
}

const ORDER: UseKind = UseKind::Order { direction: Direction::Ascending, nulls: Nulls::Last };

const PATIENTS: &str = "public.patients";

fn operation(verb: Verb, target: Target) -> Operation {
    Operation { verb, target, page: Page::Whole, ..Operation::unexamined() }
}

fn patients(verb: Verb) -> Operation {
    operation(verb, Target::Entity(EntityName::new(PATIENTS)))
}

fn record(fields: &[&str]) -> Node<FieldRef> {
    let mut node = Node { record: true, ..Node::default() };
    for name in fields {
        let entity = EntityName::new(PATIENTS);
        let field = FieldRef { entity, field: FieldName::new(*name) };
        node.members.insert((*name).to_owned(), Node::leaf(field));
    }
    node
}

fn used(entity: Option<&str>, column: &str, kind: UseKind) -> Use {
    Use {
        entity: entity.map(EntityName::new),
        column: FieldName::new(column),
        kind,
        place: Placement::Required,
    }
}

fn equal() -> UseKind {
    let test = Test::Equal(Plaintext::from("x"));
    UseKind::Filter(Filter { operator: "eq", test })
}

fn filter(test: Test) -> UseKind {
    UseKind::Filter(Filter { operator: "op", test })
}

/// A use by word, and what becomes of it on a field of class d, r and s: `Ok(true)` is rewritten,
/// `Ok(false)` passes.
struct Case(&'static str, fn() -> UseKind, [Result<bool, Code>; 3]);

#[test]
fn every_use_of_every_mode_is_answered_right_or_refused() {
    use Code::*;
    let uses: [Case; 8] = [
        Case("equal", equal, [Ok(true), Err(UnsupportedOperator), Ok(true)]),
        Case(
            "in",
            || filter(Test::In(vec![Plaintext::from("x")])),
            [Ok(true), Err(UnsupportedOperator), Ok(true)],
        ),
        Case("null", || filter(Test::IsNull), [Ok(false); 3]),
        Case("other", || filter(Test::Other), [Err(UnsupportedOperator); 3]),
        Case("order", || ORDER, [Err(UnsupportedOrder); 3]),
        Case("text", || UseKind::Text, [Ok(false); 3]),
        Case("cast", || UseKind::Transform("cast"), [Err(UnsupportedTransform); 3]),
        Case(
            "conflict",
            || UseKind::Conflict,
            [Ok(false), Err(UnsupportedConflict), Err(UnsupportedConflict)],
        ),
    ];
    for Case(word, kind, expected) in uses {
        for ((class, class_line), expected) in
            [("d", 4), ("r", 5), ("s", 6)].into_iter().zip(expected)
        {
            let mut operation = patients(Verb::Read);
            operation.uses = vec![used(Some(PATIENTS), class, kind())];
            match plan("db", "full", &operation) {
                Ok(plan) => assert_eq!(Ok(plan.filters[0].is_some()), expected, "{word} {class}"),
                Err((code, line)) => {
                    assert_eq!((Err(code), line), (expected, Some(class_line)), "{word} {class}");
                }
            }
        }
    }
}

#[test]
fn equality_needs_the_right_to_filter_and_the_refusal_names_the_grant() {
    for (name, class, line) in [("masked", "d", 17), ("named", "d", 22), ("masked", "s", 17)] {
        let mut operation = patients(Verb::Read);
        operation.uses = vec![used(Some(PATIENTS), class, equal())];
        let refused = plan("db", name, &operation).unwrap_err();
        assert_eq!(refused, (Code::FilterNotGranted, Some(line)), "{name} {class}");
    }
    let mut operation = patients(Verb::Create);
    operation.uses = vec![used(Some(PATIENTS), "d", UseKind::Conflict)];
    assert_eq!(code("db", "masked", &operation), Err(Code::FilterNotGranted));
    assert_eq!(code("db", "anonymous", &operation), Err(Code::FilterNotGranted));
    operation.uses = vec![used(Some(PATIENTS), "s", equal())];
    assert_eq!(
        code("db", "named", &operation),
        Ok(()),
        "a named class replaces * for itself alone"
    );
}

#[test]
fn an_answer_is_opened_by_the_right_or_refused_whole() {
    for (name, expected) in [
        ("full", Ok(Right::Clear)),
        ("masked", Ok(Right::Masked)),
        ("sealed", Ok(Right::Sealed)),
        ("null", Ok(Right::Null)),
        ("omit", Ok(Right::Omit)),
        ("deny", Err(Code::ReadNotGranted)),
        ("anonymous", Err(Code::ReadNotGranted)),
    ] {
        let mut operation = patients(Verb::Read);
        operation.answer = record(&["d", "p", "unknown"]);
        let found = plan("db", name, &operation).map_err(|(code, _)| code).map(|plan| {
            let AnswerPlan::Scan(tree) = &plan.answer else { panic!() };
            assert_eq!(tree.fields().len(), 1, "plain and unknown fields are not in the tree");
            tree.fields()[0].right
        });
        assert_eq!(found, expected, "{name}");
        operation.answer = record(&["p"]);
        assert_eq!(code("db", name, &operation), Ok(()), "{name} leaves the field out");
    }
}

#[test]
fn a_body_is_guarded_by_what_its_writer_sees() {
    for (name, guard, required) in [
        ("full", Guard::Plain, false),
        ("deny", Guard::Plain, false),
        ("sealed", Guard::PutBack, false),
        ("masked", Guard::Unseen, true),
        ("null", Guard::Unseen, true),
        ("omit", Guard::Unseen, true),
    ] {
        for verb in [Verb::Create, Verb::Update, Verb::Replace] {
            let mut operation = patients(verb);
            operation.body = BodyForm::Records(record(&["s", "p"]));
            let plan = plan("db", name, &operation).unwrap();
            assert!(plan.seals() && !plan.passes());
            let RequestPlan::Scan(tree) = &plan.request else { panic!() };
            let [rule] = tree.fields()[..] else { panic!() };
            assert_eq!((rule.guard, rule.write), (guard, Write::Allowed), "{name}");
            assert_eq!(rule.required, required && verb == Verb::Replace, "{name} {verb:?}");
        }
    }
}

#[test]
fn a_denied_write_is_in_the_plan_with_its_line() {
    for (name, line) in [("named", 22), ("anonymous", 16)] {
        let mut operation = patients(Verb::Update);
        operation.body = BodyForm::Records(record(&["d"]));
        let plan = plan("db", name, &operation).unwrap();
        let RequestPlan::Scan(tree) = &plan.request else { panic!() };
        assert_eq!(tree.fields()[0].write, Write::Denied { line }, "{name}");
    }
}

#[test]
fn nothing_is_written_to_what_is_not_declared_and_no_function_is_called() {
    let undeclared = |name| Target::Undeclared(EntityName::new(name));
    for verb in [Verb::Create, Verb::Update, Verb::Replace, Verb::Delete, Verb::Call] {
        let written = operation(verb, undeclared("public.notes"));
        assert_eq!(code("db", "full", &written), Err(Code::UndeclaredEntity), "{verb:?}");
        let pretended = operation(verb, Target::Entity(EntityName::new("public.notes")));
        assert_eq!(code("db", "full", &pretended), Err(Code::UndeclaredEntity), "{verb:?}");
        let service = operation(verb, Target::Service);
        assert_eq!(code("db", "full", &service), Err(Code::UndeclaredEntity), "{verb:?}");
        let excepted = operation(verb, undeclared("public.wards"));
        assert_eq!(code("db", "full", &excepted), Ok(()), "{verb:?}");
    }
    for verb in [Verb::Call, Verb::Read] {
        let function = |name| operation(verb, Target::Function(FunctionName::new(name)));
        assert_eq!(code("db", "full", &function("public.f")), Err(Code::UndeclaredFunction));
        assert_eq!(code("db", "full", &function("public.age")), Ok(()));
    }
    assert_eq!(code("db", "anonymous", &operation(Verb::Describe, Target::Service)), Ok(()));
}

#[test]
fn a_view_is_read_but_not_by_the_name_of_a_protected_column() {
    let mut view = operation(Verb::Read, Target::Undeclared(EntityName::new("public.v")));
    assert_eq!(code("db", "full", &view), Ok(()));
    for kind in [equal, || ORDER, || UseKind::Conflict, || UseKind::Transform("cast")] {
        for (column, expected) in [
            ("s", Err(Code::UndeclaredFilter)),
            ("S", Err(Code::UndeclaredFilter)),
            ("patients.s", Err(Code::UndeclaredFilter)),
            ("p", Ok(())),
            ("city", Ok(())),
        ] {
            view.uses = vec![used(None, column, kind())];
            assert_eq!(code("db", "full", &view), expected, "{column}");
        }
    }
}

#[test]
fn an_undeclared_relation_inside_a_declared_one_is_judged_the_same() {
    let mut read = patients(Verb::Read);
    read.uses = vec![used(None, "d", equal())];
    assert_eq!(code("db", "full", &read), Err(Code::UndeclaredFilter));
    read.uses = vec![used(Some("public.notes"), "d", equal())];
    assert_eq!(code("db", "full", &read), Err(Code::UndeclaredFilter));
    read.uses = vec![used(Some(PATIENTS), "city", equal())];
    assert_eq!(code("db", "full", &read), Ok(()), "an undeclared column of a declared entity");
}

#[test]
fn routes_know_their_parameters_and_compare_bare_names_elsewhere() {
    let route = "GET /patients/{id}";
    let mut read = operation(Verb::Read, Target::Entity(EntityName::new(route)));
    read.uses = vec![
        used(Some(route), "path:id", equal()),
        used(Some(route), "query:name", equal()),
        used(Some(route), "query:page", equal()),
    ];
    let filters = plan("plain", "full", &read).unwrap().filters;
    assert_eq!(filters.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false]);
    let mut other = operation(Verb::Read, Target::Undeclared(EntityName::new("GET /visits")));
    for column in ["mrn", "query:name", "query:mrn", "path:id"] {
        other.uses = vec![used(None, column, equal())];
        assert_eq!(code("plain", "full", &other), Err(Code::UndeclaredFilter), "{column}");
    }
}

#[test]
fn an_api_that_declares_nothing_passes_everything() {
    let mut call = operation(Verb::Call, Target::Function(FunctionName::new("public.f")));
    call.uses = vec![used(None, "d", equal())];
    let plan = plan("open", "anonymous", &call).unwrap();
    assert!(plan.passes() && !plan.seals());
    assert!(matches!(plan.answer, AnswerPlan::Pass) && plan.filters[0].is_none());
}

#[test]
fn the_rights_of_a_stranger_are_listed_and_deny() {
    let plan = plan("db", "anonymous", &patients(Verb::Read)).unwrap();
    assert_eq!(plan.rights.by_class.len(), 3);
    assert!(
        plan.rights
            .by_class
            .values()
            .all(|right| { right.read == Right::Deny && !right.may_filter && !right.may_write })
    );
}
