//! What the demo's API answers, over a socket.

use http::Method;
use serde_json::{Value, json};

use super::{
    api::Api,
    client::{Answer, Client, encode},
};

struct Lab {
    client: Client,
    api: Api,
    _folder: tempfile::TempDir,
}

async fn lab() -> Lab {
    let folder = tempfile::tempdir().unwrap();
    let api = Api::start(&folder.path().join("lab.db")).await.unwrap();
    let client = Client::new(api.address(), None);
    let patients = json!([
        {"mrn": "M1", "last_name": "Müller", "first_name": "Änne", "ward": "A"},
        {"mrn": "M2", "last_name": "O'Neil", "ward": "B"},
        {"mrn": "M3", "last_name": "山田", "first_name": "", "ward": null},
        {"mrn": "m3", "last_name": "a,(b)\"c\\", "ward": "A"},
    ]);
    let created = client.create("/patients", &patients.to_string()).await.unwrap();
    assert_eq!(created.status, 201, "{}", created.body);
    for body in [
        r#"{"accession": "S1", "patient_id": 1, "material": "serum"}"#,
        r#"{"accession": "S2", "patient_id": 1, "material": "plasma"}"#,
    ] {
        assert_eq!(client.create("/specimens", body).await.unwrap().status, 201);
    }
    Lab { client, api, _folder: folder }
}

impl Lab {
    async fn mrns(&self, query: &str) -> String {
        let answer = self.client.read(&format!("/patients?select=mrn&{query}")).await.unwrap();
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let rows: Vec<Value> = serde_json::from_str(&answer.body).unwrap();
        let mrns: Vec<&str> = rows.iter().map(|row| row["mrn"].as_str().unwrap()).collect();
        mrns.join(" ")
    }

