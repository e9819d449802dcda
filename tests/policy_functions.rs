//! What a policy decides about arguments of functions, keys that a request does not name, and PUT.

use http::{HeaderMap, HeaderValue};
use labseal::{
    auth::Facts,
    base::{
        ident::{ApiName, EntityName, FieldName, FunctionName},
        refusal::Code,
        secret::Plaintext,
    },
    model::{
        BodyForm, FieldRef, Filter, FunctionDecl, Node, Operation, Page, Placement, Target, Test,
        Use, UseKind, Verb,
    },
    policy::{
        Plan, Policy,
        plan::{RequestPlan, Write},
    },
};

const POLICY: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  d: {id: d, mode: deterministic}
  s: {id: s, mode: searchable}
callers:
  both: {api_key: {header: X-both, sha256_file: hash}}
  tester: {api_key: {header: X-tester, sha256_file: hash}}
  storer: {api_key: {header: X-storer, sha256_file: hash}}
grants:
  both: {"*": {read: clear, filter: allow, write: allow}}
  tester: {"*": {read: clear, filter: allow}}
  storer: {"*": {read: clear, write: allow}}
apis:
  - name: db
    dialect: postgrest
    entities:
      keyed: {key: [id], fields: {d: {class: d}, s: {class: s}}}
      sealed_key: {key: [d], fields: {d: {class: d, unique: true}, s: {class: s}}}
      unknown_key: {fields: {d: {class: d}, s: {class: s}}}
    functions:
      find: {args: {number: {class: d, use: test}, page: {mode: plain, why: "a number"}}, returns: keyed}
      keep: {args: {number: {class: d, use: store}, name: {class: s}}}
      either: {args: {number: {class: d}}}
      ping: {why: "takes nothing"}
"#;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn plan(caller: &str, operation: &Operation) -> Result<Plan, Code> {
    let folder = tempfile::tempdir().unwrap();
    let hash = labseal::base::digest::Digest::of(&[KEY.as_bytes()]);
    std::fs::write(folder.path().join("hash"), hash.to_string()).unwrap();
    let path = folder.path().join("policy.yaml");
    std::fs::write(&path, POLICY).unwrap();
    let (policy, _) = Policy::load(&path).unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut headers = HeaderMap::new();
    let header: http::HeaderName = format!("x-{caller}").parse().unwrap();
    headers.insert(header, HeaderValue::from_static(KEY));
    let facts = Facts { headers: &headers, certificate: None, unix_peer: None };
    let caller = policy.rules().identify(&facts).unwrap();
    let api = policy.api(&ApiName::new("db")).unwrap();
    api.plan(operation, &caller).map_err(|refusal| refusal.code)
}

fn operation(verb: Verb, target: Target) -> Operation {
    Operation { verb, target, page: Page::Whole, ..Operation::unexamined() }
}

fn function(name: &str) -> (FunctionName, EntityName) {
    let name = FunctionName::new(format!("public.{name}"));
    let arguments = FunctionDecl::arguments_of(&name);
    (name, arguments)
}

/// `GET /rpc/name?column=x`, or a test of that name.
fn asks(name: &str, column: &str, operator: &'static str, test: Test) -> Operation {
    let (name, arguments) = function(name);
    let kind = UseKind::Filter(Filter { operator, test });
    let used = Use {
        entity: Some(arguments),
        column: FieldName::new(column),
        kind,
        place: Placement::Required,
    };
    Operation { uses: vec![used], ..operation(Verb::Call, Target::Function(name)) }
}

fn by_query(caller: &str, name: &str, column: &str) -> Result<bool, Code> {
    let test = Test::Equal(Plaintext::from("x"));
    plan(caller, &asks(name, column, "argument", test)).map(|plan| plan.filters[0].is_some())
}

/// Whether an argument in a body may be sent.
fn by_body(caller: &str, name: &str, column: &str) -> bool {
    let (name, entity) = function(name);
    let mut node = Node { record: true, ..Node::default() };
    let field = FieldRef { entity, field: FieldName::new(column) };
    node.members.insert(column.to_owned(), Node::leaf(field));
    let mut call = operation(Verb::Call, Target::Function(name));
    call.body = BodyForm::Records(node);
    let RequestPlan::Scan(node) = plan(caller, &call).unwrap().request else { panic!("sealed") };
    node.fields()[0].write == Write::Allowed
}

