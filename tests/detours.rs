//! Ways around the sidecar that were found by trying, one test each: what would make a request mean
//! something else to the API than to the one who seals it, and what would take values past it.

mod kit;

use kit::{
    client::Request,
    fake,
    front::{Front, all_refused, canary, get, post},
    policy,
};

#[test]
fn a_header_that_decides_cannot_be_listed_away_by_connection() {
    all_refused("LS109", |c| {
        let body = format!(r#"{{"mrn":"{c}"}}"#);
        let listed = |request: Request, name: &str| ("lims", request.header("Connection", name));
        vec![
            listed(
                Request::post("/patients", &body).header("Content-Profile", "other"),
                "Content-Profile",
            ),
            listed(
                Request::get(&format!("/patients?mrn=eq.{c}")).header("Accept-Profile", "other"),
                "close, Accept-Profile",
            ),
            listed(
                Request::get(&format!("/patients?mrn=eq.{c}"))
                    .header("Accept", "application/vnd.pgrst.plan+json"),
                "accept",
            ),
        ]
    });
}

#[test]
fn columns_cannot_write_nulls_into_what_the_caller_may_not_write_or_see() {
    let front = Front::shared();
    let (_, canaries) = canary();
    let patch = |query: &str| {
        Request::new("PATCH", &format!("/patients?id=eq.2&{query}"))
            .header("Content-Type", "application/json")
            .body(br#"{"ward":"x"}"#)
    };
    front.refuse("clinician", patch("columns=mrn,ward"), "LS203", &canaries);
    front.refuse("billing", patch("columns=last_name,ward"), "LS300", &canaries);
}

#[test]
fn names_that_a_server_could_take_for_a_protected_one_are_refused() {
    all_refused("LS113", |c| {
        vec![
            post("/patients", format!(r#"{{"MRN":"{c}"}}"#)),
            post("/patients", format!(r#"[{{"Last_Name":"{c}"}}]"#)),
            post("/patients", format!(r#"{{"mrn ":"{c}"}}"#)),
            post("/patients", format!(r#"{{"\u004drn":"{c}"}}"#)),
            post("/patients", format!(r#"{{"mrn\u0000":"{c}"}}"#)),
            post("/patients", format!(r#"{{"m\u200brn":"{c}"}}"#)),
            post("/patients", format!(r#"{{"patients.mrn":"{c}"}}"#)),
            post("/patients", format!(r#"{{"mrn::text":"{c}"}}"#)),
            post("/patients", format!(r#"{{"\"mrn\"":"{c}"}}"#)),
            post("/patients", format!(r#"{{"ward;mrn":"{c}"}}"#)),
            get(format!("/patients?MRN=eq.{c}")),
        ]
    });
}

#[test]
fn a_list_of_changes_is_not_taken_for_records() {
    all_refused("LS410", |c| {
        let body = format!(r#"[{{"op":"replace","path":"/mrn","value":"{c}"}}]"#);
        let request = Request::new("PATCH", "/patients?id=eq.1").body(body.as_bytes());
        vec![("lims", request.header("Content-Type", "application/json-patch+json"))]
    });
}

#[test]
fn headers_that_name_another_target_are_refused() {
    all_refused("LS109", |c| {
        ["X-Original-URL", "X-Rewrite-URL"]
            .map(|name| ("lims", Request::get("/patients").header(name, &format!("/?mrn=eq.{c}"))))
            .to_vec()
    });
}

#[test]
fn copies_of_the_target_in_headers_stay_behind() {
    let front = Front::shared();
    let (canary, canaries) = canary();
    let target = format!("/patients?mrn=eq.{canary}");
    let mut request = Request::get(&target);
    for name in ["Referer", "X-Original-URI", "X-Forwarded-Uri", "X-Envoy-Original-Path"] {
        request = request.header(name, &target);
    }
    assert_eq!(front.send("lims", request).status, 200);
    canaries.assert_none("upstream", &front.fake.received());
}

#[test]
fn a_function_that_is_excepted_does_not_except_filters_on_its_rows() {
    all_refused("LS207", |c| vec![get(format!("/rpc/patient_count?last_name=like.{c}"))]);
}

#[test]
fn an_alias_does_not_hide_a_field_that_the_caller_may_not_read() {
    let front = Front::shared();
    let (_, canaries) = canary();
    let request = Request::get("/patients?select=id,last_name,last_name:orders(mrn)");
    front.refuse("writer", request, "LS201", &canaries);
}

#[test]
fn an_answer_whose_declared_fields_cannot_be_looked_at_is_not_passed_on() {
    let (canary, canaries) = canary();
    let page = format!("<p>{canary}</p>");
    let front = Front::with(policy::LAB, move |_| {
        vec![kit::Act::Send(fake::answer(
            "200 OK",
            &[("Content-Type", "text/html")],
            page.as_bytes(),
        ))]
    });
    front.refuse("lims", Request::get("/patients"), "LS503", &canaries);
}

#[test]
fn a_removal_with_an_empty_body_passes_and_one_with_anything_in_it_does_not() {
    // The Python client of PostgREST sends `{}` with every removal.
    let front = Front::shared();
    let (canary, canaries) = canary();
    let removal = || Request::delete("/wards?code=eq.empty");
    for body in ["{}", " [ ] \r\n", ""] {
        assert_eq!(front.send("lims", removal().json(body)).status, 201, "{body}");
    }
    let passed = front.got("/wards?code=eq.empty");
    assert_eq!(passed.iter().map(|m| m.text()).collect::<Vec<_>>(), ["{}", " [ ] \r\n", ""]);
    for body in ["0".to_owned(), "{\"\":{}}".to_owned(), format!("{{\"mrn\":\"{canary}\"}}")] {
        front.refuse("lims", removal().json(&body), "LS112", &canaries);
    }
}

#[test]
fn an_empty_cell_does_not_overwrite_what_its_reader_was_not_shown() {
    // In CSV and in forms a null, and a member left out, look like the empty text.
    let front = Front::shared();
    let (_, canaries) = canary();
    let patch = |kind: &str, body: &str| {
        Request::new("PATCH", "/patients?id=eq.2")
            .header("Content-Type", kind)
            .body(body.as_bytes())
    };
    let form = "application/x-www-form-urlencoded";
    for caller in ["blind", "billing"] {
        for body in ["last_name,notes,ward\n,,x\n", "notes\n\"\"\n"] {
            front.refuse(caller, patch("text/csv", body), "LS300", &canaries);
        }
        for body in ["last_name=&ward=x", "ward=x&notes"] {
            front.refuse(caller, patch(form, body), "LS300", &canaries);
        }
    }
    // Who sees the value may empty it.
    assert_eq!(front.send("lims", patch(form, "notes=")).status, 201);
    assert_eq!(front.send("lims", patch("text/csv", "notes,ward\n,x\n")).status, 201);
}

#[test]
fn a_number_is_not_answered_where_the_text_of_a_repeated_column_was_asked_for() {
    // The envelope would be cast, which changes nothing, and the value opened as a number.
    let front = Front::shared();
    let (_, canaries) = canary();
    front.refuse("lims", Request::get("/volumes?select=volume::text"), "LS207", &canaries);
    for target in [
        "/orders?select=id,volume::text",
        "/patients?select=mrn::text",
        "/roster?select=mrn::text",
        "/orders?select=id::text",
    ] {
        assert_eq!(front.send("lims", Request::get(target)).status, 200, "{target}");
    }
}
