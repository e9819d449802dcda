//! Envelopes that are bound to their record: frozen cases, a second implementation, and that a
//! value opens in its own record and nowhere else. Cases are added, never edited.

mod frozen;
mod stranger;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use frozen::{Fixed, bytes, unhex};
use labseal::base::{
    class::{Equality, Mode, Rung},
    ident::{ClassId, Tenant},
    secret::{Plaintext, SecretKey},
};
use labseal::crypto::{
    Bond, DataClassKey, IndexClassKey, Kind, Ladder, MAX_KEY, Nonces, Parity, Record, RingKey,
    Typed, envelope, normal, seal_random_in, seal_searchable_in,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    mode: String,
    data_ring: String,
    index_ring: String,
    /// Version of the index key.
    index_version: u32,
    tenant: String,
    class: String,
    rungs: Vec<String>,
    collection: String,
    /// The key of the record.
    key: String,
    kind: u8,
    value: String,
    nonce: String,
    envelope: String,
}

impl Case {
    fn mode(&self) -> Mode {
        if self.mode == "random" { Mode::Random } else { Mode::Searchable }
    }

    fn names(&self) -> (Tenant, ClassId) {
        (Tenant::new(self.tenant.as_str()), ClassId::new(self.class.as_str()))
    }

    fn data_key(&self) -> DataClassKey {
        let ring = RingKey::from_secret(SecretKey::new(unhex(&self.data_ring)));
        let (tenant, class) = self.names();
        DataClassKey::derive(&ring, &tenant, &class, self.mode()).unwrap()
    }

    fn record(&self) -> Record {
        Record::new(&self.collection, &bytes(&self.key)).unwrap()
    }

    fn value(&self) -> Typed {
        Typed::new(Kind::from_byte(self.kind).unwrap(), Plaintext::new(bytes(&self.value)))
    }

    fn rungs(&self) -> Vec<Rung> {
        let rung = |name: &String| if name == "ieq" { Rung::Ieq } else { Rung::Eq };
        self.rungs.iter().map(rung).collect()
    }

    fn seal(&self) -> String {
        let (mut out, value, record) = (Vec::new(), self.value(), self.record());
        let (key, mut nonces) = (self.data_key(), Fixed(unhex(&self.nonce)));
        match self.mode() {
            Mode::Searchable => {
                let ring = RingKey::from_secret(SecretKey::new(unhex(&self.index_ring)));
                let (tenant, class) = self.names();
                let index = IndexClassKey::derive(&ring, &tenant, &class).unwrap();
                let ladder = Ladder::new(&index, &self.rungs(), Equality::Exact, &value).unwrap();
                let tokens = (&ladder, Parity::of(self.index_version));
                seal_searchable_in(&key, Some(&record), tokens, &value, &mut nonces, &mut out)
            }
            Mode::Random | Mode::Deterministic => {
                seal_random_in(&key, Some(&record), &value, &mut nonces, &mut out)
            }
        }
        .unwrap();
        String::from_utf8(out).unwrap()
    }

    fn seal_as_a_stranger(&self) -> String {
        let class = stranger::Class { tenant: &self.tenant, id: &self.class };
        let (value, key) = (bytes(&self.value), bytes(&self.key));
        let rungs = self.rungs();
        let forms = normal::forms(&rungs, Equality::Exact, &self.value());
        let names: Vec<_> = rungs.iter().map(|r| normal::name(*r, Equality::Exact)).collect();
        let forms: Vec<(&str, &[u8])> =
            names.iter().zip(&forms).map(|(name, form)| (name.as_ref(), form.expose())).collect();
        let (letter, ladder, odd) = match self.mode() {
            Mode::Searchable => {
                let tokens = stranger::tokens(&unhex(&self.index_ring), &class, &forms);
                let odd = if self.index_version % 2 == 1 { 16 } else { 0 };
                ('s', format!("{}{tokens}", forms.len()), odd)
            }
            Mode::Random | Mode::Deterministic => ('r', String::new(), 0),
        };
        stranger::seal(
            &unhex(&self.data_ring),
            &class,
            letter,
            &ladder,
            1 | 4 | odd,
            Some(unhex(&self.nonce)),
            &stranger::record(Some((&self.collection, &key))),
            (self.kind, &value),
        )
    }
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("fixtures/envelope/bound.json")).unwrap();
    assert_eq!(cases.len(), 8);
    cases
}

