//! CSV and forms with the real PostgREST: what comes through labseal is what comes without it, byte
//! for byte, and what is stored is sealed.

mod kit;

use kit::{
    Answer, Postgres, Request, Stand,
    canary::Canaries,
    front::{all_refused, canary},
    policy,
    script::enc,
    stand::Direct,
};

/// The lab twice: plain, and sealed behind labseal.
struct Both {
    plain: Direct,
    stand: Stand,
}

impl Both {
    fn start() -> Self {
        let server = Postgres::shared();
        Self { plain: Direct::start(&server), stand: Stand::on(&server) }
    }

    /// Sends a request both ways; the answers must be the same.
    fn same(&self, request: &Request) -> Answer {
        let direct = request.send(self.plain.address());
        let through = self.stand.send("lims", request.clone());
        let told = |answer: &Answer| {
            let header = |name| answer.header(name).map(str::to_owned);
            let said = ["Content-Type", "Content-Range", "Content-Location"].map(header);
            (answer.status, said, answer.text())
        };
        assert_eq!(told(&through), told(&direct));
        through
    }

    fn csv(&self, target: &str) -> Answer {
        self.same(&Request::get(target).header("Accept", "text/csv"))
    }

    fn post(&self, target: &str, kind: &str, body: &str) -> Answer {
        let request = Request::new("POST", target).header("Content-Type", kind);
        self.same(&request.returning().body(body.as_bytes()))
    }
}

