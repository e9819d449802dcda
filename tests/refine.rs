//! What is filtered or ordered after opening is what a plain column gives, byte for byte; and what
//! would not be is refused. The same requests on a real PostgREST over columns of the types that the
//! classes stand for, and through labseal over text.

mod kit;

use std::{
    fmt::Write as _,
    sync::{Arc, OnceLock},
};

use kit::{Numbers, Pair, PostgRest, Postgres, Request, labseal::Setup, tee::Tee};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

const PLAIN: &str = r#"
create schema lab;
create schema archive;
create table lab.people (
    id integer primary key,
    name text collate "C",
    code text collate "C",
    born date,
    seen timestamptz,
    dose numeric(12,4),
    rank integer,
    alive boolean,
    ward text collate "C",
    mother integer references lab.people(id)
);
"#;

const SEALED: &str = "
create schema lab;
create schema archive;
create table lab.people (
    id integer primary key, name text, code text, born text, seen text, dose text, rank text,
    alive text, ward text collate \"C\", mother integer references lab.people(id)
);
";

const POLICY: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  name:  {id: c-name, mode: searchable, match: ["prefix(3)", ieq, eq], mask: {keep_first: 1}, collation: C, order: {proxy_sort: 2000}}
  code:  {id: c-code, mode: searchable, match: ["prefix(2)", eq]}
  born:  {id: c-born, mode: searchable, type: date, match: [year, month, eq], range: {from: 1975, to: 2030, at_most: 20}, order: {proxy_sort: 2000}}
  seen:  {id: c-seen, mode: searchable, type: timestamptz, match: [year, month, eq], range: {from: 2000, to: 2040, at_most: 60}, order: {proxy_sort: 2000}}
  dose:  {id: c-dose, mode: random, type: "numeric(12,4)", order: {proxy_sort: 2000}}
  rank:  {id: c-rank, mode: deterministic, type: integer, order: {proxy_sort: 20}}
  alive: {id: c-alive, mode: random, type: boolean, order: {proxy_sort: 2000}}
callers:
  lims:    {api_key: {header: X-Api-Key, sha256_file: keys/lims.sha256}}
  billing: {api_key: {header: X-Api-Key, sha256_file: keys/billing.sha256}}
grants:
  lims:    {"*": {read: clear, filter: allow, write: allow}}
  billing: {"*": {read: masked, filter: allow}}
apis:
  - name: lims-db
    dialect: postgrest
    schemas: [lab, archive]
    entities:
      lab.people:
        fields:
          name: {class: name}
          code: {class: code}
          born: {class: born}
          seen: {class: seen}
          dose: {class: dose}
          rank: {class: rank}
          alive: {class: alive}
"#;

const NAMES: &[&str] = &[
    "",
    "Smith",
    "SMITH",
    "smith",
    "Smyth",
    "Smithson",
    "Smooth",
    "smoth",
    "Sm",
    "Smi",
    "Åström",
    "ÅSTRÖM",
    "Åstrom",
    "山田",
    "山田太郎",
    "100%",
    "100x",
    "a_b",
    "axb",
    r"a\b",
    "ab",
    "Straße",
    "say \"hi\"",
    "line\nfeed",
    "Zoe",
    "zoe",
    "ZOE",
];

const CODES: &[&str] =
    &["", "A", "AB", "ABC", "ABCD", "ABXD", "abcd", "AB-1", "AB-22", "XY", "XYZ"];

const ROWS: usize = 300;

