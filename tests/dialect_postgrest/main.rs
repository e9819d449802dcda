//! The `postgrest` dialect from outside: request heads in, uses, answers and rewritten targets out.

mod calls;
mod either;
mod operators;
mod rewrite;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use labseal::{
    base::{
        ident::{EntityName, FieldName, FunctionName, RequestId},
        refusal::{Code, Refusal},
    },
    dialect::{DIALECTS, Dialect, Head},
    model::{
        BodyForm, EntityDecl, FieldRef, FunctionDecl, Node, Operation, Rest, Surface, Target, Test,
        UseKind, Verb,
    },
};

fn surface() -> Surface {
    let entity = |name: &str, fields: &[&str]| EntityDecl {
        name: EntityName::new(name),
        fields: fields.iter().map(|field| FieldName::new(*field)).collect(),
        rest: Rest::default(),
        bind: None,
        key: Vec::new(),
    };
    Surface {
        schemas: vec!["lab".into(), "archive".into()],
        entities: vec![
            entity("lab.patients", &["mrn", "last_name", "origin"]),
            entity("lab.orders", &["code"]),
            entity("archive.patients", &["ssn"]),
        ],
        functions: vec![FunctionDecl {
            name: FunctionName::new("lab.find_patient"),
            arguments: vec![FieldName::new("number")],
            plain: vec![FieldName::new("ward")],
            returns: Some(EntityName::new("lab.patients")),
        }],
        routes: Vec::new(),
    }
}

