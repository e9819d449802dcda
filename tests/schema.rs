//! What a schema says of a sealed column holds as it does of a plain one: uniqueness, foreign keys,
//! joins, upserts. And an ordinary index finds sealed values, whatever the collation.

mod kit;

use std::time::Duration;

use kit::{Answer, Database, Labseal, PostgRest, Postgres, Request, labseal::Setup, tee::Tee};

const POLICY: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  mrn:   {id: c-mrn, mode: deterministic, type: text}
  donor: {id: c-donor, mode: searchable, type: text, match: [ieq, eq]}
callers:
  lims:  {api_key: {header: X-Api-Key, sha256_file: keys/lims.sha256}}
grants:
  lims:  {"*": {read: clear, filter: allow, write: allow}}
apis:
  - name: lims-db
    dialect: postgrest
    schemas: [lab, archive]
    entities:
      lab.people: {fields: {mrn: {class: mrn, unique: true}}}
      lab.visits: {fields: {mrn: {class: mrn}}}
      lab.samples: {fields: {mrn: {class: mrn}, donor: {class: donor}}}
      lab.samples_en: {fields: {mrn: {class: mrn}, donor: {class: donor}}}
"#;

const SCHEMA: &str = r#"
create schema lab;
create schema archive;
create collation lab.en (provider = icu, locale = 'en-US');
create table lab.people (id bigint primary key, mrn text, ward text);
create table lab.visits (id bigint primary key, mrn text, reason text);
create table lab.samples (id bigint primary key, mrn text not null, donor text);
create table lab.samples_en (
    id bigint primary key, mrn text collate lab.en not null, donor text collate lab.en);
"#;

struct Stand {
    labseal: Labseal,
    tee: Tee,
    api: PostgRest,
    database: Database,
}

impl Stand {
    fn start() -> Self {
        let database = Postgres::shared().database(SCHEMA);
        let api = PostgRest::with(&database, "db-plan-enabled = true\n");
        let tee = Tee::start(api.address());
        let labseal = Setup::new(POLICY, tee.address()).start();
        Self { labseal, tee, api, database }
    }

    fn send(&self, request: Request) -> Answer {
        request.key(self.labseal.key("lims")).send(self.labseal.address())
    }

    fn must(&self, request: Request) -> Answer {
        let answer = self.send(request);
        assert!((200..300).contains(&answer.status), "{}: {}", answer.start, answer.text());
        answer
    }

    /// The status, and the code and details of an error.
    fn fails(&self, request: Request) -> (u16, String, String) {
        let answer = self.send(request);
        let json = answer.json();
        let text = |member: &str| json[member].as_str().unwrap_or_default().to_owned();
        (answer.status, text("code"), text("details"))
    }

    /// Two tables as a lab has them, before anybody thought of constraints.
    fn people(&self) {
        let people = r#"[{"id":1,"mrn":"A-1"},{"id":2,"mrn":"A-2"},{"id":3,"mrn":"A-3"}]"#;
        self.must(Request::post("/people", people));
        let visits = r#"[{"id":1,"mrn":"A-1"},{"id":2,"mrn":"A-1"},{"id":3,"mrn":"A-3"}]"#;
        self.must(Request::post("/visits", visits));
    }

    fn constrain(&self) {
        self.database.sql(
            "create unique index people_mrn on lab.people (mrn);
             alter table lab.people add constraint people_mrn_key unique using index people_mrn;
             alter table lab.visits add constraint visits_mrn_fkey foreign key (mrn)
                references lab.people (mrn) on update cascade on delete cascade",
        );
        self.api.reload();
        kit::wait_until("the new schema", Duration::from_secs(30), || {
            self.send(Request::get("/visits?select=people(id)")).status == 200
        });
    }
}