#[test]
fn an_argument_needs_the_grant_for_what_the_function_does_with_it() {
    use Code::FilterNotGranted;
    for (caller, expected) in [
        ("both", [Ok(true), Ok(true), Ok(true)]),
        ("tester", [Ok(true), Err(FilterNotGranted), Err(FilterNotGranted)]),
        ("storer", [Err(FilterNotGranted), Ok(true), Err(FilterNotGranted)]),
    ] {
        let names = ["find", "keep", "either"];
        assert_eq!(names.map(|name| by_query(caller, name, "number")), expected, "{caller}");
        let allowed = expected.map(|one| one.is_ok());
        assert_eq!(names.map(|name| by_body(caller, name, "number")), allowed, "{caller}");
    }
}

#[test]
fn only_a_deterministic_argument_can_stand_in_a_query() {
    assert_eq!(by_query("both", "keep", "name"), Err(Code::UnsupportedOperator));
    assert!(by_body("both", "keep", "name"));
    assert_eq!(by_query("both", "find", "page"), Ok(false));
    assert_eq!(by_query("both", "find", "NUMBER"), Err(Code::NearName));
    assert_eq!(by_query("both", "find", "hint"), Err(Code::UnknownField));
    assert_eq!(by_query("both", "ping", "hint"), Err(Code::UnknownField));
    let test = asks("find", "number", "eq", Test::Other);
    assert_eq!(plan("both", &test).unwrap_err(), Code::UnsupportedOperator);
}

#[test]
fn declared_functions_are_called_and_others_are_not() {
    let call =
        |name: &str| plan("both", &operation(Verb::Call, Target::Function(function(name).0)));
    assert!(matches!(call("ping").unwrap().request, RequestPlan::Nothing));
    assert_eq!(call("pong").unwrap_err(), Code::UndeclaredFunction);
}

#[test]
fn a_key_that_a_request_does_not_name_is_any_until_the_policy_says_it() {
    use Code::{FilterNotGranted, UnsupportedConflict};
    let upsert = |caller: &str, entity: &str, column: &str| {
        let entity = EntityName::new(format!("public.{entity}"));
        let mut create = operation(Verb::Create, Target::Entity(entity.clone()));
        let column = FieldName::new(column);
        create.uses = vec![Use {
            entity: Some(entity),
            column,
            kind: UseKind::Key,
            place: Placement::Within,
        }];
        plan(caller, &create).map(drop)
    };
    for (entity, column, both, storer) in [
        ("keyed", "d", Ok(()), Ok(())),
        ("keyed", "s", Ok(()), Ok(())),
        // A conflict tells that the value is there.
        ("sealed_key", "d", Ok(()), Err(FilterNotGranted)),
        ("sealed_key", "s", Ok(()), Ok(())),
        ("unknown_key", "d", Ok(()), Err(FilterNotGranted)),
        ("unknown_key", "s", Err(UnsupportedConflict), Err(UnsupportedConflict)),
    ] {
        assert_eq!(upsert("both", entity, column), both, "{entity} {column}");
        assert_eq!(upsert("storer", entity, column), storer, "{entity} {column}");
    }
}

#[test]
fn a_record_is_replaced_by_a_key_that_has_one_stored_form() {
    let put = |column: &str| {
        let entity = EntityName::new("public.unknown_key");
        let mut put = operation(Verb::Replace, Target::Entity(entity.clone()));
        let test = Test::Equal(Plaintext::from("x"));
        let kind = UseKind::Filter(Filter { operator: "eq", test });
        put.uses = vec![Use {
            entity: Some(entity),
            column: FieldName::new(column),
            kind,
            place: Placement::Required,
        }];
        plan("both", &put).map(drop)
    };
    assert_eq!(put("d"), Ok(()));
    assert_eq!(put("s"), Err(Code::UnsupportedConflict));
}
