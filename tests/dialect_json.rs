//! The `json` dialect from outside: request heads in, uses, bodies and rewritten targets out.

use http::{HeaderMap, Method};
use labseal::{
    base::{
        ident::{EntityName, FieldName, RequestId},
        refusal::{Code, Refusal},
    },
    dialect::{DIALECTS, Dialect, Head, SurfaceError},
    model::{
        BodyForm, FieldRef, Node, Operation, Replacement, Rest, RouteDecl, Surface, Target, Test,
        UseKind, Verb,
    },
};
use proptest::prelude::*;

fn route(pattern: &str, path: &[&str], query: &[&str], fields: &[&str]) -> RouteDecl {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    RouteDecl {
        pattern: EntityName::new(pattern),
        path: own(path),
        query: own(query),
        fields: fields.iter().map(|field| FieldName::new(*field)).collect(),
        rest: Rest::default(),
        bind: None,
        is_open: false,
        form: Vec::new(),
        may_name: Vec::new(),
    }
}

fn surface() -> Surface {
    Surface {
        routes: vec![
            route("GET /patients/search", &[], &["name"], &["$.items[*].mrn"]),
            route("GET /patients/{mrn}", &["mrn"], &["name"], &["$.mrn", "$.items[*].mrn"]),
            route("POST /patients", &[], &[], &["$.mrn", "$.contacts[*].name"]),
            route("GET /wards/{id}", &[], &[], &[]),
            route("PUT /lists/{list}/{mrn}/", &["mrn"], &[], &["$[*].mrn"]),
        ],
        ..Surface::default()
    }
}

fn try_build(surface: &Surface) -> Result<Box<dyn Dialect>, Vec<SurfaceError>> {
    let (_, build) = DIALECTS.iter().find(|(name, _)| *name == "json").unwrap();
    build(surface)
}

fn classify(method: &str, target: &str) -> Result<Operation, Refusal> {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let headers = HeaderMap::new();
    let dialect = try_build(&surface()).unwrap_or_else(|errors| panic!("{errors:?}"));
    dialect.classify(Head { method: &method, target, headers: &headers })
}

fn known(method: &str, target: &str) -> Operation {
    classify(method, target).unwrap_or_else(|refusal| panic!("{method} {target}: {refusal}"))
}

fn uses(operation: &Operation) -> Vec<String> {
    let one = |u: &labseal::model::Use| {
        let UseKind::Filter(filter) = &u.kind else { panic!("{u:?}") };
        assert_eq!(filter.operator, "parameter");
        let value = match &filter.test {
            Test::Equal(text) => String::from_utf8(text.expose().to_vec()).unwrap(),
            Test::Bound { .. }
            | Test::In(_)
            | Test::IsNull
            | Test::Other
            | Test::Pattern { .. } => "*".to_owned(),
        };
        let entity = u.entity.as_ref().map_or("?", |entity| entity.as_str());
        format!("{entity}: {} = {value}", u.column)
    };
    operation.uses.iter().map(one).collect()
}

/// Members in braces, elements in brackets, `!` before a record.
fn tree(node: &Node<FieldRef>) -> String {
    let mut text = if node.record { "!".to_owned() } else { String::new() };
    if let Some(field) = &node.field {
        text.push_str(field.field.as_str());
    }
    if !node.members.is_empty() {
        let members: Vec<_> =
            node.members.iter().map(|(k, n)| format!("{k}:{}", tree(n))).collect();
        text.push_str(&format!("{{{}}}", members.join(",")));
    }
    if let Some(elements) = &node.elements {
        text.push_str(&format!("[{}]", tree(elements)));
    }
    text
}