#[test]
fn a_unique_index_on_sealed_values_refuses_equal_ones_and_only_those() {
    let stand = Stand::start();
    stand.people();
    stand.constrain();
    stand.must(Request::post("/people", r#"{"id":4,"mrn":"A-4"}"#));
    stand.must(Request::post("/people", r#"[{"id":5,"mrn":null},{"id":6,"mrn":null}]"#));
    stand.must(Request::post("/people", r#"[{"id":7,"mrn":"a-1"},{"id":8,"mrn":"A-1 "}]"#));
    let duplicate = (409, "23505".to_owned(), "Key (mrn)=(A-1) already exists.".to_owned());
    assert_eq!(stand.fails(Request::post("/people", r#"{"id":9,"mrn":"A-1"}"#)), duplicate);
    assert_eq!(stand.fails(Request::patch("/people?id=eq.2", r#"{"mrn":"A-1"}"#)), duplicate);
    let twice = r#"[{"id":9,"mrn":"B"},{"id":10,"mrn":"B"}]"#;
    assert_eq!(stand.fails(Request::post("/people", twice)).1, "23505");
    assert_eq!(stand.database.sql("select count(*) from lab.people").trim(), "8");
}

#[test]
fn a_unique_index_cannot_be_made_where_sealed_values_are_equal() {
    let stand = Stand::start();
    stand.people();
    stand.must(Request::post("/people", r#"{"id":9,"mrn":"A-1"}"#));
    let made = "do $$ begin create unique index on lab.people (mrn);
        exception when unique_violation then raise notice 'refused';
        insert into lab.people (id) values (99); end $$";
    stand.database.sql(made);
    assert_eq!(stand.database.sql("select count(*) from lab.people where id = 99").trim(), "1");
}

#[test]
fn a_foreign_key_between_sealed_columns_holds_and_cascades() {
    let stand = Stand::start();
    stand.people();
    stand.constrain();
    let missing = "Key (mrn)=(A-9) is not present in table \"people\".".to_owned();
    let orphan = Request::post("/visits", r#"{"id":9,"mrn":"A-9"}"#);
    assert_eq!(stand.fails(orphan), (409, "23503".to_owned(), missing));
    stand.must(Request::patch("/people?mrn=eq.A-1", r#"{"mrn":"C-1"}"#));
    let moved = stand.must(Request::get("/visits?mrn=eq.C-1&select=id&order=id"));
    assert_eq!(
        moved.text(),
        r#"[{"id":1}, 
 {"id":2}]"#
    );
    stand.must(Request::delete("/people?mrn=eq.C-1"));
    assert_eq!(stand.database.sql("select count(*) from lab.visits").trim(), "1");
}

#[test]
fn sealed_columns_join_in_sql_and_in_embeds() {
    let stand = Stand::start();
    stand.people();
    stand.constrain();
    let joined = "select count(*) from lab.people join lab.visits using (mrn)";
    assert_eq!(stand.database.sql(joined).trim(), "3");
    let grouped = "select count(*) from (select mrn from lab.visits group by mrn) x";
    assert_eq!(stand.database.sql(grouped).trim(), "2");
    let embedded =
        stand.must(Request::get("/people?select=mrn,visits(id)&order=id&visits.order=id"));
    let expected = serde_json::json!([
        {"mrn": "A-1", "visits": [{"id": 1}, {"id": 2}]},
        {"mrn": "A-2", "visits": []},
        {"mrn": "A-3", "visits": [{"id": 3}]},
    ]);
    assert_eq!(embedded.json(), expected);
    let inner = stand.must(Request::get("/visits?select=id,people!inner(id)&people.mrn=eq.A-3"));
    assert_eq!(inner.json(), serde_json::json!([{"id": 3, "people": {"id": 3}}]));
}

#[test]
fn an_upsert_on_a_sealed_column_finds_the_record_that_is_there() {
    let stand = Stand::start();
    stand.people();
    stand.constrain();
    let upsert = |resolution: &str, body: &str| {
        let request = Request::post("/people?on_conflict=mrn", body);
        stand.must(request.header("Prefer", resolution));
        stand.must(Request::get("/people?select=id,mrn,ward&order=id")).json()
    };
    let merged = upsert("resolution=merge-duplicates", r#"{"id":1,"mrn":"A-1","ward":"N"}"#);
    let person = |id: u8, mrn: &str, ward: Option<&str>| serde_json::json!({"id": id, "mrn": mrn, "ward": ward});
    let others = [person(2, "A-2", None), person(3, "A-3", None)];
    let all = |first, more: &[serde_json::Value]| {
        serde_json::Value::from([&[first], &others[..], more].concat())
    };
    assert_eq!(merged, all(person(1, "A-1", Some("N")), &[]));
    let several = r#"[{"id":8,"mrn":"A-1","ward":"S"},{"id":4,"mrn":"A-4","ward":"S"}]"#;
    let ignored = upsert("resolution=ignore-duplicates", several);
    assert_eq!(ignored, all(person(1, "A-1", Some("N")), &[person(4, "A-4", Some("S"))]));
}

/// What a plan says about a search, and how many records it found.
fn search(stand: &Stand, target: &str) -> (String, usize) {
    let plan = stand.must(
        Request::get(target).header("Accept", "application/vnd.pgrst.plan+text; options=verbose"),
    );
    let found = stand.must(Request::get(target));
    (plan.text(), found.json().as_array().expect("a list").len())
}

fn assert_by_index(what: &str, plan: &str) {
    let by_index = ["Index Scan", "Index Only Scan"].iter().any(|node| plan.contains(node));
    assert!(by_index && !plan.contains("Seq Scan"), "{what}:\n{plan}");
}

#[test]
fn an_ordinary_index_finds_sealed_values_among_two_hundred_thousand() {
    const RECORDS: usize = 200_000;
    const BATCH: usize = 25_000;
    let stand = Stand::start();
    for first in (0..RECORDS).step_by(BATCH) {
        let record = |n: usize| format!(r#"{{"id":{n},"mrn":"M-{n}","donor":"Donor {n}"}}"#);
        let records: Vec<_> = (first..first + BATCH).map(record).collect();
        stand.must(Request::post("/samples", &format!("[{}]", records.join(","))));
    }
    stand.database.sql(
        "insert into lab.samples_en select * from lab.samples;
         create unique index on lab.samples (mrn);
         create index on lab.samples (donor);
         create unique index on lab.samples_en (mrn);
         create index on lab.samples_en (donor);
         analyze lab.samples, lab.samples_en",
    );
    let counted = stand.database.sql("select count(*), count(distinct donor) from lab.samples_en");
    assert_eq!(counted.trim(), format!("{RECORDS}|{RECORDS}"));
    for table in ["samples", "samples_en"] {
        for (query, records) in [
            ("donor=eq.Donor%20777", 1),
            ("donor=in.(%22Donor%201%22,%22Donor%20199999%22,nobody)", 2),
            ("or=(donor.eq.%22Donor%203%22,donor.eq.%22Donor%204%22)", 2),
            ("donor=eq.nobody", 0),
            ("mrn=eq.M-123456", 1),
            ("mrn=in.(M-1,M-2,none)", 2),
        ] {
            let what = format!("/{table}?{query}&select=id,mrn,donor");
            let (plan, found) = search(&stand, &what);
            assert_by_index(&what, &plan);
            assert_eq!(found, records, "{what}");
        }
        // The bounds that went upstream, asked for in SQL.
        stand.tee.forget();
        stand.must(Request::get(&format!("/{table}?donor=eq.Donor%2042&select=id")));
        let sent = stand.tee.requests().last().expect("it was sent").start.clone();
        let bound = |before: &str| {
            let (_, rest) = sent.split_once(before).unwrap_or_else(|| panic!("{sent}"));
            rest.split(['&', ' ']).next().unwrap_or_default().to_owned()
        };
        let (low, high) = (bound("donor=gte."), bound("donor=lt."));
        let sql = format!("from lab.{table} where donor >= '{low}' and donor < '{high}'");
        assert_by_index(&sql, &stand.database.sql(&format!("explain select * {sql}")));
        assert_eq!(stand.database.sql(&format!("select id {sql}")).trim(), "42");
    }
}
