//! What a snapshot does with values, and what the register refuses.

use labseal::{
    base::{
        class::{Mode, Rung, ValueType},
        ident::{ClassId, Kid},
    },
    crypto::{Typed, envelope},
    keys::{KeysError, Opened, Ring, SealError},
};

use super::{class, classes, create, memory, open, opened, seal};

#[test]
fn each_class_is_sealed_in_the_mode_of_the_register() {
    let keys = create(&memory()).snapshot();
    for (class, mode) in
        [("c-mrn", Mode::Deterministic), ("c-name", Mode::Searchable), ("c-res", Mode::Random)]
    {
        let envelope = seal(&keys, class, "Åström");
        let parsed = envelope::parse(envelope.as_bytes()).unwrap();
        assert_eq!(parsed.mode(), mode);
        assert_eq!(keys.class_of(parsed.kid()), Some(&ClassId::new(class)));
        assert!(keys.knows(parsed.kid()));
        assert_eq!(opened(&keys, &envelope), "Åström");
    }
}

#[test]
fn a_deterministic_value_is_found_by_its_envelope() {
    let keys = create(&memory()).snapshot();
    let value = Typed::from_text("MRN-4711");
    let exact = keys.exact(&ClassId::new("c-mrn"), &value).unwrap();
    assert_eq!(exact, [seal(&keys, "c-mrn", "MRN-4711")]);
    let refused = keys.exact(&ClassId::new("c-name"), &value);
    assert!(matches!(refused, Err(SealError::NotTestable { .. })));
}

#[test]
fn a_searchable_value_lies_in_the_range_of_each_of_its_rungs() {
    let keys = create(&memory()).snapshot();
    let name = ClassId::new("c-name");
    let lies_in = |text: &str, rung, sought: &str| {
        let ranges = keys.ranges(&name, rung, &Typed::from_text(sought)).unwrap();
        assert_eq!(ranges.len(), 1);
        let envelope = seal(&keys, "c-name", text);
        ranges.iter().any(|(low, high)| *low <= envelope && envelope < *high)
    };
    assert!(lies_in("Svensson", Rung::Eq, "Svensson"));
    assert!(!lies_in("Svensson", Rung::Eq, "SVENSSON"));
    assert!(lies_in("Svensson", Rung::Ieq, "SVENSSON"));
    assert!(!lies_in("Svensson", Rung::Ieq, "Svenson"));
    let refused = keys.ranges(&ClassId::new("c-res"), Rung::Eq, &Typed::from_text("1"));
    assert!(matches!(refused, Err(SealError::NotTestable { .. })));
}

#[test]
fn altered_foreign_and_ordinary_texts_do_not_open() {
    let keys = create(&memory()).snapshot();
    let envelope = seal(&keys, "c-res", "1.10");
    let mut altered = envelope.clone().into_bytes();
    altered[20] = if altered[20] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();
    match keys.open(altered.as_bytes()) {
        Opened::Fails { class, .. } => assert_eq!(class, ClassId::new("c-res")),
        other => panic!("{other:?}"),
    }
    let foreign = create(&memory()).snapshot();
    assert_eq!(opened(&foreign, &envelope), "(not ours)");
    assert!(!keys.knows(Kid([0; 5])));
    for text in ["", "ls1", "Svensson", &envelope[..envelope.len() - 1]] {
        assert_eq!(opened(&keys, text), "(not ours)");
    }
}

#[test]
fn an_unregistered_class_seals_nothing() {
    let keys = create(&memory()).snapshot();
    let mut out = b"before".to_vec();
    let refused = keys.seal(&ClassId::new("c-new"), &Typed::from_text("x"), &mut out);
    assert!(matches!(refused, Err(SealError::Unregistered { .. })));
    assert_eq!(out, b"before");
}

#[test]
fn a_class_is_registered_once_and_its_parameters_never_change() {
    let address = memory();
    let keys = create(&address);
    keys.rotate(Ring::Data).unwrap();
    keys.register(&classes()).unwrap();
    let envelope = seal(&keys.snapshot(), "c-name", "Svensson");
    for (changed, old, new) in [
        (class("c-name", Mode::Random, ValueType::Text, &[]), "searchable", "random"),
        (class("c-name", Mode::Searchable, ValueType::Text, &[Rung::Eq]), "[ieq, eq]", "[eq]"),
        (class("c-mrn", Mode::Deterministic, ValueType::Integer, &[]), "text", "integer"),
    ] {
        let added = class("c-added", Mode::Random, ValueType::Text, &[]);
        let error = keys.register(&[added, changed]).unwrap_err();
        assert!(matches!(error, KeysError::ClassDiffers { .. }));
        let text = error.to_string();
        assert!(text.contains(old) && text.contains(new), "{text}");
    }
    assert!(keys.snapshot().params(&ClassId::new("c-added")).is_none());
    assert_eq!(opened(&open(&address).unwrap().snapshot(), &envelope), "Svensson");
}

#[test]
fn a_class_that_comes_later_has_a_kid_under_every_version() {
    let address = memory();
    let keys = create(&address);
    keys.rotate(Ring::Data).unwrap();
    keys.register(&[class("c-later", Mode::Random, ValueType::Json, &[])]).unwrap();
    let envelope = seal(&keys.snapshot(), "c-later", "{}");
    let again = open(&address).unwrap();
    assert_eq!(opened(&again.snapshot(), &envelope), "{}");
    let versions = again.describe().unwrap();
    let data = versions.iter().filter(|version| version.ring == Ring::Data);
    let with = data.filter(|v| v.kids.iter().any(|(class, _)| class.as_str() == "c-later"));
    assert_eq!(with.count(), 2);
}
