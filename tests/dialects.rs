//! The contract of every dialect: what the exchange relies on, whatever the API.

use http::{HeaderMap, Method};
use labseal::{
    base::{
        ident::RequestId,
        refusal::{Code, Refusal},
    },
    dialect::{DIALECTS, Head},
    model::Surface,
};

#[test]
fn dialects_are_named_once_and_in_order() {
    assert!(DIALECTS.len() >= 2);
    assert!(DIALECTS.windows(2).all(|pair| pair[0].0 < pair[1].0));
}

#[test]
fn every_dialect_serves_an_api_of_which_nothing_is_declared() {
    for (name, build) in DIALECTS {
        let dialect = build(&Surface::default()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let headers = HeaderMap::new();
        let head = Head { method: &Method::GET, target: "/things?a=1&b", headers: &headers };
        let operation = dialect.classify(head).unwrap();
        assert!(!operation.verb.writes(), "{name}");
        let nothing = vec![None; operation.uses.len()];
        assert_eq!(dialect.readdress(head, &nothing).unwrap().target, head.target, "{name}");
    }
}

#[test]
fn no_dialect_writes_replacements_that_do_not_belong_to_the_head() {
    for (name, build) in DIALECTS {
        let dialect = build(&Surface::default()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let headers = HeaderMap::new();
        let head = Head { method: &Method::GET, target: "/things?a=1", headers: &headers };
        let refusal = dialect.readdress(head, &[None, None, None]).unwrap_err();
        assert_eq!(refusal.code, Code::Internal, "{name}");
    }
}

#[test]
fn every_dialect_words_every_refusal_as_json_with_its_code() {
    for (name, build) in DIALECTS {
        let dialect = build(&Surface::default()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        for code in Code::ALL {
            let refusal = Refusal::new(*code).on("a.\"b\"\n").by("eq").at_line(3);
            let answer = dialect.refuse(&refusal, RequestId(7));
            assert!(answer.content_type.contains("json"), "{name}");
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(body["code"], code.number(), "{name}");
            let text = String::from_utf8(answer.body).unwrap();
            assert!(text.contains("(policy line 3)"), "{name}");
        }
    }
}
