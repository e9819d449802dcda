//! `Location` and `Content-Location`, which repeat what was asked or written.

use super::{Both, Request, marked, with};

#[test]
fn content_location_repeats_the_query_as_if_it_had_gone_up_as_it_is() {
    let both = Both::filled();
    for (target, literal) in [
        ("/patients?select=bed&mrn=eq.{}", "M,2"),
        // Two of one name are merged, and sorted among the others.
        ("/patients?select=bed&mrn=neq.{}&mrn=neq.x&bed=gt.0&order=id", "M\\3"),
        ("/patients?last_name=eq.{}&select=bed&last_name=neq.x", "MAnn"),
        ("/patients?select=bed&last_name=neq.{}&not.and=(bed.eq.1,bed.eq.2)", "MAnn"),
        (
            "/patients?select=bed&last_name=in.({})&or=(bed.eq.1,bed.eq.2)&or=(bed.eq.1)",
            "MAnn,Ma_b",
        ),
        ("/patients?or=(last_name.eq.{},bed.eq.2)&select=bed&or=(bed.gt.0)", "MAnn"),
        ("/patients?select=bed&last_name=isdistinct.{}&order=id", "MAnn"),
        ("/patients?select=bed&mrn=eq(any).{}&order=id", "{M1,\"M,2\"}"),
        ("/patients?select=bed&last_name=like.{}", "Ma\\_b"),
        ("/patients?select=bed,orders(code)&orders.mrn=eq.{}&order=id", "M1"),
        ("/patients?select=bed,mrn&mrn=eq.{}&limit=1&offset=0", "M\u{e9} \u{1f642}"),
        ("/patients?&select=bed&mrn=eq.{}&", "M1"),
        ("/patients?last_name=eq.{}&bed=eq.x", "MAnn"),
    ] {
        both.same(Request::get(&with(target, literal)));
    }
    both.nothing_leaked();
}

#[test]
fn location_names_the_new_record_by_the_value_that_was_sent() {
    let both = Both::filled();
    for (n, accession) in
        ["MS2", "M/\u{e9} \u{fc},2 \\\"q\\\"", "M+&=?#%", "M()"].iter().enumerate()
    {
        let body = marked(&format!(r#"{{"accession":"{accession}","mrn":"M1","kind":"{n}"}}"#));
        let post = || Request::post("/specimens", &body);
        let created = both.same(post().header("Prefer", "return=headers-only"));
        assert_eq!(created.values("Location").len(), 1);
        both.same(post().header("Prefer", "return=headers-only"));
    }
    let rows = marked(
        r#"[{"accession":"Ma","mrn":"M1","kind":"x"},{"accession":"Mb","mrn":"M1","kind":"x"}]"#,
    );
    both.same(Request::post("/specimens", &rows).header("Prefer", "return=headers-only"));
    both.nothing_leaked();
}