/// Values that CSV finds hard, each with a canary.
fn hard(c: &mut Canaries) -> Vec<String> {
    let mut value = |n: usize, text: &str| text.replace('@', &c.plant(&format!("hard {n}")));
    [
        "@",
        "@,b",
        "\"@\" said",
        "line @\nbreak",
        "carriage @\r\nreturn",
        " @ led and trailed ",
        "back\\slash @",
        "(@)",
        "Åström-Ñuñez @ 山田 👩🏽‍⚕️",
        "'@'",
        "a;b{@}:%+&=",
        "tab\t@",
        "vertical\u{b}@\u{c}",
        "nb\u{a0}@\u{2028}",
    ]
    .iter()
    .enumerate()
    .map(|(n, text)| value(n, text))
    .collect()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn csv_that_is_sent_is_stored_sealed_and_answered_as_without_labseal() {
    let both = Both::start();
    let mut canaries = Canaries::new();
    let values = hard(&mut canaries);
    let mut body = "ward,mrn,\"last_name\",notes,bed\r\n".to_owned();
    for (n, value) in values.iter().enumerate() {
        let end = ["\r\n", "\n", "\r"][n % 3];
        body += &format!("\"A, \"\"b\"\"\",M{n},{0},{0},{n}{end}", quoted(value));
    }
    body += "NULL,M90,NULL,\"NULL\",NULL\n,M91,,\"\",1\n\n\"\",\"M92\",null,Null,2";
    let created = both.post("/patients?order=id", "text/csv", &body);
    assert_eq!(created.status, 201, "{}", created.text());
    for (n, value) in values.iter().enumerate() {
        let row = &created.json()[n];
        assert_eq!(row["last_name"], **value);
        assert_eq!(row["ward"], "A, \"b\"");
    }
    for member in ["last_name", "notes"] {
        assert_eq!(created.json()[values.len()][member], serde_json::Value::Null);
        assert_eq!(created.json()[values.len() + 1][member], "");
    }
    canaries.assert_none("upstream", &both.stand.tee.received());
    let stored = both.stand.sql("select count(*), count(last_name) from lab.patients");
    assert_eq!(stored.trim(), format!("{}|{}", values.len() + 3, values.len() + 2));
    let clear = "select count(*) from lab.patients where mrn !~ '^ls1d' or last_name !~ '^ls1s'";
    assert_eq!(both.stand.sql(clear).trim(), "0");

    for target in [
        "/patients?order=id",
        "/patients?order=id&select=last_name",
        "/patients?order=id&select=x:mrn,bed,notes,again:notes",
        "/patients?order=id&select=%22a,b%22:bed",
        "/patients?mrn=eq.M3",
        "/patients?mrn=eq.none",
        "/patients?select=mrn,bed&order=id&limit=3&offset=2",
    ] {
        let answer = both.csv(target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    }
    let ranged = Request::get("/patients?order=id").header("Range", "2-4");
    both.same(&ranged.header("Accept", "text/csv").header("Prefer", "count=exact"));
    let first = both.csv("/patients?order=id&limit=1&select=mrn,last_name,ward,bed");
    assert_eq!(
        first.text(),
        format!("mrn,last_name,ward,bed\nM0,{},\"A, \"\"b\"\"\",0", values[0])
    );
    assert!(first.header("Cache-Control").is_some_and(|value| value.contains("no-store")));
    // The server does not quote its header, so nobody can tell which column is which.
    let torn = Request::get("/patients?select=%22a,b%22:bed,mrn").header("Accept", "text/csv");
    assert_eq!(both.stand.send("lims", torn).header("Labseal-Error"), Some("LS503"));
}

#[test]
fn embedded_records_in_csv_are_opened_where_the_selection_puts_them() {
    let both = Both::start();
    let mut canaries = Canaries::new();
    let values = hard(&mut canaries);
    both.post("/patients", "text/csv", "mrn,ward\nM1,A\nM2,B\nM3,C\n");
    both.post("/specimens", "text/csv", "accession,mrn,kind\nS1,M1,blood\n\"S, 2\",M1,\"a\\b\"\n");
    let volumes = ["1.1", "NULL", "-0.00005"];
    let mut body = "mrn,accession,code,remark,volume\n".to_owned();
    for (n, value) in values.iter().enumerate() {
        body += &format!("M{},S1,c,{},{}\n", n % 3 + 1, quoted(value), volumes[n % 3]);
    }
    assert_eq!(both.post("/orders?order=id", "text/csv", &body).status, 201);
    for target in [
        "/orders?order=id",
        "/orders?select=volume,remark&order=id",
        "/patients?select=mrn,orders(remark,volume)&order=id",
        "/patients?select=ward,x:specimens(accession,y:orders(z:remark))&order=id",
        "/orders?select=id,...patients(mrn,ward)&order=id",
        "/orders?select=id,patients(mrn)&order=id",
        "/roster?order=id",
        "/patients?select=ward,roster(surname,mrn)",
    ] {
        both.csv(target);
    }
    canaries.assert_none("upstream", &both.stand.tee.received());
}

#[test]
fn csv_updates_and_upserts_as_without_labseal() {
    let both = Both::start();
    both.post("/patients", "text/csv", "mrn,last_name,bed\nM1,Berg,1\nM2,Ek,2\n");
    let csv = |method: &str, target: &str, body: &str| {
        let request = Request::new(method, target).header("Content-Type", "text/csv");
        request.returning().body(body.as_bytes())
    };
    both.same(&csv("PATCH", "/patients?mrn=eq.M1", "last_name,bed\n\"Alm, A\",7\n"));
    // A row of one empty cell is none to the server, so nothing may be sealed in it.
    let one = both.post("/patients?select=mrn", "text/csv", "mrn\n\"\"\nM7\n\n\"\"");
    assert_eq!((one.status, one.text()), (201, r#"[{"mrn":"M7"}]"#.to_owned()));
    let upsert = csv("POST", "/patients?on_conflict=mrn", "mrn,last_name\nM2,Lind\nM3,Rask\n");
    let merged = both.same(&upsert.header("Prefer", "resolution=merge-duplicates"));
    assert_eq!(merged.status, 201, "{}", merged.text());
    both.csv("/patients?order=id");
    let text = csv("POST", "/patients", "mrn,last_name\nM4,\"a,b\"\n").header("Accept", "text/csv");
    assert!(both.same(&text).text().contains("\"a,b\""));
    let duplicate = csv("POST", "/patients", "mrn\nM4\n");
    assert_eq!(both.stand.send("lims", duplicate).status, 409);
}

#[test]
fn forms_are_stored_sealed_and_answered_as_without_labseal() {
    let both = Both::start();
    let mut canaries = Canaries::new();
    for (n, value) in hard(&mut canaries).iter().enumerate() {
        let body = format!("ward=A+b%2c&mrn=M{n}&last_name={}&bed=+{n}", enc(value));
        let answer = both.post("/patients", FORM, &body);
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.json()[0]["last_name"], **value);
    }
    for body in ["mrn=N1&last_name=a+b&notes=", "mrn=N2&notes", "m%72n=N3&ward=NULL", "mrn=NULL"] {
        assert_eq!(both.post("/patients", FORM, body).status, 201, "{body}");
    }
    both.csv("/patients?order=id");
    canaries.assert_none("upstream", &both.stand.tee.received());
    let sent = both.stand.tee.requests();
    let first = sent.iter().find(|request| request.start.starts_with("POST")).unwrap().text();
    assert!(first.starts_with("ward=A+b%2c&mrn=ls1d"), "{first}");
    assert!(first.ends_with("&bed=+0"), "{first}");
    let patch = Request::new("PATCH", "/patients?mrn=eq.N1").header("Content-Type", FORM);
    both.same(&patch.returning().body(b"last_name=Ny&bed=3"));
}

#[test]
fn calls_take_forms_and_csv_and_answer_csv_as_without_labseal() {
    let functions =
        "    functions: {find_patient: {args: {mrn: {class: mrn}}, returns: patients}}\n";
    let (before, after) = policy::LAB.split_once("    entities:\n").unwrap();
    let policy = format!("{before}{functions}    entities:\n{after}");
    let server = Postgres::shared();
    let both = Both { plain: Direct::start(&server), stand: Stand::with(&server, &policy) };
    both.post("/patients", "text/csv", "mrn,last_name\nM1,\"a, b\"\nM2,c\n");
    for (kind, body) in
        [(FORM, "mrn=M1"), (FORM, "mrn=%4d2"), ("text/csv", "mrn\r\nM1\r\n"), (FORM, "mrn=x")]
    {
        let call = Request::new("POST", "/rpc/find_patient").header("Content-Type", kind);
        let call = call.body(body.as_bytes());
        let rows = both.same(&call).json();
        let csv = both.same(&call.header("Accept", "text/csv")).text();
        assert_eq!(rows.as_array().map(Vec::len), Some(usize::from(body != "mrn=x")));
        assert_eq!(csv.contains("last_name"), body != "mrn=x", "{csv}");
    }
    // The server heads them in the order of the names.
    for (select, code) in [("last_name,mrn", None), ("*", None), ("mrn,last_name", Some("LS107"))] {
        let target = format!("/rpc/find_patient?select={select}");
        for call in
            [Request::post(&target, r#"{"mrn":"M1"}"#), Request::get(&format!("{target}&mrn=M1"))]
        {
            let call = call.header("Accept", "text/csv");
            match code {
                None => assert!(both.same(&call).text().contains("M1")),
                Some(code) => {
                    let refused = both.stand.send("lims", call);
                    assert_eq!(refused.header("Labseal-Error"), Some(code), "{select}");
                }
            }
        }
    }
    let sent = both.stand.tee.requests();
    let calls = sent.iter().filter(|request| request.start.contains("/rpc/"));
    assert_eq!(calls.filter(|call| call.text().contains("ls1d")).count(), 10);

    let call = Request::new("POST", "/rpc/patient_count").header("Content-Type", FORM).body(b"");
    both.same(&call);
    both.same(&Request::get("/rpc/patient_count").header("Accept", "text/csv"));
    let stolen = both.stand.direct.database.column("lab.patients", "mrn").remove(0);
    let call = Request::new("POST", "/rpc/patient_count").header("Content-Type", FORM);
    let answer = both.stand.send("lims", call.body(format!("x=%6c{}", &stolen[1..]).as_bytes()));
    assert_eq!(answer.header("Labseal-Error"), Some("LS103"));
}

#[test]
fn callers_who_see_less_see_less_in_csv_too() {
    let both = Both::start();
    let body = "mrn,last_name,first_name,birth_date,notes,ward\nM-0007,Lindqvist,Maja,1970-01-01,pregnant,A\n";
    both.post("/patients", "text/csv", body);
    let target = "/patients?select=mrn,last_name,first_name,birth_date,notes,ward";
    let shown = |caller| {
        let answer = both.stand.send(caller, Request::get(target).header("Accept", "text/csv"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().lines().nth(1).unwrap().to_owned()
    };
    assert_eq!(shown("clinician"), "M-0007,Lindqvist,Maja,1970-01-01,pregnant,A");
    assert_eq!(shown("billing"), "M-0007,L••••,M••••,hidden,,A");
    assert!(shown("blind").ends_with(",,,,,A"), "{}", shown("blind"));
    let sealed = shown("archivist");
    assert!(sealed.starts_with("ls1d") && sealed.ends_with(",A"), "{sealed}");
    // What was read in envelopes is put back unharmed.
    let before = both.stand.sql("select mrn, last_name from lab.patients");
    let cells: Vec<_> = sealed.split(',').collect();
    let put_back = format!("last_name,ward\n{},B\n", cells[1]);
    let patch = Request::new("PATCH", "/patients?ward=eq.A").header("Content-Type", "text/csv");
    assert_eq!(both.stand.send("archivist", patch.body(put_back.as_bytes())).status, 204);
    assert_eq!(both.stand.sql("select mrn, last_name from lab.patients"), before);
    let patch = Request::new("PATCH", "/patients?ward=eq.B").header("Content-Type", "text/csv");
    for cell in ["L••••", "NULL"] {
        let body = format!("last_name\n{cell}\n");
        let answer = both.stand.send("billing", patch.clone().body(body.as_bytes()));
        assert_eq!(answer.header("Labseal-Error"), Some("LS300"), "{cell}");
    }
}

#[test]
fn csv_and_forms_that_servers_read_differently_are_refused() {
    let send = |kind: &str, body: String| {
        (
            "lims",
            Request::new("POST", "/patients").header("Content-Type", kind).body(body.as_bytes()),
        )
    };
    all_refused("LS101", |canary| {
        vec![
            send("text/csv", format!("mrn,ward\n{canary}\n")),
            send("text/csv", format!("mrn,ward\n{canary},A,B\n")),
            send("text/csv", format!("mrn,ward\n\"{canary},A\n")),
            send("text/csv", format!("ward\n\0{canary}\n")),
            send("text/csv", format!("\u{feff}\nmrn\n{canary}\n")),
            send("text/csv", format!(" \t\nmrn\n{canary}\n")),
            send("text/csv", String::new()),
            send(FORM, format!("ward=A;mrn={canary}")),
        ]
    });
    all_refused("LS102", |canary| {
        vec![
            send("text/csv", format!("mrn,mrn\n{canary},B\n")),
            send(FORM, format!("mrn=A&m%72n={canary}")),
        ]
    });
    all_refused("LS113", |canary| {
        vec![
            send("text/csv", format!("MRN\n{canary}\n")),
            send("text/csv", format!("\u{feff}mrn\n{canary}\n")),
            send("text/csv", format!("'mrn'\n{canary}\n")),
            send("text/csv", format!("ward;mrn\nA;{canary}\n")),
            send(FORM, format!("mrn+={canary}")),
            send(FORM, format!("patient[mrn]={canary}")),
        ]
    });
    all_refused("LS410", |canary| {
        vec![
            send("text/csv; header=absent", format!("{canary}\n")),
            send("text/csv; charset=utf-16", format!("mrn\n{canary}\n")),
            send("application/x-ndjson", format!("{{\"mrn\":\"{canary}\"}}\n")),
            send("application/json-seq", format!("\u{1e}{{\"mrn\":\"{canary}\"}}\n")),
            send("application/json-patch+json", "[]".to_owned()),
            send("application/merge-patch+json", format!("{{\"mrn\":\"{canary}\"}}")),
            send("multipart/form-data; boundary=x", "--x--".to_owned()),
            send("multipart/mixed; boundary=x", "--x--".to_owned()),
            send("application/xml", format!("<mrn>{canary}</mrn>")),
        ]
    });
    let (_, canaries) = canary();
    let geo = Request::get("/patients").header("Accept", "application/geo+json");
    kit::Front::shared().refuse("lims", geo, "LS107", &canaries);
}