fn pair() -> &'static Arc<Pair> {
    static PAIR: OnceLock<Arc<Pair>> = OnceLock::new();
    PAIR.get_or_init(|| {
        let pair = Pair::start(PLAIN, SEALED, POLICY);
        let mut numbers = Numbers(7);
        let mut rows = Vec::new();
        for id in 1..=ROWS {
            let born = (numbers.below(10) > 0).then(|| {
                let year = [1975, 1979, 1980, 2025, 2026, 2030][numbers.below(6)];
                format!("{year}-{:02}-{:02}", numbers.below(12) + 1, numbers.below(28) + 1)
            });
            let seen = (numbers.below(10) > 0).then(|| {
                let day = numbers.below(28) + 1;
                format!("2026-{:02}-{day:02}T{:02}:30:00+02:00", numbers.below(4) + 1, day % 24)
            });
            let dose = (numbers.below(8) > 0)
                .then(|| format!("{}.{}", numbers.below(400) as i64 - 200, numbers.below(100)));
            let ward = ["north", "south", "west"][numbers.below(3)];
            let alive = [Some(true), Some(false), None][numbers.below(3)];
            rows.push(json!({
                "id": id,
                "name": numbers.one_of(NAMES),
                "code": numbers.one_of(CODES),
                "born": born,
                "seen": seen,
                "dose": dose,
                "rank": numbers.below(50) as i64 - 25,
                "alive": alive,
                "ward": ward,
                "mother": (id > 10).then(|| numbers.below(10) + 1),
            }));
        }
        let body = serde_json::to_string(&rows).unwrap();
        let (plain, sealed) = pair.both(&Request::post("/people", &body));
        assert_eq!((plain.status, sealed.status), (201, 201), "{}", sealed.text());
        Arc::new(pair)
    })
}