fn build(surface: &Surface) -> Box<dyn Dialect> {
    let (_, build) = DIALECTS.iter().find(|(name, _)| *name == "postgrest").unwrap();
    build(surface).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn classify_with(method: &str, target: &str, pairs: &[(&str, &str)]) -> Result<Operation, Refusal> {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let headers = headers(pairs);
    build(&surface()).classify(Head { method: &method, target, headers: &headers })
}

fn get(target: &str) -> Operation {
    classify_with("GET", target, &[]).unwrap_or_else(|refusal| panic!("{target}: {refusal}"))
}

fn refused(target: &str) -> Code {
    match classify_with("GET", target, &[]) {
        Ok(operation) => panic!("{target}: {operation:?}"),
        Err(refusal) => refusal.code,
    }
}

/// Uses in one line each: `entity.column kind`.
fn uses(operation: &Operation) -> Vec<String> {
    let kind = |kind: &UseKind| match kind {
        UseKind::Column => "columns".to_owned(),
        UseKind::Conflict => "conflict".to_owned(),
        UseKind::Embed => "embed".to_owned(),
        UseKind::Key => "key".to_owned(),
        UseKind::Order { .. } => "order".to_owned(),
        UseKind::Transform(word) => format!("transform {word}"),
        UseKind::Text => "text".to_owned(),
        UseKind::Zone => "zone".to_owned(),
        UseKind::Filter(filter) => match &filter.test {
            Test::Equal(text) => format!("{} {}", filter.operator, shown(text.expose())),
            Test::In(list) => {
                let list: Vec<_> = list.iter().map(|text| shown(text.expose())).collect();
                format!("{} {}", filter.operator, list.join("|"))
            }
            Test::Bound { literal, .. } => {
                format!("bound {} {}", filter.operator, shown(literal.expose()))
            }
            Test::IsNull => "null".to_owned(),
            Test::Other => format!("other {}", filter.operator),
            Test::Pattern { pattern, case } => {
                format!("pattern {} {case:?} {}", filter.operator, shown(pattern.expose()))
            }
        },
    };
    let entity = |entity: &Option<EntityName>| match entity {
        Some(entity) => entity.to_string(),
        None => "?".to_owned(),
    };
    let one =
        |u: &labseal::model::Use| format!("{}.{} {}", entity(&u.entity), u.column, kind(&u.kind));
    operation.uses.iter().map(one).collect()
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A tree in one line: members in braces, elements in brackets, `!` before a record.
fn tree(node: &Node<FieldRef>) -> String {
    let mut text = String::new();
    if let Some(field) = &node.field {
        text.push_str(&field.to_string());
    }
    if !node.members.is_empty() {
        let members: Vec<_> =
            node.members.iter().map(|(k, n)| format!("{k}:{}", tree(n))).collect();
        let mark = if node.record { "!" } else { "" };
        text.push_str(&format!("{mark}{{{}}}", members.join(",")));
    }
    if let Some(elements) = &node.elements {
        text.push_str(&format!("[{}]", tree(elements)));
    }
    text
}

fn rows(members: &str) -> String {
    format!("!{{{members}}}[!{{{members}}}]")
}

fn part(members: &str) -> String {
    format!("{{{members}}}[{{{members}}}]")
}

#[test]
fn methods_and_paths_say_what_a_request_does_to_what() {
    let patients = || Target::Entity(EntityName::new("lab.patients"));
    let undeclared = |name: &str| Target::Undeclared(EntityName::new(name));
    for (method, target, verb, expected) in [
        ("GET", "/patients", Verb::Read, patients()),
        ("HEAD", "/p%61tients?mrn=eq.A1", Verb::Read, patients()),
        ("POST", "/patients", Verb::Create, patients()),
        ("PATCH", "/patients", Verb::Update, patients()),
        ("PUT", "/patients", Verb::Replace, patients()),
        ("DELETE", "/patients", Verb::Delete, patients()),
        ("OPTIONS", "/patients", Verb::Describe, patients()),
        ("GET", "/Patients", Verb::Read, undeclared("lab.Patients")),
        ("POST", "/wards", Verb::Create, undeclared("lab.wards")),
        ("GET", "/", Verb::Describe, Target::Service),
        ("OPTIONS", "/", Verb::Describe, Target::Service),
    ] {
        let operation = classify_with(method, target, &[]).unwrap();
        assert_eq!((operation.verb, operation.target), (verb, expected), "{method} {target}");
    }
    for method in ["GET", "HEAD", "POST"] {
        let operation = classify_with(method, "/rpc/find", &[]).unwrap();
        assert_eq!(operation.verb, Verb::Call);
        assert!(matches!(operation.target, Target::Function(f) if f.as_str() == "lab.find"));
    }
    for (method, target) in [
        ("TRACE", "/patients"),
        ("POST", "/"),
        ("PATCH", "/rpc/find"),
        ("GET", "/patients/1"),
        ("GET", "//patients"),
        ("GET", "/patients%2f"),
        ("GET", "/./patients"),
    ] {
        let refusal = classify_with(method, target, &[]).unwrap_err();
        assert_eq!(refusal.code, Code::Unclassified, "{method} {target}");
    }
}

#[test]
fn the_schema_comes_from_the_profile_of_the_method() {
    let archive = Target::Entity(EntityName::new("archive.patients"));
    for (method, header) in [
        ("GET", "accept-profile"),
        ("HEAD", "accept-profile"),
        ("POST", "content-profile"),
        ("PATCH", "content-profile"),
        ("DELETE", "content-profile"),
    ] {
        let operation = classify_with(method, "/patients", &[(header, "archive")]).unwrap();
        assert_eq!(operation.target, archive, "{method}");
        let other = classify_with(method, "/patients", &[(header, "public")]).unwrap();
        assert!(matches!(other.target, Target::Undeclared(_)), "{method}");
    }
    let wrong = classify_with("GET", "/patients", &[("content-profile", "archive")]).unwrap();
    assert_eq!(wrong.target, Target::Entity(EntityName::new("lab.patients")));
    let two = [("accept-profile", "archive"), ("accept-profile", "lab")];
    let refusal = classify_with("GET", "/patients", &two).unwrap_err();
    assert_eq!(refusal.code, Code::UnsupportedHeader);
}

#[test]
fn every_use_of_a_column_is_found_in_the_order_of_the_bytes() {
    let p = "lab.patients";
    for (query, expected) in [
        ("mrn=eq.A1", vec![format!("{p}.mrn eq A1")]),
        ("mrn=not.neq.A1", vec![format!("{p}.mrn neq A1")]),
        ("mrn=eq.\"A,1\"", vec![format!("{p}.mrn eq \"A,1\"")]),
        ("%6drn%20=eq.A%2B1+x%zz", vec![format!("{p}.mrn eq A+1 x%zz")]),
        ("\"mrn\"=eq.", vec![format!("{p}.mrn eq ")]),
        ("mrn=in.(A1,\"b,c\",\"q\\\"\")", vec![format!("{p}.mrn in A1|b,c|q\"")]),
        ("mrn=not.is.null", vec![format!("{p}.mrn null")]),
        ("mrn=is.true", vec![format!("{p}.mrn other is")]),
        ("mrn=eq(any).{A1}", vec![format!("{p}.mrn eq(any) A1")]),
        ("mrn=isdistinct.A1", vec![format!("{p}.mrn isdistinct A1")]),
        ("mrn=fts(english).A1", vec![format!("{p}.mrn other fts")]),
        ("mrn=A1", vec![format!("{p}.mrn other parameter")]),
        ("mrn->>a=eq.1", vec![format!("{p}.mrn transform json path")]),
        ("order=id.desc,mrn", vec![format!("{p}.id order"), format!("{p}.mrn order")]),
        ("order=mrn->a", vec![format!("{p}.mrn transform json path")]),
        ("on_conflict=id,mrn", vec![format!("{p}.id conflict"), format!("{p}.mrn conflict")]),
        (
            "columns=id,mrn&limit=1&offset=2&x",
            vec![format!("{p}.id columns"), format!("{p}.mrn columns")],
        ),
        (
            "select=id,mrn,x:mrn::text,mrn.count()",
            vec![
                format!("{p}.id transform group by"),
                format!("{p}.mrn transform group by"),
                format!("{p}.mrn transform group by"),
                format!("{p}.mrn text"),
            ],
        ),
        (
            "select=mrn::int,mrn->a",
            vec![format!("{p}.mrn transform cast"), format!("{p}.mrn transform json path")],
        ),
        ("select=mrn.count()::text", vec![]),
        // The server casts each value before it counts them.
        ("select=mrn::json.count()", vec![format!("{p}.mrn transform cast")]),
        ("select=mrn.max()", vec![format!("{p}.mrn transform max")]),
        ("select=count()", vec![]),
        (
            "select=*,count()",
            vec![
                format!("{p}.last_name transform group by"),
                format!("{p}.mrn transform group by"),
                format!("{p}.origin transform group by"),
            ],
        ),
        (
            "select=id,...orders(code,n.sum())",
            vec![
                format!("{p}.id transform group by"),
                "lab.orders.code transform group by".into(),
                "lab.orders.n transform sum".into(),
            ],
        ),
        ("select=id,orders(code)", vec![]),
        (
            "or=(mrn.eq.\"A,1\",not.and(id.gte.3,last_name.neq.O'Neil))",
            vec![
                format!("{p}.mrn eq A,1"),
                format!("{p}.id bound gte 3"),
                format!("{p}.last_name neq O'Neil"),
            ],
        ),
        ("not.or=(mrn.in.(A1,B2))", vec![format!("{p}.mrn in A1|B2")]),
        (
            "id=eq.1&mrn=eq.A1&id=lt.5",
            vec![format!("{p}.id eq 1"), format!("{p}.mrn eq A1"), format!("{p}.id bound lt 5")],
        ),
    ] {
        let target = format!("/patients?{query}");
        assert_eq!(uses(&get(&target)), expected, "{query}");
    }
}

#[test]
fn embed_paths_lead_to_the_entity_by_alias_or_relation() {
    for (query, expected) in [
        ("select=id,orders(id)&orders.code=eq.x", "lab.orders.code eq x"),
        ("select=id,o:orders!fk!inner(id)&o.code=eq.x", "lab.orders.code eq x"),
        ("select=id,o:orders(id)&orders.code=eq.x", "lab.orders.code eq x"),
        ("orders.code=eq.x&select=o:orders(p:patients(id))", "lab.orders.code eq x"),
        ("select=o:orders(p:patients(id))&o.p.mrn=eq.x", "lab.patients.mrn eq x"),
        ("select=orders:patients(id),x:orders(id)&orders.mrn=eq.x", "?.mrn eq x"),
        ("orders.mrn=eq.x", "?.mrn eq x"),
        ("select=id,orders(id)&orders.or=(code.eq.x)", "lab.orders.code eq x"),
        ("select=id,orders(id)&orders.not.and=(code.eq.x)", "lab.orders.code eq x"),
        ("select=id,orders(id)&orders.order=code", "lab.orders.code order"),
        ("select=id,orders(id)&order=orders(code).desc", "lab.orders.code order"),
        ("select=id,orders(id)&orders=is.null", "lab.patients.orders null"),
        ("select=id,orders(code.min())", "lab.orders.code transform min"),
    ] {
        assert_eq!(uses(&get(&format!("/patients?{query}"))), [expected], "{query}");
    }
    // What goes by the name of a foreign key may be any entity.
    let unknown =
        get("/patients?select=id,patient_id(mrn),orders(id,x:tags(*),y())&patient_id.mrn=eq.x");
    let expected = ["lab.patient_id.patient_id embed", "lab.tags.tags embed", "?.mrn eq x"];
    assert_eq!(uses(&unknown), expected);
    let view = get("/wards?select=*,patients(*)&mrn=eq.A1&patients.mrn=eq.B2");
    assert_eq!(uses(&view), ["lab.wards.mrn eq A1", "lab.patients.mrn eq B2"]);
    let embed = get("/wards?select=*,rooms(*)&rooms.mrn=eq.A1");
    assert_eq!(uses(&embed), ["lab.rooms.rooms embed", "?.mrn eq A1"]);
    let call = get("/rpc/find?mrn=A1&id=eq.1");
    assert_eq!(uses(&call), ["?.mrn other parameter", "?.id eq 1"]);
}

#[test]
fn what_could_hide_a_test_is_refused() {
    for query in [
        "select=id;mrn=eq.A1",
        "mrn)x=eq.A1",
        "mrn(x=eq.A1",
        "or=igin.eq.A1",
        "and=.eq.A1",
        "or=(mrn.eq.A1)junk",
        "or=(mrn.eq.A1",
        "mrn=in.(A1)x",
        "mrn=in.(A1,(B2),c)",
        "mrn=is.nullA1",
        "mrn=not.not.eq.A1",
        "mrn=neq(any).{A1}",
        "a.mrn=A1",
        "mrn.eq.A1",
        "mrn=eq.%ff",
        "%ff=eq.A1",
        "=eq.A1",
        "select=id)junk",
        "select=id&select=mrn",
        "select&select=mrn",
        "order=mrn.up",
        "on_conflict=mrn)",
        "mrnѪ͓=eq.A1",
        "mrn\u{345}=eq.A1",
        "doc->a.b=eq.A1",
    ] {
        for entity in ["patients", "wards"] {
            let target = format!("/{entity}?{query}");
            assert_eq!(refused(&target), Code::MalformedTarget, "{target}");
        }
    }
}

#[test]
fn an_answer_is_described_as_the_selection_shapes_it() {
    let all = "last_name:lab.patients.last_name,mrn:lab.patients.mrn,origin:lab.patients.origin";
    let mrn = "mrn:lab.patients.mrn";
    for (query, expected) in [
        ("", rows(all)),
        ("?select=", rows(all)),
        ("?select", rows(all)),
        ("?select=*", rows(all)),
        ("?select=id", String::new()),
        ("?select=id,mrn::text", rows(mrn)),
        ("?select=nr:mrn,mrn:id", rows("nr:lab.patients.mrn")),
        ("?select=mrn.count()", String::new()),
        ("?select=mrn->a->>b", rows("b:lab.patients.mrn")),
        ("?select=id,orders(*)", rows(&format!("orders:{}", part("code:lab.orders.code")))),
        ("?select=o:orders!fk(c:code)", rows(&format!("o:{}", part("c:lab.orders.code")))),
        ("?select=mrn,orders()", rows(mrn)),
        ("?select=mrn,...orders(code)", rows(&format!("code:lab.orders.code,{mrn}"))),
        ("?select=mrn,patient_id(mrn),labs(*)", rows(mrn)),
        (
            "?select=o:orders(p:patients(mrn))",
            rows(&format!("o:{}", part(&format!("p:{}", part(mrn))))),
        ),
    ] {
        assert_eq!(tree(&get(&format!("/patients{query}")).answer), expected, "{query}");
    }
    assert_eq!(
        tree(&get("/wards?select=*,orders(*)").answer),
        rows(&format!("orders:{}", part("code:lab.orders.code")))
    );
    assert!(get("/rpc/find").answer.is_empty());
}

#[test]
fn writes_carry_records_and_answer_them_only_when_asked_to() {
    let code = rows("code:lab.orders.code");
    for (method, has_body) in [("POST", true), ("PATCH", true), ("PUT", true), ("DELETE", false)] {
        let plain = classify_with(method, "/orders", &[("prefer", "return=minimal")]).unwrap();
        assert!(plain.answer.is_empty(), "{method}");
        let prefer = [("prefer", "tx=commit"), ("prefer", "count=exact , return=representation")];
        let asked = classify_with(method, "/orders?select=id,c:code", &prefer).unwrap();
        assert_eq!(tree(&asked.answer), rows("c:lab.orders.code"), "{method}");
        match asked.body {
            BodyForm::Records(node) => assert_eq!((has_body, tree(&node)), (true, code.clone())),
            BodyForm::Opaque => assert!(!has_body, "{method}"),
        }
    }
    let undeclared = classify_with("POST", "/wards", &[]).unwrap();
    assert_eq!(undeclared.body, BodyForm::Opaque);
    assert_eq!(classify_with("POST", "/rpc/f", &[]).unwrap().body, BodyForm::Opaque);
}

#[test]
fn an_answer_in_an_unreadable_format_is_refused_only_where_it_holds_fields() {
    let geo = [("accept", "application/geo+json")];
    let refusal = classify_with("GET", "/patients", &geo).unwrap_err();
    assert_eq!(refusal.code, Code::UnsupportedAnswer);
    assert!(classify_with("GET", "/patients?select=id", &geo).is_ok());
    assert!(classify_with("GET", "/wards", &geo).is_ok());
    let csv = [("accept", "text/csv")];
    assert!(!classify_with("GET", "/patients", &csv).unwrap().answer.is_empty());
    let plan = [("accept", "application/vnd.pgrst.plan+json")];
    assert!(classify_with("GET", "/patients", &plan).unwrap().answer.is_empty());
}

#[test]
fn refusals_have_the_keys_of_postgrest_and_no_others() {
    let refusal = Refusal::new(Code::UnsupportedOperator).on("lab.patients.\"mrn").at_line(7);
    let answer = build(&surface()).refuse(&refusal, RequestId(1));
    assert_eq!(answer.content_type, "application/json; charset=utf-8");
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let keys: Vec<_> = body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["code", "details", "hint", "message"]);
    assert_eq!(body["code"], "LS104");
    assert!(body["hint"].as_str().unwrap().ends_with("(policy line 7)"));
    let broken = build(&surface()).refuse(&Code::Internal.into(), RequestId(0xab));
    assert!(String::from_utf8(broken.body).unwrap().contains("00000000000000ab"));
}

#[test]
fn a_surface_that_cannot_be_served_is_refused() {
    let (_, build) = DIALECTS.iter().find(|(name, _)| *name == "postgrest").unwrap();
    let named = |schemas: &[&str], names: &[&str]| Surface {
        schemas: schemas.iter().map(|s| (*s).to_owned()).collect(),
        entities: names
            .iter()
            .map(|name| EntityDecl {
                name: EntityName::new(*name),
                fields: Vec::new(),
                rest: Rest::default(),
                bind: None,
                key: Vec::new(),
            })
            .collect(),
        ..Surface::default()
    };
    assert!(build(&named(&[], &[])).is_ok());
    assert!(build(&named(&[], &["lab.a", "lab.b"])).is_ok());
    for wrong in [
        named(&[], &["patients"]),
        named(&[], &["lab.a", "public.b"]),
        named(&["lab"], &["public.a"]),
        named(&["lab"], &["lab.a", "lab.a"]),
        named(&["l.b"], &[]),
    ] {
        assert!(build(&wrong).is_err(), "{wrong:?}");
    }
}
