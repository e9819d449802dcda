//! The frozen format: every case in `fixtures/envelope` opens to its value, is sealed again to the
//! same bytes, and is what a second implementation makes of it. Cases are added, never edited.

mod frozen;
mod stranger;

use frozen::{Fixed, bytes, unhex};
use labseal::base::{
    class::{Equality, Mode, Rung},
    ident::{ClassId, Tenant},
    secret::{Plaintext, SecretKey},
};
use labseal::crypto::{
    DataClassKey, IndexClassKey, Kind, Ladder, Padding, Parity, RingKey, Typed, envelope, normal,
    open_deterministic, open_random, open_searchable, seal_deterministic, seal_random,
    seal_searchable,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    mode: String,
    /// Data ring; in mode `d` unused.
    data_ring: String,
    index_ring: String,
    /// Version of the index key.
    index_version: u32,
    tenant: String,
    class: String,
    rungs: Vec<String>,
    /// Left out where it is exact.
    equality: Option<String>,
    /// Of each rung; left out in the oldest cases.
    names: Option<Vec<String>>,
    forms: Option<Vec<String>>,
    kind: u8,
    value: String,
    padded: bool,
    /// Empty in mode `d`.
    nonce: String,
    kid: String,
    envelope: String,
}

impl Case {
    fn value(&self) -> Typed {
        Typed::new(Kind::from_byte(self.kind).unwrap(), Plaintext::new(bytes(&self.value)))
    }

    fn index_key(&self) -> IndexClassKey {
        let ring = RingKey::from_secret(SecretKey::new(unhex(&self.index_ring)));
        IndexClassKey::derive(&ring, &self.tenant(), &self.class()).unwrap()
    }

    fn data_key(&self, mode: Mode) -> DataClassKey {
        let ring = RingKey::from_secret(SecretKey::new(unhex(&self.data_ring)));
        let padding = if self.padded { Padding::Buckets } else { Padding::Exact };
        let key = DataClassKey::derive(&ring, &self.tenant(), &self.class(), mode).unwrap();
        key.with_padding(padding)
    }

    fn tenant(&self) -> Tenant {
        Tenant::new(self.tenant.as_str())
    }

    fn class(&self) -> ClassId {
        ClassId::new(self.class.as_str())
    }

    fn rungs(&self) -> Vec<Rung> {
        self.rungs.iter().map(|word| Rung::parse(word).unwrap()).collect()
    }

    fn equality(&self) -> Equality {
        let Some(word) = &self.equality else { return Equality::Exact };
        Equality::WORDS.iter().find(|(known, _)| known == word).unwrap().1
    }

    fn open(&self) -> Typed {
        let parsed = envelope::parse(self.envelope.as_bytes()).unwrap();
        assert_eq!(parsed.kid().to_string(), self.kid, "{}", self.name);
        assert_eq!(usize::from(parsed.rungs()), self.rungs.len());
        assert_eq!(parsed.flags().is_padded(), self.padded);
        match self.mode.as_str() {
            "random" => open_random(&self.data_key(Mode::Random), &parsed),
            "searchable" => open_searchable(&self.data_key(Mode::Searchable), &parsed),
            _ => open_deterministic(&self.index_key(), &parsed),
        }
        .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn seal(&self) -> String {
        let mut out = Vec::new();
        let value = self.value();
        let nonces = || Fixed(unhex(&self.nonce));
        match self.mode.as_str() {
            "random" => seal_random(&self.data_key(Mode::Random), &value, &mut nonces(), &mut out),
            "searchable" => {
                let ladder =
                    Ladder::new(&self.index_key(), &self.rungs(), self.equality(), &value).unwrap();
                let key = self.data_key(Mode::Searchable);
                let parity = Parity::of(self.index_version);
                seal_searchable(&key, &ladder, parity, &value, &mut nonces(), &mut out)
            }
            _ => seal_deterministic(&self.index_key(), &value, &mut out),
        }
        .unwrap();
        String::from_utf8(out).unwrap()
    }

    fn seal_as_a_stranger(&self) -> String {
        let class = stranger::Class { tenant: &self.tenant, id: &self.class };
        let padded = if self.padded { 4 } else { 0 };
        let (data, index) = (unhex(&self.data_ring), unhex(&self.index_ring));
        let value = bytes(&self.value);
        match self.mode.as_str() {
            "random" => {
                let nonce = Some(unhex(&self.nonce));
                stranger::seal(&data, &class, 'r', "", padded, nonce, b"", (self.kind, &value))
            }
            "searchable" => {
                let (rungs, equality) = (self.rungs(), self.equality());
                let names: Vec<_> =
                    rungs.iter().map(|rung| normal::name(*rung, equality)).collect();
                let forms = normal::forms(&rungs, equality, &self.value());
                if let (Some(own_names), Some(own_forms)) = (&self.names, &self.forms) {
                    assert_eq!(*own_names, names, "{}", self.name);
                    let own_forms: Vec<_> = own_forms.iter().map(|form| form.as_bytes()).collect();
                    let forms: Vec<_> = forms.iter().map(Plaintext::expose).collect();
                    assert_eq!(own_forms, forms, "{}", self.name);
                }
                let forms: Vec<(&str, &[u8])> =
                    names.iter().zip(&forms).map(|(name, form)| (&**name, form.expose())).collect();
                let tokens = stranger::tokens(&index, &class, &forms);
                let ladder = format!("{}{tokens}", forms.len());
                let flags = padded | if self.index_version % 2 == 1 { 16 } else { 0 };
                let nonce = Some(unhex(&self.nonce));
                stranger::seal(&data, &class, 's', &ladder, flags, nonce, b"", (self.kind, &value))
            }
            _ => stranger::seal(&index, &class, 'd', "", 4, None, b"", (self.kind, &value)),
        }
    }
}

fn run(text: &str, expected: usize) {
    let cases: Vec<Case> = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), expected);
    for case in &cases {
        let opened = case.open();
        assert_eq!(opened.kind.byte(), case.kind, "{}", case.name);
        assert_eq!(opened.value.expose(), bytes(&case.value), "{}", case.name);
        assert_eq!(case.seal(), case.envelope, "{}", case.name);
        assert_eq!(case.seal_as_a_stranger(), case.envelope, "{}", case.name);
    }
}

#[test]
fn frozen_random_envelopes_open_and_are_sealed_to_the_same_bytes() {
    run(include_str!("fixtures/envelope/random.json"), 19);
}

#[test]
fn frozen_searchable_envelopes_open_and_are_sealed_to_the_same_bytes() {
    run(include_str!("fixtures/envelope/searchable.json"), 11);
}

#[test]
fn frozen_ladders_of_every_rung_and_equality_are_made_of_the_same_forms() {
    run(include_str!("fixtures/envelope/ladders.json"), 16);
}

#[test]
fn frozen_deterministic_envelopes_open_and_are_sealed_to_the_same_bytes() {
    run(include_str!("fixtures/envelope/deterministic.json"), 13);
}

#[test]
fn the_example_of_the_documentation_is_a_frozen_case() {
    let documentation = include_str!("../docs/envelope.md");
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("fixtures/envelope/searchable.json")).unwrap();
    let example = cases.iter().find(|case| case.name == "a name in two rungs").unwrap();
    assert!(documentation.contains(&example.envelope));
    assert!(documentation.contains(&example.kid));
}
