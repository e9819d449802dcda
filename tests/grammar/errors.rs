//! Errors of PostgreSQL and PostgREST that repeat values.

use super::{Both, Request, marked, with};

/// Longer than PostgreSQL shows of a value, with a character across the cut.
fn long() -> String {
    marked(&format!("M{}", "\u{e9}".repeat(40)))
}

#[test]
fn errors_repeat_values_to_a_caller_who_may_test_them() {
    let both = Both::filled();
    let contact = |mrn: &str, phone: &str, room: &str| {
        let body = format!(r#"{{"mrn":"{mrn}","phone":"{phone}","room":"{room}"}}"#);
        Request::post("/contacts", &marked(&body))
    };
    for (code, request) in [
        ("23505", Request::post("/patients", &marked(r#"{"mrn":"M,2"}"#))),
        ("23505", Request::patch(&with("/patients?mrn=eq.{}", "M1"), &marked(r#"{"mrn":"M5"}"#))),
        ("23503", Request::post("/orders", &marked(r#"{"mrn":"Mnobody","code":"x"}"#))),
        ("23503", Request::delete(&with("/patients?mrn=eq.{}", "M1"))),
        (
            "23502",
            Request::post(
                "/patients",
                &marked(r#"{"id":90,"mrn":null,"last_name":"MAnn","notes":"short"}"#),
            ),
        ),
        (
            "23502",
            Request::post(
                "/patients",
                &format!(r#"{{"id":91,"mrn":null,"last_name":"{}"}}"#, long()),
            ),
        ),
        ("23514", contact("M1", "M+46 1", "none")),
        ("23514", contact("M1", &long(), "none")),
        ("22P02", Request::post("/patients", &marked(r#"{"mrn":"M9","bed":"x"}"#))),
        ("22P02", Request::get(&with("/patients?mrn=eq.{}&bed=eq.x", "M1"))),
        ("42703", Request::get(&with("/patients?mrn=eq.{}&nothing=eq.x", "M1"))),
        (
            "PGRST116",
            Request::get(&with("/patients?mrn=neq.{}", "M1"))
                .header("Accept", "application/vnd.pgrst.object+json"),
        ),
    ] {
        let answer = both.same(request);
        assert!(answer.text().contains(code), "{code}: {}", answer.text());
    }
    both.nothing_leaked();
}

#[test]
fn values_that_the_exchange_did_not_write_stay_sealed_in_errors() {
    let both = Both::filled();
    let patch = Request::patch(&with("/patients?mrn=eq.{}", "M1"), r#"{"active":null}"#);
    let answer = both.stand.send("lims", patch);
    let text = answer.text();
    assert!(text.contains("23502") && text.contains("[sealed]"), "{text}");
    assert!(!text.contains("ls1") && !text.contains(&marked("MAnn")), "{text}");
    // What the caller itself sent in the filter is known to it.
    assert!(text.contains(&format!("(1, {}, ", marked("M1"))), "{text}");
}

#[test]
fn errors_show_nothing_of_a_class_that_the_caller_may_not_test() {
    let both = Both::filled();
    both.sql("create unique index on lab.patients (last_name)");
    // `billing` may filter by mrn and not by names; it sees names masked.
    let refused = [
        Request::post("/patients", &format!(r#"{{"id":90,"mrn":null,"last_name":"{}"}}"#, long())),
        Request::post("/patients", &marked(r#"{"mrn":null,"last_name":"MAnn","notes":"Mx"}"#)),
    ];
    for request in refused {
        let answer = both.stand.send("billing", request);
        assert_eq!(answer.status, 403, "{}", answer.text());
    }
    let order = |caller: &str, body: &str| {
        let answer = both.stand.send(caller, Request::post("/orders", &marked(body)));
        let text = answer.text();
        assert!(!text.contains("ls1"), "{text}");
        (answer.status, text)
    };
    // A conflict of `writer` is about a class that it may test; the remark is not.
    let (status, text) = order("writer", r#"{"mrn":"Mnobody","code":"x","remark":"Mr"}"#);
    assert!(status == 409 && text.contains(&marked("(mrn)=(Mnobody)")), "{text}");
    let (status, text) = order("writer", r#"{"mrn":"M1","code":null,"remark":"Mr"}"#);
    assert_eq!(status, 400, "{text}");
    assert!(text.contains(&marked("M1")) && text.contains("[sealed]"), "{text}");
    assert!(!text.contains(&marked("Mr")), "{text}");
    let (status, text) = order("blind", r#"{"code":null,"remark":"Mr"}"#);
    assert!(status == 400 && !text.contains(&marked("Mr")), "{text}");
    both.nothing_leaked();
}

#[test]
fn a_query_that_the_server_cannot_parse_is_repeated_with_the_values_that_were_sent() {
    let both = Both::filled();
    // This version of the server does not know `not_null`.
    let target = with("/patients?or=(mrn.eq.{},ward.is.not_null)", "M1");
    let direct = Request::get(&target).send(both.direct.address());
    let sealed = both.stand.send("lims", Request::get(&target));
    assert_eq!((sealed.status, direct.status), (400, 400));
    // The place is that in the text which the server saw.
    let but_place = |text: String| text.split(" (line 1, ").next().unwrap_or_default().to_owned();
    assert_eq!(but_place(sealed.text()), but_place(direct.text()));
    assert!(sealed.text().contains("PGRST100"), "{}", sealed.text());
    let target = with("/patients?or=(last_name.eq.{},ward.is.not_null)", "MAnn");
    let sealed = both.stand.send("lims", Request::get(&target)).text();
    assert!(sealed.contains("PGRST100") && !sealed.contains("ls1"), "{sealed}");
    both.nothing_leaked();
}

#[test]
fn a_location_is_sealed_for_a_caller_who_may_not_test_what_it_names() {
    let both = Both::filled();
    let body = marked(r#"{"accession":"MS9","mrn":"M1","kind":"x"}"#);
    let post = Request::post("/specimens", &body).header("Prefer", "return=headers-only");
    let created = both.stand.send("writer", post);
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(created.values("Location"), ["/specimens?accession=eq.%5Bsealed%5D"]);
}
