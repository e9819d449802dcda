//! Declared functions, upserts and PUT.

use super::{Both, Request, marked, with};

#[test]
fn a_declared_function_is_called_by_get_and_by_post() {
    let both = Both::filled();
    let found = both.same(Request::get(&with("/rpc/find_patient?mrn={}", "M,2")));
    assert!(found.text().contains(&marked("Ma_b")), "{}", found.text());
    both.same(Request::get(&with(
        "/rpc/find_patient?select=bed,x:last_name&mrn={}&bed=gt.1",
        "M,2",
    )));
    both.same(Request::get(
        &with("/rpc/find_patient?mrn=M1&last_name=eq.{}", "MAnn").replace('M', "x"),
    ));
    let both_named = with("/rpc/find_patient?select=bed&last_name=eq.{}&mrn=", "MAnn");
    both.same(Request::get(&format!("{both_named}{}", marked("M1"))));
    both.same(Request::new("HEAD", &with("/rpc/find_patient?mrn={}", "M1")));
    let body = marked(r#" { "mrn" : "M\\3" } "#);
    both.same(Request::post("/rpc/find_patient", &body));
    both.same(Request::post("/rpc/find_patient?select=last_name,orders(code)", &body));
    both.same(Request::post("/rpc/find_patient?columns=mrn", &body));
    both.same(Request::post("/rpc/find_patient", r#"{"mrn":null}"#));
    both.same(Request::post("/rpc/find_patient", "{}"));
    both.same(Request::get("/rpc/find_patient"));
    both.same(Request::post("/rpc/rename_patient", &marked(r#"{"who":1,"last_name":"MNew"}"#)));
    both.same(Request::get("/patients?select=bed,last_name&order=id"));
    both.nothing_leaked();
}

#[test]
fn a_call_that_could_carry_a_value_past_its_argument_is_refused() {
    let both = Both::filled();
    // The server takes the value for a test, and no such column comes back.
    both.refused("LS104", Request::get(&with("/rpc/rename_patient?who=1&last_name=eq.{}", "MNew")));
    // A searchable argument would be one of many texts.
    both.refused("LS104", Request::get(&with("/rpc/rename_patient?who=1&last_name={}", "MNew")));
    both.refused("LS113", Request::get(&with("/rpc/find_patient?MRN={}", "M1")));
    both.refused("LS113", Request::post("/rpc/find_patient", r#"{" Mrn":"x"}"#));
    both.refused("LS104", Request::post(&with("/rpc/find_patient?mrn={}", "M1"), "{}"));
    let single = Request::post("/rpc/find_patient", &marked(r#"{"mrn":"M1"}"#));
    both.refused("LS109", single.header("Prefer", "params=single-object"));
    let text = Request::new("POST", "/rpc/find_patient").header("Content-Type", "text/plain");
    both.refused("LS410", text.body(marked("M1").as_bytes()));
    both.refused("LS101", Request::post("/rpc/find_patient", &marked("\"M1\"")));
    both.refused("LS205", Request::get("/rpc/server_time"));
    // Nobody listed these arguments.
    both.refused("LS208", Request::get(&with("/rpc/find_patient?mrn=M1&hint={}", "MAnn")));
    both.refused("LS208", Request::get(&with("/rpc/find_patient?columns=hint&mrn={}", "M1")));
    let more = marked(r#"{"mrn":"M1","hint":"MAnn"}"#);
    both.refused("LS208", Request::post("/rpc/find_patient", &more));
    both.refused("LS208", Request::post("/rpc/find_patient", &format!("[{more}]")));
    let kinds = [
        ("text/csv", "mrn,hint\nM1,MAnn\n"),
        ("application/x-www-form-urlencoded", "mrn=M1&hint=MAnn"),
    ];
    for (kind, body) in kinds {
        let call = Request::new("POST", "/rpc/find_patient").header("Content-Type", kind);
        both.refused("LS208", call.body(marked(body).as_bytes()));
    }
    both.nothing_leaked();
}

#[test]
fn an_upsert_by_the_key_that_the_policy_knows_is_answered_and_others_are_refused() {
    let both = Both::filled();
    let merge = "resolution=merge-duplicates,return=representation";
    let rows = marked(
        r#"[{"id":1,"mrn":"M1","last_name":"MNew"},{"id":77,"mrn":"M77","last_name":null}]"#,
    );
    both.same(Request::post("/patients", &rows).header("Prefer", merge));
    let ignore = "resolution=ignore-duplicates,return=headers-only";
    both.same(Request::post("/patients", &rows).header("Prefer", ignore));
    both.same(
        Request::post("/patients?on_conflict=mrn&columns=mrn,last_name", &rows)
            .header("Prefer", merge),
    );
    both.same(Request::post("/patients?on_conflict=id", &rows).header("Prefer", merge));
    both.same(Request::get("/patients?order=id"));
    // Nothing says that the key of these is not their random column.
    let contact = marked(r#"{"mrn":"M1","phone":"M+46","room":"1"}"#);
    both.refused("LS108", Request::post("/contacts", &contact).header("Prefer", merge));
    both.same(Request::post("/contacts?on_conflict=mrn", &contact).header("Prefer", merge));
    both.refused(
        "LS108",
        Request::post("/patients?on_conflict=last_name", &rows).header("Prefer", merge),
    );
    both.nothing_leaked();
}

#[test]
fn a_record_is_put_where_its_key_is_the_same_in_query_and_body() {
    let both = Both::filled();
    let put = |query: &str, body: &str| {
        Request::new("PUT", &format!("/contacts?{query}")).json(&marked(body)).returning()
    };
    let body = r#"{"mrn":"M,2","phone":"M+46","room":"1"}"#;
    both.same(put(&with("mrn=eq.{}", "M,2"), body));
    both.same(put(&with("mrn=eq.{}", "M,2"), &body.replace("\"1\"", "\"2\"")));
    // Each of these is an error of the server's own.
    both.same(put(&with("mrn=eq.{}", "M1"), body));
    both.same(put(&with("mrn=in.({})", "\"M,2\""), body));
    both.same(put(&with("mrn=like.{}", "M,2"), body));
    both.same(put(&with("mrn=eq(any).{}", "{\"M,2\"}"), body));
    both.same(put(&with("and=(mrn.eq.{})", "\"M,2\""), body));
    both.same(put(&with("mrn=neq.{}", "M,2"), body));
    both.same(put("room=eq.1", body));
    both.same(put(&with("mrn=eq.{}&room=eq.1", "M,2"), body));
    both.refused("LS104", put(&with("mrn=eq.M1&phone=eq.{}", "M+46"), body));
    both.same(Request::get("/contacts?order=room"));
    both.nothing_leaked();
}
