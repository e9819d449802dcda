//! What an unmodified client of the lab does, in order. Every protected value in it has a canary.
//!
//! Each step names the status that PostgREST answers without labseal, so that a script that went
//! wrong everywhere alike does not count as a script that gave the same answers.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{canary::Canaries, client::Request};

/// One request, its name, and what PostgREST alone answers.
pub struct Step {
    /// Group and name: `create/one record`.
    pub name: &'static str,
    /// What is sent.
    pub request: Request,
    /// The status that comes back.
    pub status: u16,
}

fn step(name: &'static str, status: u16, request: Request) -> Step {
    Step { name, request, status }
}

/// Percent-encodes all but letters and digits.
pub fn enc(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Percent-encodes a literal in double quotes, as lists and trees want it.
pub fn quoted(text: &str) -> String {
    enc(&format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The whole day of a client.
pub fn lab(c: &mut Canaries) -> Vec<Step> {
    let mut steps = create(c);
    steps.extend(kinds(c));
    steps.extend(read(c));
    steps.extend(search(c));
    steps.extend(trees(c));
    steps.extend(update(c));
    steps.extend(errors(c));
    steps.extend(delete(c));
    steps
}

/// Record number `n`.
pub fn mrn(c: &mut Canaries, n: u8) -> String {
    format!("M{n}-{}", c.plant(&format!("mrn {n}")))
}

/// Last name `n`: each of another script.
pub fn name(c: &mut Canaries, n: u8) -> String {
    let canary = c.plant(&format!("name {n}"));
    match n {
        1 => format!("Åström-Ñuñez {canary}"),
        2 => format!("O'Neil {canary}"),
        3 => format!("山田太郎 {canary}"),
        4 => format!("שָׁלוֹם עולם {canary}"),
        5 => format!("👩🏽‍⚕️ {canary}"),
        6 => format!("a,b (c) \"d\" \\e {canary} "),
        _ => format!("Svensson {canary}"),
    }
}

fn accession(c: &mut Canaries, n: u8) -> String {
    format!("S/{n} {}", c.plant(&format!("accession {n}")))
}

fn create(c: &mut Canaries) -> Vec<Step> {
    let people: Vec<_> = (1..=7).map(|n| (json(&mrn(c, n)), json(&name(c, n)))).collect();
    let given = c.plant("given");
    let (birth, note) = (c.plant("birth"), c.plant("note"));
    let (m1, n1) = &people[0];
    let one = format!(
        r#"{{ "mrn":{m1},"last_name" : {n1}, "first_name":"Eva {given}","birth_date":"1970-01-01 {birth}",
          "notes":"line\nbreak\t\"quote\" \\ \/ {note} \u2028 \u00e9 \ud83d\ude42 </b>", "ward":"A","bed":1 }}"#
    );
    let bulk: Vec<_> = people[1..]
        .iter()
        .enumerate()
        .map(|(i, (m, n))| {
            let notes = if i % 2 == 0 { "null".to_owned() } else { format!("\"n {note}\"") };
            format!(
                r#"{{"mrn":{m},"last_name":{n},"first_name":"","notes":{notes},"ward":"B{i}"}}"#
            )
        })
        .collect();
    let (s1, s2) = (accession(c, 1), accession(c, 2));
    let (s1, s2, m2) = (json(&s1), json(&s2), &people[1].0);
    let remark = c.plant("remark");
    let value = c.plant("value");
    // Eight digits before the point are all that the column takes.
    let volume = format!("7{}", &c.plant_number("digits of the volume")[4..11]);
    c.adopt("digits of the volume", &volume);
    let volume = format!("{volume}.2");
    let orders = format!(
        r#"[{{"mrn":{m1},"accession":{s1},"code":"HB","priority":2,"remark":"fasting {remark}","volume":1.50}},
            {{"mrn":{m1},"accession":{s1},"code":"NA","priority":1,"remark":null,"volume":-{volume}}},
            {{"mrn":{m2},"accession":{s2},"code":"HB","priority":3,"remark":"","volume":null}}]"#
    );
    let results = format!(
        r#"[{{"order_id":1,"analyte":"hb","value":"{value} 141","unit":"g/l","verified":true}},
            {{"order_id":1,"analyte":"mcv","value":null,"unit":"fl","verified":false}},
            {{"order_id":3,"analyte":"hb","value":"POS {value}","unit":null,"verified":true}}]"#
    );
    let contact = format!(r#"{{"mrn":{m1},"phone":"+46 {}","room":"12"}}"#, c.plant("phone"));
    vec![
        step("create/one record", 201, Request::post("/patients", &one).returning()),
        step("create/bulk", 201, Request::post("/patients", &format!("[{}]", bulk.join(",\n")))),
        step(
            "create/location of a protected key",
            201,
            Request::post(
                "/specimens",
                &format!(r#"{{"accession":{s1},"mrn":{m1},"kind":"EDTA"}}"#),
            )
            .header("Prefer", "return=headers-only"),
        ),
        step(
            "create/some columns",
            201,
            Request::post(
                "/specimens?columns=accession,mrn,kind",
                &format!(r#"[{{"accession":{s2},"mrn":{m2},"kind":"citrate","position":9}}]"#),
            )
            .returning(),
        ),
        step("create/children", 201, Request::post("/orders", &orders).returning()),
        step("create/grandchildren", 201, Request::post("/results", &results).returning()),
        step("create/nothing", 201, Request::post("/orders", "[]").returning()),
        step("create/contact", 201, Request::post("/contacts", &contact).returning()),
        step("create/excepted", 201, Request::post("/wards", r#"{"code":"A","title":"West"}"#)),
    ]
}

fn kinds(c: &mut Canaries) -> Vec<Step> {
    let number = c.plant_number("number");
    let long = c.plant_number("long number");
    let m = c.plant("mrn of kinds");
    let body = format!(
        r#"[{{"mrn":{number},"last_name":true,"first_name":-{number}.50,"notes":1e3,"birth_date":false}},
            {{"mrn":"{m}","last_name":{long}00000000000000000001,"first_name":0.10,"notes":"","birth_date":null}}]"#
    );
    vec![
        step("kinds/numbers and booleans", 201, Request::post("/patients", &body).returning()),
        step("kinds/read", 200, Request::get("/patients?id=gt.7&order=id")),
        step("kinds/number by text", 200, Request::get(&format!("/patients?mrn=eq.{number}"))),
        step("kinds/boolean by text", 200, Request::get("/patients?last_name=eq.true&select=id")),
        step(
            "kinds/decimal by text",
            200,
            Request::get(&format!("/patients?first_name=eq.-{number}.50&select=id,first_name")),
        ),
    ]
}

fn read(c: &mut Canaries) -> Vec<Step> {
    let one = "application/vnd.pgrst.object+json";
    let m1 = enc(&mrn(c, 1));
    let get = |name, target: &str| step(name, 200, Request::get(target));
    vec![
        get("read/all", "/patients?order=id"),
        get("read/star and more", "/patients?select=*,number:mrn&order=id"),
        get("read/aliases", "/patients?select=number:mrn,surname:last_name,ward&order=id.desc"),
        get("read/alias that is another column", "/patients?select=ward:mrn,mrn:ward,id&order=id"),
        get("read/page", "/patients?select=id,mrn&order=ward.desc.nullslast,id&limit=3&offset=2"),
        step(
            "read/range with count",
            206,
            Request::get("/patients?select=id,mrn&order=id")
                .header("Range-Unit", "items")
                .header("Range", "1-2")
                .header("Prefer", "count=exact"),
        ),
        get(
            "read/embedded",
            "/patients?select=mrn,last_name,orders(code,remark,results(analyte,value))&order=id\
             &orders.order=id&orders.results.order=id",
        ),
        get("read/parent", "/orders?select=code,patient:patients(mrn,surname:last_name)&order=id"),
        get("read/spread", "/orders?select=code,...patients(mrn,surname:last_name)&order=id"),
        get(
            "read/embedded by hint",
            "/orders?select=code,specimens!orders_accession_fkey(accession)&order=id",
        ),
        step(
            "read/one as object",
            200,
            Request::get(&format!("/patients?mrn=eq.{m1}")).header("Accept", one),
        ),
        step("read/none as object", 406, Request::get("/patients?id=eq.0").header("Accept", one)),
        step("read/head", 200, Request::new("HEAD", "/patients?select=id,mrn&order=id")),
        step(
            "read/head with count",
            200,
            Request::new("HEAD", "/patients?last_name=is.null").header("Prefer", "count=exact"),
        ),
        get("read/nulls", "/patients?notes=is.null&select=id&order=id"),
        get("read/not null", "/patients?notes=not.is.null&select=id,notes&order=id"),
        get("read/excepted", "/wards"),
        get("read/function excepted", "/rpc/patient_count"),
        step(
            "read/other schema",
            200,
            Request::get("/patients?order=id").header("Accept-Profile", "archive"),
        ),
    ]
}

fn search(c: &mut Canaries) -> Vec<Step> {
    let m: Vec<_> = (1..=3).map(|n| mrn(c, n)).collect();
    let n: Vec<_> = (1..=7).map(|n| name(c, n)).collect();
    let given = enc(&format!("Eva {}", c.plant("given")));
    let s1 = enc(&accession(c, 1));
    let get = |name, target: String| step(name, 200, Request::get(&target));
    let titles = [
        "search/latin",
        "search/apostrophe",
        "search/CJK",
        "search/right to left",
        "search/emoji",
        "search/quotes and a trailing space",
        "search/ascii",
    ];
    let mut steps: Vec<_> = titles
        .iter()
        .zip(&n)
        .map(|(title, name)| get(title, format!("/patients?last_name=eq.{}&select=*", enc(name))))
        .collect();
    steps.extend([
        get("search/number", format!("/patients?mrn=eq.{}", enc(&m[0]))),
        get("search/number in the clear path", format!("/patients?mrn=eq.{}&select=id", m[2])),
        get("search/other than a number", format!("/patients?mrn=neq.{}&order=id", enc(&m[0]))),
        get("search/not a number", format!("/patients?mrn=not.eq.{}&order=id", enc(&m[0]))),
        get("search/slash in key", format!("/specimens?accession=eq.{s1}")),
        get(
            "search/numbers in",
            format!("/patients?mrn=in.({},{})&order=id", enc(&m[0]), quoted(&m[1])),
        ),
        get("search/numbers not in", format!("/patients?mrn=not.in.({})&order=id", enc(&m[0]))),
        get("search/given", format!("/patients?first_name=eq.{given}&select=id,first_name")),
        get("search/other name", format!("/patients?last_name=neq.{}&order=id", enc(&n[1]))),
        get("search/not name", format!("/patients?last_name=not.eq.{}&order=id", enc(&n[2]))),
        get(
            "search/names in",
            format!("/patients?last_name=in.({},{})&order=id", quoted(&n[5]), quoted(&n[3])),
        ),
        get(
            "search/names not in",
            format!("/patients?last_name=not.in.({})&order=id", quoted(&n[6])),
        ),
        get("search/empty text", "/patients?first_name=eq.&select=id,first_name&order=id".into()),
        get("search/nobody", "/patients?last_name=eq.Nobody".into()),
        get(
            "search/plain and protected",
            format!("/patients?ward=eq.A&last_name=eq.{}&bed=gte.1", enc(&n[0])),
        ),
        get(
            "search/in an embedded resource",
            format!("/orders?select=code,patients!inner(mrn)&patients.last_name=eq.{}", enc(&n[0])),
        ),
        get(
            "search/in an aliased resource",
            format!("/orders?select=code,who:patients!inner(mrn)&who.mrn=eq.{}", enc(&m[1])),
        ),
    ]);
    steps
}

fn trees(c: &mut Canaries) -> Vec<Step> {
    let m: Vec<_> = (1..=3).map(|n| quoted(&mrn(c, n))).collect();
    let n: Vec<_> = (1..=7).map(|n| quoted(&name(c, n))).collect();
    let get = |name, query: String| {
        step(name, 200, Request::get(&format!("/patients?{query}&order=id&select=id,last_name")))
    };
    vec![
        get("trees/or", format!("or=(mrn.eq.{},last_name.eq.{})", m[0], n[4])),
        get("trees/and", format!("and=(mrn.neq.{},last_name.neq.{})", m[0], n[4])),
        get("trees/not or", format!("not.or=(mrn.eq.{},last_name.eq.{})", m[1], n[2])),
        get("trees/not inside", format!("or=(last_name.not.eq.{},ward.eq.A)", n[1])),
        get(
            "trees/nested",
            format!(
                "or=(ward.eq.A,and(bed.is.null,not.or(last_name.in.({},{}),mrn.in.({}))))",
                n[5], n[6], m[2]
            ),
        ),
        get("trees/null inside", format!("or=(notes.is.null,mrn.eq.{})", m[0])),
        get("trees/not in inside", format!("or=(last_name.not.in.({}),mrn.eq.{})", n[0], m[0])),
    ]
}

fn update(c: &mut Canaries) -> Vec<Step> {
    let (m1, m2, m7) = (mrn(c, 1), mrn(c, 2), mrn(c, 7));
    let new = c.plant("new name");
    let phone = c.plant("new phone");
    let upsert = c.plant("upserted");
    let rows = format!(
        r#"[{{"mrn":{},"last_name":"{upsert}"}},{{"mrn":"N-{upsert}","last_name":null}}]"#,
        json(&m7)
    );
    let put = format!(r#"{{"mrn":{},"phone":"{phone}","room":"13"}}"#, json(&m1));
    let one = "application/vnd.pgrst.object+json";
    vec![
        step(
            "update/one by number",
            200,
            Request::patch(
                &format!("/patients?mrn=eq.{}", enc(&m2)),
                &format!(r#"{{"last_name":"{new}","ward":"C"}}"#),
            )
            .returning(),
        ),
        step(
            "update/by name",
            204,
            Request::patch(&format!("/patients?last_name=eq.{new}"), r#"{"notes":null}"#),
        ),
        step(
            "update/to empty",
            200,
            Request::patch("/orders?id=eq.1&select=id,remark", r#"{"remark":""}"#)
                .header("Accept", one)
                .returning(),
        ),
        step(
            "update/nobody",
            200,
            Request::patch("/patients?id=eq.0", r#"{"notes":"x"}"#).returning(),
        ),
        step(
            "update/upsert",
            201,
            Request::post("/patients?on_conflict=mrn", &rows)
                .header("Prefer", "resolution=merge-duplicates,return=representation"),
        ),
        step(
            "update/put",
            200,
            Request::new("PUT", &format!("/contacts?mrn=eq.{}", enc(&m1))).json(&put).returning(),
        ),
        step("update/read again", 200, Request::get("/patients?order=id")),
    ]
}

fn errors(c: &mut Canaries) -> Vec<Step> {
    let (m1, s1) = (mrn(c, 1), accession(c, 1));
    let unknown = c.plant("unknown number");
    let twice = format!(r#"{{"mrn":{},"last_name":"x"}}"#, json(&m1));
    let orphan = format!(r#"{{"mrn":"{unknown}","code":"HB"}}"#);
    vec![
        step("errors/number taken", 409, Request::post("/patients", &twice)),
        step("errors/no such patient", 409, Request::post("/orders", &orphan)),
        step(
            "errors/still referred to",
            409,
            Request::delete(&format!("/specimens?accession=eq.{}", enc(&s1))),
        ),
        step("errors/no such table", 404, Request::get("/nowhere")),
        step("errors/no such column", 400, Request::get("/patients?select=id,nothing")),
        step("errors/no such filter", 400, Request::get("/patients?nothing=eq.1")),
        step("errors/wrong type beside", 400, Request::post("/results", r#"{"order_id":"x"}"#)),
        step("errors/no such schema", 406, Request::get("/wards").header("Accept-Profile", "no")),
    ]
}

fn delete(c: &mut Canaries) -> Vec<Step> {
    let (m1, n3) = (mrn(c, 1), name(c, 3));
    vec![
        step(
            "delete/by number",
            200,
            Request::delete(&format!("/contacts?mrn=eq.{}", enc(&m1))).returning(),
        ),
        step(
            "delete/by name",
            204,
            Request::delete(&format!("/patients?last_name=eq.{}", enc(&n3))),
        ),
        step("delete/by plain", 200, Request::delete("/results?id=eq.2").returning()),
        step("delete/what is left", 200, Request::get("/patients?select=id,mrn&order=id")),
    ]
}