fn spelled(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The answers direct and through labseal are the same: status, body, and the headers that speak of
/// what was asked and of how many records there are.
fn is_same(request: &Request) -> String {
    let (plain, sealed) = pair().both(request);
    let asked = String::from_utf8_lossy(&request.bytes()).into_owned();
    assert_eq!(sealed.header("Labseal-Error"), None, "{asked}{}", sealed.text());
    assert_eq!(plain.status, sealed.status, "{asked}{}", sealed.text());
    assert_eq!(plain.text(), sealed.text(), "{asked}");
    for name in ["Content-Range", "Content-Location", "Preference-Applied", "Content-Type"] {
        assert_eq!(plain.header(name), sealed.header(name), "{asked}: {name}");
    }
    plain.text()
}

fn get(target: &str) -> Request {
    Request::get(target)
}

fn refusal(request: Request) -> String {
    let answer = pair().sealed(&request);
    answer.header("Labseal-Error").unwrap_or("none").to_owned()
}

#[test]
fn patterns_between_rungs_find_what_a_plain_column_finds() {
    let mut found = 0;
    for pattern in [
        "Smi*",
        "Smit*",
        "Sm_th",
        "Smi%th",
        "Smi_h*",
        "smi*th",
        "Smith*son",
        "SMI%",
        "Smi",
        "Åst%m",
        "100\\%*",
        "100_*",
        "say \"*",
        "lin*feed",
        "Str%e",
        "山田太*",
        "Zoe*",
        "zo%e%",
    ] {
        for operator in ["like", "ilike"] {
            let request = get(&format!(
                "/people?select=id,name&order=id&name={operator}.{}",
                spelled(pattern)
            ));
            let answer = pair().sealed(&request);
            // Shorter than the coarsest rung: nothing finds it.
            if answer.header("Labseal-Error") == Some("LS104") {
                continue;
            }
            found += usize::from(is_same(&request) != "[]");
        }
    }
    assert!(found > 15, "{found}");
    for pattern in ["AB*1", "ABC*", "AB_D", "AB*"] {
        is_same(&get(&format!("/people?code=like.{}&select=*&order=id", spelled(pattern))));
    }
}

#[test]
fn ranges_within_months_find_what_a_plain_column_finds() {
    for test in [
        "born=gte.2026-03-15",
        "born=gt.2026-03-15&born=lt.2026-06-02",
        "born=lte.1980-02-20",
        "born=lt.1975-01-22",
        "born=gt.2030-12-27",
        "seen=gte.2026-02-10T12:00:00Z",
        "seen=lt.2026-03-01T00:15:00%2B02:00&born=gte.2026-01-02",
        "seen=gt.2026-02-14T14:30:00%2B02:00",
        "seen=lte.2026-02-14T14:30:00%2B02:00",
    ] {
        is_same(&get(&format!("/people?select=id,born,seen&order=id.desc&{test}")));
    }
}

#[test]
fn tests_of_several_kinds_are_carried_out_together() {
    for query in [
        "name=ilike.smi*h*&born=gte.2025-01-15&ward=eq.north&order=id",
        "name=like.Smit*&code=like.ABC*&order=id",
        "name=like.Smit*&or=(ward.eq.north,code.eq.AB)&order=id",
        "select=x:name,id&name=like.Smit*&order=id",
        "select=id,name,up:mother(id,name)&name=like.Smit*&order=id",
        "name=like.Nobody*&order=id",
    ] {
        is_same(&get(&format!("/people?{query}")));
    }
    assert_eq!(is_same(&get("/people?name=like.Nobody*")), "[]");
    // What stands in `and` and nothing else must hold for every record, too.
    for query in [
        "and=(name.like.Smit*,id.gt.20)&order=id",
        "and=(name.ilike.smi*h*,and(born.gte.2025-01-15,ward.eq.north))&order=id",
        "and=(born.gte.1980-01-15,born.lt.1980-06-20)&order=id",
        "and=(born.gt.2025-03-03)&and=(born.lte.2026-03-02,or(ward.eq.west,id.lt.99))&order=id",
        "born=gt.2025-03-03&and=(born.lte.2026-03-02,born.not.is.null)&order=id",
        "and=(seen.gte.2026-02-10T12:00:00Z,seen.lt.2026-03-01T00:15:00%2B02:00)&order=name,id",
        "and=(name.in.(Smith,Zoe),name.neq.Zoe)&order=id",
        "and=(name.like.\"Smit*\",name.eq(any).{Smith,Smithson})&order=id",
    ] {
        is_same(&get(&format!("/people?{query}")));
    }
    let all: Vec<_> = ["name", "code"].iter().map(|c| format!("{c}=eq.AB")).collect();
    is_same(&get(&format!("/people?{}&order=id", all.join("&"))));
    let prefer = get("/people?name=like.Smit*&order=id").header("Prefer", "timezone=UTC");
    is_same(&prefer);
}

#[test]
fn records_come_in_the_order_of_a_plain_column() {
    for column in ["name", "born", "seen", "dose", "alive"] {
        for direction in ["", ".asc", ".desc", ".nullsfirst", ".desc.nullslast", ".asc.nullsfirst"]
        {
            is_same(&get(&format!("/people?order={column}{direction},id")));
        }
    }
    for query in [
        "order=name.desc,born.nullsfirst,dose,id.desc&select=id,name,born,dose",
        "order=alive,ward.desc,id&select=*",
        "select=n:name,id&order=name,id",
        "order=name,id&ward=eq.west",
        "ward=eq.west&order=dose.desc,id&select=id,dose",
        "order=name,id&name=like.Smit*",
        "order=name,id&name=eq.Smith",
        "order=rank,id&rank=in.(1,2)",
        "order=born,id&name=eq.nobody",
        "select=id,name,mother(name)&order=name,mother(id),id",
    ] {
        is_same(&get(&format!("/people?{query}")));
    }
}

#[test]
fn an_order_alone_leaves_nothing_of_it_in_the_query() {
    let (plain, sealed) = pair().both(&get("/people?order=alive"));
    assert_eq!(plain.header("Content-Location"), sealed.header("Content-Location"));
    assert_eq!(plain.header("Content-Range"), sealed.header("Content-Range"));
    assert_eq!(plain.text().len(), sealed.text().len());
    let (plain, sealed) = pair().both(&get("/people?order=alive&id=eq.7"));
    assert_eq!(plain.header("Content-Location"), sealed.header("Content-Location"));
    assert_eq!(plain.text(), sealed.text());
}

#[test]
fn what_is_not_the_whole_list_is_refused() {
    for test in ["name=like.Smit*", "born=gte.2026-03-15", "order=name,id"] {
        let target = format!("/people?{test}");
        for more in ["limit=5", "offset=1", "limit=0", "limit=5&offset=2"] {
            assert_eq!(refusal(get(&format!("{target}&{more}"))), "LS114", "{test} {more}");
        }
        assert_eq!(refusal(get(&target).header("Range", "0-4")), "LS114", "{test}");
        for prefer in ["count=exact", "count=planned", "handling=lenient, count=estimated"] {
            assert_eq!(refusal(get(&target).header("Prefer", prefer)), "LS114", "{test}");
        }
        let object = "application/vnd.pgrst.object+json";
        assert_eq!(refusal(get(&target).header("Accept", object)), "LS114", "{test}");
        let stripped = "application/vnd.pgrst.array+json;nulls=stripped";
        assert_eq!(refusal(get(&target).header("Accept", stripped)), "LS114", "{test}");
        assert_eq!(refusal(get(&format!("{target}&select=count()"))), "LS114", "{test}");
        assert_eq!(refusal(Request::new("HEAD", &target)), "LS114", "{test}");
        assert_eq!(refusal(get(&format!("{target}&select=id"))), "LS115", "{test}");
        assert_eq!(
            refusal(get(&format!("{target}&select=id,*,name:id,born:id"))),
            "LS115",
            "{test}"
        );
    }
}

#[test]
fn what_cannot_be_tested_record_by_record_is_refused() {
    for (target, code) in [
        ("/people?or=(name.like.Smit*,id.eq.1)", "LS104"),
        ("/people?or=(and(name.like.Smit*,id.gt.1),id.eq.1)", "LS104"),
        ("/people?and=(id.gt.1,or(name.like.Smit*,id.eq.1))", "LS104"),
        ("/people?and=(id.gt.1,not.and(name.like.Smit*))", "LS104"),
        ("/people?and=(id.gt.1,name.not.like.Smit*)", "LS104"),
        ("/people?not.and=(name.like.Smit*,id.eq.1)", "LS104"),
        ("/people?select=id,name,up:people!mother(name)&up.and=(name.like.Smit*)", "LS104"),
        ("/people?name=not.like.Smit*", "LS104"),
        ("/people?born=not.gte.2026-03-15", "LS104"),
        ("/people?name=like.*mith", "LS104"),
        ("/people?name=match.Smi", "LS104"),
        ("/people?name=gte.Smi", "LS104"),
        ("/people?select=id,name,up:people!mother(name)&up.name=like.Smit*", "LS104"),
        ("/people?select=id,name,up:people!mother(name)&order=up(name)", "LS105"),
        ("/people?select=id,name,up:people!mother(name)&up.order=name", "LS105"),
        ("/people?order=id,name", "LS105"),
        ("/people?order=name,id,born", "LS105"),
        ("/people?order=code", "LS105"),
        ("/people?order=name&order=id", "LS105"),
        ("/people?order=rank,id", "LS406"),
    ] {
        assert_eq!(refusal(get(target)), code, "{target}");
    }
}

#[test]
fn nothing_is_changed_by_a_test_that_finds_too_much() {
    let before = is_same(&get("/people?order=id"));
    for method in ["PATCH", "DELETE"] {
        for test in ["name=like.Smit*", "born=gte.2026-03-15", "and=(name.like.Smit*,id.gt.1)"] {
            let request = Request::new(method, &format!("/people?{test}")).returning();
            let request = match method {
                "PATCH" => request.json(r#"{"ward":"east"}"#),
                _ => request,
            };
            assert_eq!(refusal(request), "LS114", "{method} {test}");
        }
    }
    assert_eq!(is_same(&get("/people?order=id")), before);
}

#[test]
fn a_caller_who_sees_masks_filters_by_values_and_does_not_order_by_them() {
    let billing = |target: &str| {
        let key = pair().labseal.key("billing").to_owned();
        Request::get(target).key(&key).send(pair().labseal.address())
    };
    let (clear, _) = pair().both(&get("/people?select=id,name&name=like.Smit*&order=id"));
    let clear: Vec<serde_json::Value> = serde_json::from_str(&clear.text()).unwrap();
    let masked = billing("/people?select=id,name&name=like.Smit*&order=id");
    let masked: Vec<serde_json::Value> = serde_json::from_str(&masked.text()).unwrap();
    let ids = |rows: &[serde_json::Value]| rows.iter().map(|r| r["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&clear), ids(&masked));
    assert!(!masked.is_empty() && masked.iter().all(|row| row["name"] != "Smith"));
    assert_eq!(billing("/people?order=name").header("Labseal-Error"), Some("LS201"));
}

#[test]
fn a_list_that_the_api_cuts_is_refused_and_no_pattern_goes_up() {
    let database = Postgres::shared().database(SEALED);
    let api = PostgRest::with(&database, "db-max-rows = 4\n");
    let tee = Tee::start(api.address());
    let labseal = Setup::new(POLICY, tee.address()).start();
    let send = |request: Request| request.key(labseal.key("lims")).send(labseal.address());
    let names = ["Smithson", "Smiley", "Smirnov", "Smitty", "Smidt"];
    let rows: Vec<_> =
        names.iter().enumerate().map(|(id, name)| json!({"id": id, "name": name})).collect();
    let created = send(Request::post("/people", &serde_json::to_string(&rows).unwrap()));
    assert_eq!(created.status, 201);
    for target in ["/people?name=like.Smit*", "/people?order=name"] {
        let answer = send(get(target));
        assert_eq!(answer.header("Labseal-Error"), Some("LS406"), "{target}");
        assert_eq!(answer.status, 413);
    }
    assert_eq!(send(Request::delete("/people?id=eq.4")).status, 204);
    let answer = send(get("/people?select=name&name=like.Smit*&order=name.desc"));
    assert_eq!(answer.text(), "[{\"name\":\"Smitty\"}, \n {\"name\":\"Smithson\"}]");
    assert_eq!(answer.header("Content-Range"), Some("0-1/*"));
    let received = tee.received();
    assert!(!received.is_empty() && memchr::memmem::find(&received, b"Smi").is_none());
}

#[test]
fn long_answers_are_filtered_as_they_pass_and_ordered_whole() {
    let pair = Pair::start(PLAIN, SEALED, POLICY);
    let padding = "x".repeat(2_000);
    let mut body = String::from("[");
    for id in 0..1_800 {
        let comma = if id == 0 { "" } else { "," };
        let name = ["Smithson", "Smiley", "Smi"][id % 3];
        let _ =
            write!(body, "{comma}{{\"id\":{id},\"name\":\"{name} {id}\",\"ward\":\"{padding}\"}}");
    }
    body.push(']');
    let (plain, sealed) = pair.both(&Request::post("/people", &body));
    assert_eq!((plain.status, sealed.status), (201, 201));
    for target in ["/people?name=like.Smit*&order=id", "/people?name=like.Smi_%209*&order=id"] {
        let (plain, sealed) = pair.both(&get(target));
        assert_eq!(plain.text(), sealed.text(), "{target}");
        assert_eq!(plain.header("Content-Location"), sealed.header("Content-Location"));
    }
    // How many there are is not known when the head goes out.
    let (_, sealed) = pair.both(&get("/people?name=like.Smit*&order=id"));
    assert_eq!(sealed.header("Content-Range"), None);
    let (plain, sealed) = pair.both(&get("/people?order=name.desc,id"));
    assert_eq!(plain.text(), sealed.text());
    assert_eq!(plain.header("Content-Range"), sealed.header("Content-Range"));
}