#[test]
fn routes_are_matched_in_the_order_of_the_file() {
    for (method, target, verb, name) in [
        ("GET", "/patients/search?page=2", Verb::Read, "GET /patients/search"),
        ("GET", "/patients/A1", Verb::Read, "GET /patients/{mrn}"),
        ("HEAD", "/pati%65nts/A1", Verb::Read, "GET /patients/{mrn}"),
        ("POST", "/patients", Verb::Create, "POST /patients"),
        ("GET", "/wards/3", Verb::Read, "GET /wards/{id}"),
        ("PUT", "/lists/a/B2/", Verb::Replace, "PUT /lists/{list}/{mrn}/"),
    ] {
        let operation = known(method, target);
        assert_eq!(operation.verb, verb, "{method} {target}");
        assert_eq!(operation.target, Target::Entity(EntityName::new(name)), "{method} {target}");
    }
}

#[test]
fn protected_parameters_are_uses_with_their_decoded_values() {
    let by_mrn = "GET /patients/{mrn}";
    for (method, target, expected) in [
        ("GET", "/patients/A%201+x", vec![format!("{by_mrn}: path:mrn = A 1+x")]),
        (
            "GET",
            "/patients/A1?n%61me=O+N%C3%A9&page=1&name=&name",
            vec![
                format!("{by_mrn}: path:mrn = A1"),
                format!("{by_mrn}: query:name = O Né"),
                format!("{by_mrn}: query:name = "),
            ],
        ),
        ("GET", "/wards/3?mrn=A1&x=1", vec!["?: $.items[*].mrn = *".to_owned()]),
        ("GET", "/wards/3?filter[mrn]=A1", vec!["?: $.items[*].mrn = *".to_owned()]),
        ("GET", "/wards/3?mrn__eq=A1", vec!["?: $.items[*].mrn = *".to_owned()]),
        ("OPTIONS", "/patients/A1", vec![format!("{by_mrn}: path:mrn = A1")]),
        ("DELETE", "/patients/A1", vec![format!("{by_mrn}: path:mrn = A1")]),
    ] {
        assert_eq!(uses(&known(method, target)), expected, "{method} {target}");
    }
}

#[test]
fn a_request_of_no_route_is_undeclared_and_its_path_is_not_repeated() {
    let read = known("GET", "/things/A1?mrn=A1&N%41ME[]=x&page=2&z");
    assert_eq!(read.verb, Verb::Read);
    assert_eq!(read.target, Target::Undeclared(EntityName::new("GET (undeclared)")));
    assert_eq!(
        uses(&read),
        ["?: $.items[*].mrn = *", "?: query:name = *", "?: query:page = *", "?: query:z = *"]
    );
    assert_eq!(
        uses(&known("GET", "/things?a=1;mrn=2")),
        ["?: query:a = *", "?: $.items[*].mrn = *"]
    );
    for method in ["POST", "PUT", "PATCH", "DELETE", "MERGE"] {
        let write = known(method, "/things/A1");
        assert!(write.verb.writes(), "{method}");
        assert!(matches!(write.target, Target::Undeclared(name) if !name.as_str().contains("A1")));
    }
    let options = known("OPTIONS", "/things");
    assert_eq!((options.verb, options.target), (Verb::Describe, Target::Service));
}

#[test]
fn a_path_that_some_server_would_take_for_a_protected_route_is_refused() {
    for target in [
        "/patients//A1",
        "//patients/A1",
        "/patients/A1/",
        "/patients/./A1",
        "/patients/%2e/A1",
        "/x/../patients/A1",
        "/x/%252e%252e/patients/A1",
        "/patients%2FA1",
        "/patients%5cA1",
        "/patients/A%2F1",
        "/patients/A1;v=1",
        "/patients;v=1/A1",
        "/Patients/A1",
        "/p%2561tients/A1",
        "/patients/%zz",
        "/patients/%ff",
        "/patients/A1?NAME=x",
        "/patients/A1?name[]=x",
        "/patients/A1?a=1;name=x",
        "/patients/A1?name=x;y",
        "/patients/A1?name=%ff",
    ] {
        match classify("GET", target) {
            Ok(operation) => panic!("{target}: {operation:?}"),
            Err(refusal) => assert_eq!(refusal.code, Code::MalformedTarget, "{target}"),
        }
    }
    for target in ["/static//x.js", "/a/../b", "/wards//3", "/Things/;x", "/wards/a%2Fb"] {
        assert!(classify("GET", target).is_ok(), "{target}");
    }
}