    async fn read(&self, target: &str) -> Value {
        let answer = self.client.read(target).await.unwrap();
        assert_eq!(answer.status, 200, "{target}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }
}

fn error(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn filters_compare_text_byte_by_byte() {
    let lab = lab().await;
    let cases = [
        ("mrn=eq.M3", "M3"),
        ("mrn=neq.M1", "M2 M3 m3"),
        ("mrn=gte.M2&mrn=lt.M3", "M2"),
        ("mrn=gt.M2&mrn=lte.m3", "M3 m3"),
        ("id=gte.2&id=lte.3", "M2 M3"),
        ("mrn=in.(M1,%22m3%22)", "M1 m3"),
        ("ward=is.null", "M3"),
        ("ward=not.is.null&mrn=not.eq.M1", "M2 m3"),
        ("ward=neq.A", "M2"),
        ("first_name=eq.", "M3"),
        ("last_name=eq.O'Neil", "M2"),
        ("last_name=eq.%E5%B1%B1%E7%94%B0", "M3"),
        ("mrn=not.in.(M1,M2)", "M3 m3"),
    ];
    for (query, expected) in cases {
        assert_eq!(lab.mrns(query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn trees_nest_negate_and_quote() {
    let lab = lab().await;
    let quoted = format!("or=(last_name.eq.{},mrn.eq.M2)", encode(r#""a,(b)\"c\\""#));
    let cases = [
        ("or=(mrn.eq.M1,mrn.eq.M2)", "M1 M2"),
        ("or=(and(mrn.gte.M1,mrn.lt.M2),and(mrn.gte.m,mrn.lt.n))", "M1 m3"),
        ("not.or=(mrn.eq.M1,mrn.eq.M2)", "M3 m3"),
        ("and=(ward.eq.A,not.and(mrn.gte.M1,mrn.lt.M2))", "m3"),
        ("or=(mrn.in.(M1,%22M2%22),ward.is.null)", "M1 M2 M3"),
        ("or=(mrn.not.gte.M2,mrn.eq.m3)", "M1 m3"),
        (quoted.as_str(), "M2 m3"),
    ];
    for (query, expected) in cases {
        assert_eq!(lab.mrns(query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn order_limit_and_offset_choose_rows() {
    let lab = lab().await;
    assert_eq!(lab.mrns("order=mrn.desc&limit=2").await, "m3 M3");
    assert_eq!(lab.mrns("order=ward,mrn.desc&offset=1").await, "M1 M2 M3");
    assert_eq!(lab.mrns("order=ward.desc").await, "M3 M2 M1 m3");
}

#[tokio::test]
async fn select_names_aliases_and_embeds_both_ways() {
    let lab = lab().await;
    let read = lab.read("/patients?select=chart:mrn,specimens(accession)&id=lte.2").await;
    let specimens = json!([{"accession": "S1"}, {"accession": "S2"}]);
    let rows = json!([{"chart": "M1", "specimens": specimens}, {"chart": "M2", "specimens": []}]);
    assert_eq!(read, rows);
    let read = lab.read("/specimens?select=id,who:patients(last_name)&accession=eq.S2").await;
    assert_eq!(read, json!([{"id": 2, "who": {"last_name": "Müller"}}]));
    let read = lab.read("/patients?select=*&id=eq.3").await;
    assert_eq!(read[0]["ward"], Value::Null);
    assert_eq!(read[0].as_object().unwrap().len(), 7);
}

#[tokio::test]
async fn a_value_that_occurs_already_is_a_conflict_as_postgresql_words_it() {
    let lab = lab().await;
    let bulk = r#"[{"mrn": "M8", "last_name": "x"}, {"mrn": "M1", "last_name": "y"}]"#;
    let answer = lab.client.create("/patients", bulk).await.unwrap();
    assert_eq!(answer.status, 409);
    assert_eq!(error(&answer)["code"], "23505");
    assert_eq!(error(&answer)["details"], "Key (mrn)=(M1) already exists.");
    assert_eq!(lab.mrns("mrn=eq.M8").await, "", "all or none");
}

#[tokio::test]
async fn foreign_keys_hold_in_both_directions() {
    let lab = lab().await;
    let body = r#"{"accession": "S9", "patient_id": 99, "material": "serum"}"#;
    let answer = lab.client.create("/specimens", body).await.unwrap();
    assert_eq!(answer.status, 409);
    let details = "Key (patient_id)=(99) is not present in table \"patients\".";
    assert_eq!(error(&answer)["details"], details);
    let answer = lab.client.send(Method::DELETE, "/patients?id=eq.1", "").await.unwrap();
    assert_eq!((answer.status.as_u16(), &error(&answer)["code"]), (409, &json!("23503")));
}

#[tokio::test]
async fn changes_reach_what_the_filter_matches_and_nothing_else() {
    let lab = lab().await;
    let target = "/patients?or=(mrn.eq.M2,mrn.eq.M3)&select=mrn,ward";
    let answer = lab.client.send(Method::PATCH, target, r#"{"ward": 7.50}"#).await.unwrap();
    let rows = json!([{"mrn": "M2", "ward": "7.50"}, {"mrn": "M3", "ward": "7.50"}]);
    assert_eq!((answer.status.as_u16(), error(&answer)), (200, rows));
    let answer = lab.client.send(Method::DELETE, "/patients?mrn=eq.M2", "").await.unwrap();
    assert_eq!((answer.status.as_u16(), &error(&answer)[0]["mrn"]), (200, &json!("M2")));
    assert_eq!(lab.mrns("").await, "M1 M3 m3");
}

#[tokio::test]
async fn what_the_grammar_does_not_know_is_refused() {
    let lab = lab().await;
    for (target, status, code) in [
        ("/wards", 404, "PGRST205"),
        ("/patients?mrn=ilike.*m*", 400, "PGRST100"),
        ("/patients?or=(mrn.eq.M1", 400, "PGRST100"),
        ("/patients?colour=eq.red", 400, "42703"),
        ("/patients?select=id;drop", 400, "42703"),
        ("/patients?select=results(id)", 400, "PGRST200"),
        ("/patients?id=eq.one", 400, "22P02"),
        ("/patients?order=mrn.sideways", 400, "PGRST100"),
    ] {
        let answer = lab.client.read(target).await.unwrap();
        assert_eq!(answer.status, status, "{target}: {}", answer.body);
        assert_eq!(error(&answer)["code"], code, "{target}");
    }
    for body in ["", "[", "3", r#"{"mrn": 1"#] {
        assert_eq!(lab.client.create("/patients", body).await.unwrap().status, 400, "{body}");
    }
    let answer = lab.client.create("/patients", r#"{"mrn": "M9"}"#).await.unwrap();
    assert_eq!(error(&answer)["code"], "23502");
}

#[tokio::test]
async fn the_api_remembers_what_arrived() {
    let lab = lab().await;
    lab.mrns("mrn=eq.M1").await;
    let last = lab.api.last().unwrap();
    assert_eq!(
        (last.method, last.target.as_str()),
        (Method::GET, "/patients?select=mrn&mrn=eq.M1")
    );
}