#[test]
fn frozen_bound_envelopes_open_in_their_record_and_are_sealed_to_the_same_bytes() {
    for case in cases() {
        assert_eq!(case.seal_as_a_stranger(), case.envelope, "{}", case.name);
        assert_eq!(case.seal(), case.envelope, "{}", case.name);
        let parsed = envelope::parse(case.envelope.as_bytes()).unwrap();
        assert_eq!(parsed.flags().bond(), Bond::Record);
        let opened = case.data_key().open_in(&case.record(), &parsed).unwrap();
        assert_eq!(opened.kind.byte(), case.kind, "{}", case.name);
        assert_eq!(opened.value.expose(), bytes(&case.value), "{}", case.name);
    }
}

#[test]
fn a_frozen_bound_envelope_opens_in_no_other_record() {
    for case in cases() {
        let parsed = envelope::parse(case.envelope.as_bytes()).unwrap();
        let key = case.data_key();
        assert!(key.open(&parsed).is_err(), "{}: without a record", case.name);
        let other = |collection: &str, of: &[u8]| {
            let record = Record::new(collection, of).unwrap();
            key.open_in(&record, &parsed).is_err()
        };
        assert!(other("another", &bytes(&case.key)), "{}", case.name);
        assert!(other(&case.collection, b"another"), "{}", case.name);
        assert!(other("", &bytes(&case.key)), "{}", case.name);
    }
}

#[test]
fn the_example_of_the_documentation_is_a_frozen_case() {
    let documentation = include_str!("../docs/envelope.md");
    let cases = cases();
    let example = cases.iter().find(|case| case.name == "a note of a sample").unwrap();
    assert!(documentation.contains(&example.envelope));
}

#[test]
fn the_flag_of_a_free_value_cannot_be_turned_to_bound_nor_back() {
    let case = &cases()[0];
    let key = case.data_key();
    let mut free = Vec::new();
    Nonces::with_thread(|nonces| seal_random_in(&key, None, &case.value(), nonces, &mut free))
        .unwrap();
    for text in [&free, case.envelope.as_bytes()] {
        let mut body = BASE64.decode(&text[4..]).unwrap();
        body[0] ^= 1;
        let flipped = format!("ls1r{}", BASE64.encode(body));
        let parsed = envelope::parse(flipped.as_bytes()).unwrap();
        assert!(key.open(&parsed).is_err());
        assert!(key.open_in(&case.record(), &parsed).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_bound_value_opens_with_its_own_key_and_no_other(
        collection in "[a-z.]{0,12}",
        key in prop::collection::vec(any::<u8>(), 0..40),
        other_collection in "[a-z.]{0,12}",
        other_key in prop::collection::vec(any::<u8>(), 0..40),
        value in ".{0,40}",
    ) {
        let data = cases()[0].data_key();
        let (record, other) =
            (Record::new(&collection, &key).unwrap(), Record::new(&other_collection, &other_key).unwrap());
        let mut text = Vec::new();
        let typed = Typed::from_text(&value);
        Nonces::with_thread(|nonces| seal_random_in(&data, Some(&record), &typed, nonces, &mut text))
            .unwrap();
        let parsed = envelope::parse(&text).unwrap();
        let opened = data.open_in(&record, &parsed).unwrap();
        prop_assert_eq!(opened.value.expose(), value.as_bytes());
        prop_assert!(data.open(&parsed).is_err());
        let same = (&collection, &key) == (&other_collection, &other_key);
        prop_assert_eq!(data.open_in(&other, &parsed).is_ok(), same);
    }
}

#[test]
fn a_key_that_is_too_long_makes_no_record() {
    assert!(Record::new("t", &vec![b'x'; MAX_KEY]).is_ok());
    assert!(Record::new("t", &vec![b'x'; MAX_KEY + 1]).is_err());
}