#[test]
fn bodies_are_described_by_the_fields_of_their_route() {
    let created = known("POST", "/patients");
    let form = "{contacts:[!{name:$.contacts[*].name}],mrn:$.mrn}";
    assert_eq!(tree(&created.answer), form);
    assert!(matches!(created.body, BodyForm::Records(node) if tree(&node) == form));
    let read = known("GET", "/patients/search");
    assert_eq!(tree(&read.answer), "{items:[!{mrn:$.items[*].mrn}]}");
    assert_eq!(read.body, BodyForm::Opaque);
    assert_eq!(known("GET", "/wards/3").body, BodyForm::Opaque);
    assert_eq!(tree(&known("PUT", "/lists/a/b/").answer), "[!{mrn:$[*].mrn}]");
}

fn readdress(target: &str, replacements: &[Option<Replacement>]) -> Result<String, Refusal> {
    let headers = HeaderMap::new();
    let dialect = try_build(&surface()).unwrap_or_else(|errors| panic!("{errors:?}"));
    let head = Head { method: &Method::GET, target, headers: &headers };
    let readdressed = dialect.readdress(head, replacements)?;
    assert_eq!(readdressed.echoes.len(), replacements.iter().flatten().count());
    Ok(readdressed.target)
}

fn exact(texts: &[&str]) -> Option<Replacement> {
    Some(Replacement::Exact(vec![texts.iter().map(|text| (*text).to_owned()).collect()]))
}

#[test]
fn replacements_stand_where_the_values_stood() {
    let prefix = Some(Replacement::Ranges(vec![vec![("P".into(), "Q".into())]]));
    for (target, replacements, expected) in [
        ("/patients/A%201", vec![exact(&["E-1"])], "/patients/E-1"),
        (
            "/p%61tients/A1?a=%zz&n%61me=x+y&b",
            vec![exact(&["E/1"]), prefix.clone()],
            "/p%61tients/E%2F1?a=%zz&n%61me=P&b",
        ),
        ("/patients/A1?name=x", vec![None, exact(&["E"])], "/patients/A1?name=E"),
    ] {
        assert_eq!(readdress(target, &replacements).unwrap(), expected);
    }
    let two = Some(Replacement::Ranges(vec![vec![("P".into(), "Q".into()); 2]]));
    for several in [exact(&["E1", "E2"]), two] {
        let refusal = readdress("/patients/A1", &[several]).unwrap_err();
        assert_eq!(refusal.code, Code::UnsupportedOperator);
    }
}

#[test]
fn refusals_are_problem_details() {
    let dialect = try_build(&Surface::default()).unwrap_or_else(|errors| panic!("{errors:?}"));
    let refusal = Refusal::new(Code::FilterNotGranted).on("GET /patients/{mrn}.path:mrn");
    let answer = dialect.refuse(&refusal, RequestId(0xab));
    assert_eq!(answer.content_type, "application/problem+json");
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["type"], "about:blank");
    assert_eq!(body["status"], 403);
    assert_eq!(body["code"], "LS202");
    assert_eq!(body["request_id"], "00000000000000ab");
}

