//! Fail closed, by what is asked and by whom: one test per refusal that a client can cause with a
//! head or a small body. Each refusal speaks as PostgREST does, has its code, says what to do, and
//! neither it nor the upstream sees a value.

mod kit;

use std::time::Duration;

use kit::{
    Front, Request,
    client::raw,
    front::{all_refused, canary, get, post},
};

#[test]
fn ls100_a_target_that_cannot_be_parsed_is_refused() {
    all_refused("LS100", |c| {
        vec![
            get(format!("/patients?mrn=in.({c}")),
            get(format!("/patients?or=(mrn.eq.{c}")),
            get(format!("/patients?or=(mrn.eq.{c}))")),
            get(format!("/patients?select=mrn,orders(mrn&mrn=eq.{c}")),
        ]
    });
}

#[test]
fn ls101_a_body_that_is_not_json_of_the_declared_shape_is_refused() {
    all_refused("LS101", |c| {
        vec![
            post("/patients", format!(r#"{{"mrn":"{c}""#)),
            post("/patients", format!(r#"[{{"mrn":"{c}"}},"#)),
            post("/patients", format!(r#"{{"mrn":"{c}"}} trailing"#)),
            post("/patients", format!(r#"{{"mrn":"{c}"}}{{"mrn":"{c}"}}"#)),
            post("/patients", format!(r#"{{mrn:"{c}"}}"#)),
            post("/patients", format!(r#"{{'mrn':'{c}'}}"#)),
            post("/patients", format!(r#"{{"mrn":"{c}",}}"#)),
            post("/patients", format!(r#"{{"mrn":"{c}","notes":"\x"}}"#)),
            post("/patients", format!("{{\"mrn\":\"{c}\",\"notes\":\"a\nb\"}}")),
            post("/patients", format!(r#"{{"mrn":"{c}","ward":NaN}}"#)),
            post("/patients", format!(r#"{{"mrn":"{c}","ward":01}}"#)),
            post("/patients", format!(r#"/* x */{{"mrn":"{c}"}}"#)),
            post("/patients", format!(r#""{c}""#)),
            post("/patients", format!(r#"[["{c}"]]"#)),
            post("/patients", c),
            (
                "lims",
                Request::post("/patients", "")
                    .body(&[b"{\"mrn\":\"\xff", c.as_bytes(), b"\"}"].concat()),
            ),
        ]
    });
}

#[test]
fn ls102_a_protected_key_that_occurs_twice_is_refused_however_it_is_spelled() {
    all_refused("LS102", |c| {
        vec![
            post("/patients", format!(r#"{{"mrn":"x","mrn":"{c}"}}"#)),
            post("/patients", format!(r#"{{"mrn":"{c}","m\u0072n":"x"}}"#)),
            post("/patients", format!(r#"[{{"mrn":"a"}},{{"last_name":null,"last_name":"{c}"}}]"#)),
        ]
    });
}

#[test]
fn a_protected_key_with_escapes_in_it_is_still_protected() {
    let front = Front::shared();
    let (canary, canaries) = canary();
    let body = format!(r#"{{"\u006d\u0072\u006E":"{canary}","last_n\u0061me":"{canary}"}}"#);
    assert_eq!(front.send("lims", Request::post("/patients", &body)).status, 201);
    canaries.assert_none("upstream", &front.fake.received());
}

#[test]
fn ls104_operators_that_a_sealed_field_cannot_answer_are_refused() {
    all_refused("LS104", |c| {
        let operators = [
            "gt",
            "gte",
            "lt",
            "lte",
            "like",
            "ilike",
            "match",
            "imatch",
            "fts",
            "plfts",
            "phfts",
            "wfts",
            "cs",
            "cd",
            "ov",
            "sl",
            "sr",
            "nxr",
            "nxl",
            "adj",
            "not.like",
            "like(any)",
        ];
        let mut all: Vec<_> = operators
            .iter()
            .flat_map(|operator| {
                let value =
                    if operator.contains("any") { format!("{{{c}*}}") } else { format!("{c}*") };
                ["mrn", "last_name", "birth_date"]
                    .map(|column| get(format!("/patients?{column}={operator}.{value}")))
            })
            .collect();
        all.extend([
            get(format!("/patients?mrn={c}")),
            get(format!("/patients?birth_date=eq.{c}")),
            get(format!("/patients?birth_date=in.({c})")),
            get(format!("/patients?or=(ward.eq.A,last_name.like.{c}*)")),
            get(format!("/patients?or=(ward.eq.A,and(bed.eq.1,mrn.gt.{c}))")),
            get(format!("/orders?select=*,patients(*)&patients.last_name=ilike.{c}*")),
        ]);
        all
    });
}

#[test]
fn ls105_order_by_a_sealed_field_is_refused() {
    all_refused("LS105", |_| {
        vec![
            get("/patients?order=last_name"),
            get("/patients?order=ward,mrn.desc.nullslast"),
            get("/orders?select=code,patients(mrn)&order=patients(last_name)"),
            get("/patients?select=*,orders(*)&orders.order=remark"),
        ]
    });
}

#[test]
fn ls106_casts_aggregates_and_paths_on_a_sealed_field_are_refused() {
    all_refused("LS106", |_| {
        vec![
            get("/patients?select=id,mrn::integer"),
            get("/patients?select=last_name-%3E%3Ex"),
            get("/results?select=value.max()"),
            get("/orders?select=volume.sum()"),
        ]
    });
}

#[test]
fn ls107_an_answer_in_a_format_that_cannot_be_opened_is_refused() {
    all_refused("LS107", |c| {
        ["application/geo+json", "application/octet-stream", "text/xml"]
            .map(|kind| {
                let request = Request::get(&format!("/patients?mrn=eq.{c}"));
                ("lims", request.header("Accept", kind))
            })
            .to_vec()
    });
}

#[test]
fn ls108_upsert_path_by_a_field_that_is_not_deterministic_is_refused() {
    all_refused("LS108", |c| {
        let merge = |caller, target: &str| {
            let request = Request::post(target, &format!(r#"{{"last_name":"{c}"}}"#));
            (caller, request.header("Prefer", "resolution=merge-duplicates"))
        };
        vec![
            merge("lims", "/patients?on_conflict=last_name"),
            merge("lims", "/patients?on_conflict=ward,birth_date"),
        ]
    });
}

#[test]
fn ls109_method_override_headers_and_upgrades_are_refused() {
    all_refused("LS109", |c| {
        let body = format!(r#"{{"mrn":"{c}"}}"#);
        let with = |name: &str, value: &str| {
            ("lims", Request::post("/patients", &body).header(name, value))
        };
        vec![
            with("X-HTTP-Method-Override", "PUT"),
            with("X-HTTP-Method", "PATCH"),
            with("X-Method-Override", "DELETE"),
            (
                "lims",
                Request::get(&format!("/patients?mrn=eq.{c}"))
                    .header("Connection", "Upgrade")
                    .header("Upgrade", "websocket"),
            ),
        ]
    });
}

#[test]
fn ls110_ambiguous_framing_never_reaches_upstream() {
    let front = Front::shared();
    let (canary, canaries) = canary();
    let body = format!(r#"{{"mrn":"{canary}"}}"#);
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let length = body.len();
    let cases = [
        (format!("Content-Length: {length}\r\nContent-Length: {}\r\n", length + 1), &body),
        ("Transfer-Encoding: chunked, identity\r\n".to_owned(), &chunked),
        ("Transfer-Encoding: gzip, chunked\r\n".to_owned(), &chunked),
        ("Transfer-Encoding : chunked\r\n".to_owned(), &chunked),
        (format!("Content-Length: +{length}\r\n"), &body),
        (format!("X-Folded: a\r\n b\r\nContent-Length: {length}\r\n"), &body),
    ];
    for (headers, body) in cases {
        let key = front.labseal.key("lims");
        let request = format!(
            "POST /patients HTTP/1.1\r\nHost: x\r\nX-Api-Key: {key}\r\n\
             Content-Type: application/json\r\n{headers}\r\n{body}"
        );
        let got = raw(front.labseal.address(), request.as_bytes(), Duration::from_secs(2));
        let got = String::from_utf8_lossy(&got);
        assert!(
            got.starts_with("HTTP/1.1 400 ") || got.starts_with("HTTP/1.1 501 "),
            "{headers}{got}"
        );
        canaries.assert_none("answer", got.as_bytes());
        canaries.assert_none("upstream", &front.fake.received());
    }
}

#[test]
fn a_body_with_two_lengths_is_read_by_its_chunks_and_framed_anew() {
    // RFC 9112 §6.3: Transfer-Encoding overrides, and the connection does not outlive the request.
    let front = Front::shared();
    let (canary, canaries) = canary();
    let body = format!(r#"{{"mrn":"{canary}"}}"#);
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let key = front.labseal.key("lims");
    for (n, (one, other)) in [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
    ]
    .into_iter()
    .enumerate()
    {
        let request = format!(
            "POST /patients?lengths={n} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {key}\r\n\
             Content-Type: application/json\r\n{one}\r\n{other}\r\n\r\n{chunked}\
             GET /patients?smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
        );
        let got = raw(front.labseal.address(), request.as_bytes(), Duration::from_secs(2));
        assert_eq!(String::from_utf8_lossy(&got).matches("HTTP/1.1 ").count(), 1);
        for message in front.got(&format!("/patients?lengths={n}")) {
            assert_eq!(message.values("content-length").len(), 1);
            assert_eq!(message.header("transfer-encoding"), None);
        }
    }
    assert!(front.got("/patients?smuggled").is_empty());
    canaries.assert_none("upstream", &front.fake.received());
}

#[test]
fn ls200_an_unknown_key_is_refused() {
    all_refused("LS200", |c| {
        vec![
            ("stranger", Request::get(&format!("/patients?mrn=eq.{c}"))),
            ("stranger", Request::post("/patients", &format!(r#"{{"mrn":"{c}"}}"#))),
            ("stranger", Request::get("/wards")),
        ]
    });
}

#[test]
fn a_caller_without_credentials_is_refused_what_is_protected() {
    let front = Front::shared();
    let (canary, canaries) = canary();
    for request in [
        Request::get(&format!("/patients?mrn=eq.{canary}")),
        Request::get("/patients"),
        Request::post("/patients", &format!(r#"{{"mrn":"{canary}"}}"#)),
    ] {
        let answer = request.send(front.labseal.address());
        assert!([401, 403].contains(&answer.status), "{}", answer.start);
        assert!(answer.header("Labseal-Error").is_some());
        canaries.assert_none("answer", &answer.raw);
    }
    canaries.assert_none("upstream", &front.fake.received());
}

#[test]
fn ls201_reading_a_denied_field_is_refused_unless_it_is_not_selected() {
    all_refused("LS201", |_| {
        [
            "/patients",
            "/patients?select=id,last_name",
            "/patients?select=x:last_name",
            "/patients?select=*",
            "/orders?select=code,patients(last_name)",
            "/orders?select=code,...patients(*)",
        ]
        .map(|target| ("writer", Request::get(target)))
        .to_vec()
    });
    let front = Front::shared();
    assert_eq!(front.send("writer", Request::get("/patients?select=id,mrn")).status, 200);
}

#[test]
fn ls202_probing_equality_without_the_right_is_refused() {
    all_refused("LS202", |c| {
        vec![
            ("blind", Request::get(&format!("/patients?last_name=eq.{c}"))),
            ("blind", Request::get(&format!("/patients?or=(ward.eq.A,last_name.in.({c}))"))),
            ("billing", Request::patch(&format!("/patients?last_name=eq.{c}"), r#"{"ward":"A"}"#)),
        ]
    });
}

#[test]
fn ls203_writing_without_the_right_is_refused() {
    all_refused("LS203", |c| {
        vec![
            ("clinician", Request::post("/patients", &format!(r#"{{"mrn":"{c}"}}"#))),
            ("clinician", Request::patch("/patients?id=eq.1", &format!(r#"{{"notes":"{c}"}}"#))),
            ("billing", Request::post("/patients", &format!(r#"[{{"mrn":"{c}","ward":"A"}}]"#))),
        ]
    });
}

#[test]
fn ls204_writes_to_what_the_policy_does_not_declare_are_refused() {
    all_refused("LS204", |c| {
        let body = format!(r#"{{"memo":"{c}"}}"#);
        vec![
            post("/scratch", &body),
            post("/roster", &body),
            ("lims", Request::patch("/roster?id=eq.1", &body)),
            ("lims", Request::new("PUT", "/scratch?id=eq.1").json(&body)),
            ("lims", Request::delete("/scratch?id=eq.1")),
        ]
    });
}

#[test]
fn ls204_same_name_in_another_schema_is_another_entity() {
    all_refused("LS204", |c| {
        let body = format!(r#"{{"mrn":"{c}"}}"#);
        vec![("lims", Request::post("/patients", &body).header("Content-Profile", "archive"))]
    });
}

#[test]
fn ls205_rpc_functions_that_the_policy_does_not_declare_are_refused() {
    all_refused("LS205", |c| {
        vec![
            post("/rpc/find_patient", format!(r#"{{"mrn":"{c}"}}"#)),
            get(format!("/rpc/find_patient?mrn={c}")),
            post("/rpc/rename_patient", format!(r#"{{"who":1,"last_name":"{c}"}}"#)),
        ]
    });
}

#[test]
fn ls206_requests_that_the_dialect_does_not_know_are_refused() {
    all_refused("LS206", |c| {
        vec![
            ("lims", Request::new("BREW", "/patients").json(&format!(r#"{{"mrn":"{c}"}}"#))),
            ("lims", Request::new("MERGE", &format!("/patients?mrn=eq.{c}"))),
            get(format!("/patients/{c}")),
        ]
    });
}

#[test]
fn ls207_a_filter_on_a_view_that_repeats_a_protected_column_is_refused() {
    all_refused("LS207", |c| {
        vec![
            get(format!("/roster?mrn=eq.{c}")),
            get(format!("/roster?or=(id.eq.1,mrn.eq.{c})")),
            get(format!("/scratch?mrn=eq.{c}")),
            (
                "lims",
                Request::get(&format!("/patients?last_name=eq.{c}"))
                    .header("Accept-Profile", "archive"),
            ),
        ]
    });
}
