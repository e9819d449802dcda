//! Classes whose envelopes commit to their key: registered as such, once and for ever.

use labseal::{base::class::Commitment, crypto::envelope, keys::KeysError};

use super::*;

fn committed(class: ClassParams) -> ClassParams {
    ClassParams { commitment: Commitment::Carried, ..class }
}

fn commitment_of(text: &str) -> Commitment {
    envelope::parse(text.as_bytes()).unwrap().flags().commitment()
}

#[test]
fn a_class_registered_with_a_commitment_seals_and_opens_with_it_after_a_restart() {
    let address = memory();
    let keys = create(&address);
    let classes = [
        committed(class("c-hiv", Mode::Random, ValueType::Text, &[])),
        committed(class("c-nick", Mode::Searchable, ValueType::Text, &[Rung::Ieq, Rung::Eq])),
    ];
    keys.register(&classes).unwrap();
    let sealed = ["c-hiv", "c-nick"].map(|class| seal(&keys.snapshot(), class, "negative"));
    drop(keys);
    let keys = open(&address).unwrap();
    for text in &sealed {
        assert_eq!(commitment_of(text), Commitment::Carried);
        assert_eq!(opened(&keys.snapshot(), text), "negative");
    }
    assert_eq!(commitment_of(&seal(&keys.snapshot(), "c-name", "x")), Commitment::Absent);
    // Its tokens are the same as without, so it is found the same way.
    let value = Typed::from_text("NEGATIVE");
    let ranges = keys.snapshot().ranges(&ClassId::new("c-nick"), Rung::Ieq, &value).unwrap();
    assert!(ranges.iter().any(|(low, high)| sealed[1] >= *low && sealed[1] < *high));
}

#[test]
fn a_policy_that_leaves_a_commitment_out_or_adds_one_is_refused() {
    let keys = create(&memory());
    let plain = class("c-hiv", Mode::Random, ValueType::Text, &[]);
    keys.register(&[committed(plain.clone())]).unwrap();
    let refused = keys.register(&[plain]).unwrap_err();
    assert!(matches!(refused, KeysError::ClassDiffers { .. }), "{refused}");
    assert!(refused.to_string().contains("commitment com.1"), "{refused}");
    let numeric = ValueType::Numeric { precision: 12, scale: 4 };
    let added = committed(class("c-res", Mode::Random, numeric, &[]));
    assert!(matches!(keys.register(&[added]), Err(KeysError::ClassDiffers { .. })));
}
