//! The description that the API gives of itself.

use super::{Both, Request};

/// The document without what is true of the address alone.
fn described(answer: &super::Answer) -> serde_json::Value {
    assert_eq!(answer.status, 200);
    let mut document: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
    document.as_object_mut().unwrap().remove("host");
    document
}

#[test]
fn a_sealed_column_is_described_as_the_column_that_it_was() {
    let both = Both::start();
    let root = || Request::get("/");
    let sealed = both.stand.send("lims", root());
    assert_eq!(sealed.values("Content-Type"), ["application/openapi+json; charset=utf-8"]);
    let sealed = described(&sealed);
    let direct = described(&root().send(both.direct.address()));
    // In the sealed copy of the database the column is text.
    let behind = described(&root().send(both.stand.direct.address()));
    let volume = |document: &serde_json::Value| {
        document["definitions"]["orders"]["properties"]["volume"].clone()
    };
    assert_eq!(volume(&behind)["format"], "text");
    assert_eq!(volume(&sealed)["format"], volume(&direct)["format"]);
    assert_eq!(volume(&sealed)["type"], volume(&direct)["type"]);

    let said = |document: &serde_json::Value, at: &str| {
        document.pointer(at).and_then(|text| text.as_str()).unwrap_or_default().to_owned()
    };
    let mrn = "/definitions/contacts/properties/mrn/description";
    let key = said(&direct, mrn);
    assert!(key.contains("Primary Key"));
    assert_eq!(said(&sealed, mrn), format!("{key}\n\nSealed by labseal, deterministic."));
    for at in [
        "/parameters/rowFilter.patients.last_name/description",
        "/paths/~1rpc~1rename_patient/post/parameters/0/schema/properties/last_name/description",
    ] {
        assert_eq!(said(&sealed, at), "Sealed by labseal, searchable.", "{at}");
    }
    let argument = "/paths/~1rpc~1find_patient/get/parameters/0/description";
    assert_eq!(said(&sealed, argument), "Sealed by labseal, deterministic.");

    // All else is as it was: taking away what was said gives the document behind.
    let plain = |mut document: serde_json::Value| {
        fn clean(value: &mut serde_json::Value) {
            match value {
                serde_json::Value::Object(members) => {
                    if let Some(text) = members.get("description").and_then(|text| text.as_str())
                        && let Some((before, _)) = text.split_once("Sealed by labseal")
                    {
                        let before = before.trim_end().to_owned();
                        members.remove("description");
                        if !before.is_empty() {
                            members.insert("description".into(), before.into());
                        }
                    }
                    members.values_mut().for_each(clean);
                }
                serde_json::Value::Array(items) => items.iter_mut().for_each(clean),
                _ => {}
            }
        }
        clean(&mut document);
        document
    };
    assert_eq!(plain(sealed), {
        let mut expected = behind;
        expected["definitions"]["orders"]["properties"]["volume"] = volume(&direct);
        expected["parameters"]["rowFilter.orders.volume"]["format"] = "numeric".into();
        plain(expected)
    });
}

#[test]
fn a_schema_without_protected_columns_is_described_as_it_is() {
    let both = Both::start();
    let root = || Request::get("/").header("Accept-Profile", "archive");
    let sealed = both.stand.send("lims", root());
    assert_eq!(described(&sealed), described(&root().send(both.stand.direct.address())));
    assert_eq!(both.stand.send("lims", Request::new("HEAD", "/")).status, 200);
}