#[test]
fn routes_that_cannot_be_followed_are_refused_with_their_place() {
    for (wrong, said) in [
        (route("patients", &[], &[], &[]), "GET, HEAD"),
        (route("FETCH /a", &[], &[], &[]), "GET, HEAD"),
        (route("GET a", &[], &[], &[]), "starts with /"),
        (route("GET /a?b", &[], &[], &[]), "starts with /"),
        (route("GET /a/x{b}", &[], &[], &[]), "whole segment"),
        (route("GET /{a}/{a}", &[], &[], &[]), "name of its own"),
        (route("GET /a", &["mrn"], &[], &[]), "not in the pattern"),
        (route("GET /a", &[], &[], &["$.a[0]"]), "at character 5"),
        (route("GET /a", &[], &[], &["$.a", "$.a.b"]), "within another"),
        (route("GET /a", &[], &[], &["$.a.b", "$.a"]), "holds"),
    ] {
        let errors = try_build(&Surface { routes: vec![wrong], ..Surface::default() })
            .err()
            .unwrap_or_default();
        assert!(errors.iter().any(|error| error.to_string().contains(said)), "{said}: {errors:?}");
    }
}

proptest! {
    #[test]
    fn no_target_makes_it_panic_and_nothing_replaced_is_nothing_changed(
        target in "/(patients|lists|x)?[a-z/.%25eéE;\\\\+A1]{0,20}(\\?[a-z=&;%+\\[\\]é]{0,30})?",
    ) {
        if let Ok(operation) = classify("GET", &target) {
            let nothing = vec![None; operation.uses.len()];
            prop_assert_eq!(readdress(&target, &nothing).unwrap(), target);
        }
    }
}

#[test]
fn the_fields_of_a_form_are_in_requests_alone() {
    let form = |fields: &[&str], form: &[&str]| {
        let form = form.iter().map(|name| (*name).to_owned()).collect();
        let route = RouteDecl { form, ..route("POST /uploads", &[], &[], fields) };
        try_build(&Surface { routes: vec![route], ..Surface::default() })
    };
    let dialect = form(&["$.note"], &["mrn"]).unwrap();
    let (method, headers) = (Method::POST, HeaderMap::new());
    let head = Head { method: &method, target: "/uploads", headers: &headers };
    let operation = dialect.classify(head).unwrap();
    let BodyForm::Records(request) = &operation.body else { panic!("no records") };
    let names = |fields: Vec<&FieldRef>| -> Vec<String> {
        fields.iter().map(|field| field.field.to_string()).collect()
    };
    assert_eq!(names(request.fields()), ["form:mrn", "$.note"]);
    assert_eq!(names(operation.answer.fields()), ["$.note"]);
    for (fields, names) in
        [(&["$.mrn"][..], &["mrn"][..]), (&["$[*].a"], &["mrn"]), (&["$"], &["a"])]
    {
        assert_eq!(form(fields, names).err().map(|errors| errors.len()), Some(1), "{fields:?}");
    }
}

#[test]
fn a_value_that_names_a_protected_field_is_refused_unless_the_parameter_may() {
    let declared = RouteDecl {
        may_name: vec!["_fields".to_owned()],
        ..route("GET /people", &[], &["q"], &["$.items[*].last_name", "$.mrn", "$.tags[*]", "$"])
    };
    let routes = vec![RouteDecl { fields: declared.fields[..3].to_vec(), ..declared }];
    let dialect = try_build(&Surface { routes, ..Surface::default() }).unwrap();
    let code = |target: &str| {
        let (method, headers) = (Method::GET, HeaderMap::new());
        let read = dialect.classify(Head { method: &method, target, headers: &headers });
        read.err().map(|refusal| refusal.code)
    };
    for query in [
        "_sort=mrn",
        "_sort=-MRN",
        "sort=id,last_name",
        "order=lastName.desc",
        "order_by=last-name%20asc",
        "s=items.last_name%3Adesc",
        "sort%5B%5D=mrn",
        "x=%6drn",
        "group=tags",
        "orderByMrn=&sort=%7B%22mrn%22%3A1%7D",
    ] {
        let found = code(&format!("/people?{query}"));
        assert!(matches!(found, Some(Code::NamedByValue)), "{query}: {found:?}");
    }
    for query in ["_sort=id", "_fields=mrn,last_name", "q=mrn", "sort=", "sort", "x=surname,mrns"] {
        assert_eq!(code(&format!("/people?{query}")), None, "{query}");
    }
}
