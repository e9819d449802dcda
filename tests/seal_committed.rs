//! Bodies of classes whose envelopes commit to their key: what lacks the commitment is no value of such
//! a class for anybody, whether it would be opened or handed on as it is.

mod bodies;

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use bodies::{Lab, patient};
use labseal::{
    base::{class::Commitment, refusal::Code},
    crypto::envelope,
    model::Verb,
};
use serde_json::{Value, json};

static LAB: LazyLock<Lab> = LazyLock::new(Lab::committed);
const PATIENT: &[u8] = br#"{"mrn": "4711", "name": "Svensson", "result": 12.5}"#;

fn stored() -> Value {
    let plan = LAB.plan("clear", Verb::Create, patient());
    serde_json::from_slice(&LAB.seal(&plan, PATIENT).unwrap()).unwrap()
}

/// The same envelope without the flag and the sixteen bytes.
fn stripped(result: &str) -> String {
    let mut body = BASE64.decode(&result[4..]).unwrap();
    body[0] &= !8;
    body.drain(18..34);
    let text = format!("ls1r{}", BASE64.encode(body));
    let parsed = envelope::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.flags().commitment(), Commitment::Absent);
    text
}

fn read(caller: &str, record: &Value) -> Result<Value, Code> {
    let plan = LAB.plan(caller, Verb::Read, patient());
    let answer = LAB.open(&plan, record.to_string().as_bytes());
    answer.map(|answer| serde_json::from_slice(&answer).unwrap()).map_err(|refusal| refusal.code)
}

#[test]
fn values_are_sealed_with_a_commitment_and_open() {
    let stored = stored();
    for (field, expected) in [
        ("mrn", Commitment::Absent),
        ("name", Commitment::Carried),
        ("result", Commitment::Carried),
    ] {
        let text = stored[field].as_str().unwrap();
        let parsed = envelope::parse(text.as_bytes()).unwrap();
        assert_eq!(parsed.flags().commitment(), expected, "{field}");
    }
    let opened = read("clear", &stored).unwrap();
    assert_eq!(opened, json!({"mrn": "4711", "name": "Svensson", "result": 12.5}));
    assert_eq!(read("sealed", &stored).unwrap(), stored);
}

#[test]
fn a_value_without_its_commitment_is_refused_whether_it_is_opened_or_handed_on() {
    let mut stored = stored();
    stored["result"] = stripped(stored["result"].as_str().unwrap()).into();
    for caller in ["clear", "masked", "sealed", "nulled"] {
        assert_eq!(read(caller, &stored), Err(Code::Integrity), "{caller}");
    }
}

#[test]
fn a_value_without_its_commitment_cannot_be_put_back() {
    let plan = LAB.plan("sealed", Verb::Create, patient());
    let whole = stored()["result"].as_str().unwrap().to_owned();
    let put = |text: &str| LAB.seal(&plan, json!({"result": text}).to_string().as_bytes());
    assert!(put(&whole).is_ok());
    assert_eq!(put(&stripped(&whole)).unwrap_err().code, Code::PutBackNotAllowed);
}
