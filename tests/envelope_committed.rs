//! Envelopes that commit to their key: frozen cases, a second implementation, that a class with the
//! commitment takes nothing without it, and that one ciphertext made for two keys opens under one.
//! Cases are added, never edited.

mod frozen;
mod stranger;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use frozen::{Fixed, bytes, unhex};
use labseal::base::{
    class::{ClassParams, Commitment, Equality, Mode, Rung, ValueType, Years},
    ident::{ClassId, Tenant},
    secret::{Plaintext, SecretKey},
};
use labseal::crypto::{
    DataClassKey, IndexClassKey, Kind, Ladder, OpenFailed, Padding, Parity, Record, RingKey, Typed,
    envelope, normal, seal_random_in, seal_searchable_in, size,
};
use serde::Deserialize;

#[derive(Deserialize)]
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
    record: Option<Bound>,
    kind: u8,
    value: String,
    padded: bool,
    nonce: String,
    kid: String,
    envelope: String,
}

/// The record of a bound value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bound {
    collection: String,
    key: String,
}

impl Case {
    fn mode(&self) -> Mode {
        if self.mode == "random" { Mode::Random } else { Mode::Searchable }
    }

    fn params(&self, commitment: Commitment) -> ClassParams {
        ClassParams {
            id: ClassId::new(self.class.as_str()),
            mode: self.mode(),
            ty: ValueType::Text,
            rungs: self.rungs.iter().map(|word| Rung::parse(word).unwrap()).collect(),
            equality: Equality::Exact,
            years: Years::ALL,
            commitment,
        }
    }

    fn key(&self, commitment: Commitment) -> DataClassKey {
        let ring = RingKey::from_secret(SecretKey::new(unhex(&self.data_ring)));
        let padding = if self.padded { Padding::Buckets } else { Padding::Exact };
        let tenant = Tenant::new(self.tenant.as_str());
        let key = DataClassKey::of_class(&ring, &tenant, &self.params(commitment)).unwrap();
        key.with_padding(padding)
    }

    fn record(&self) -> Option<Record> {
        let bound = self.record.as_ref()?;
        Some(Record::new(&bound.collection, &bytes(&bound.key)).unwrap())
    }

    fn value(&self) -> Typed {
        Typed::new(Kind::from_byte(self.kind).unwrap(), Plaintext::new(bytes(&self.value)))
    }

    fn open(&self, commitment: Commitment, text: &[u8]) -> Result<Typed, OpenFailed> {
        let parsed = envelope::parse(text).map_err(|_| OpenFailed)?;
        let key = self.key(commitment);
        match self.record() {
            Some(record) => key.open_in(&record, &parsed),
            None => key.open(&parsed),
        }
    }

    fn seal(&self, commitment: Commitment) -> String {
        let (mut out, value, record) = (Vec::new(), self.value(), self.record());
        let (key, mut nonces) = (self.key(commitment), Fixed(unhex(&self.nonce)));
        match self.mode() {
            Mode::Searchable => {
                let ring = RingKey::from_secret(SecretKey::new(unhex(&self.index_ring)));
                let params = self.params(commitment);
                let tenant = Tenant::new(self.tenant.as_str());
                let index = IndexClassKey::derive(&ring, &tenant, &params.id).unwrap();
                let ladder = Ladder::new(&index, &params.rungs, Equality::Exact, &value).unwrap();
                let tokens = (&ladder, Parity::of(self.index_version));
                seal_searchable_in(&key, record.as_ref(), tokens, &value, &mut nonces, &mut out)
            }
            Mode::Random | Mode::Deterministic => {
                seal_random_in(&key, record.as_ref(), &value, &mut nonces, &mut out)
            }
        }
        .unwrap();
        String::from_utf8(out).unwrap()
    }

    fn seal_as_a_stranger(&self) -> String {
        let class = stranger::Class { tenant: &self.tenant, id: &self.class };
        let rungs = self.params(Commitment::Carried).rungs;
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
        let key = self.record.as_ref().map(|bound| bytes(&bound.key));
        let bound = self.record.as_ref().map(|bound| bound.collection.as_str()).zip(key.as_deref());
        let flags = 8 | odd | if self.padded { 4 } else { 0 } | u8::from(bound.is_some());
        let nonce = Some(unhex(&self.nonce));
        let value = (self.kind, &bytes(&self.value)[..]);
        let ring = unhex(&self.data_ring);
        let record = stranger::record(bound);
        stranger::seal(&ring, &class, letter, &ladder, flags, nonce, &record, value)
    }
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("fixtures/envelope/committed.json")).unwrap();
    assert_eq!(cases.len(), 11);
    cases
}

#[test]
fn frozen_committed_envelopes_open_and_are_sealed_to_the_same_bytes() {
    for case in cases() {
        assert_eq!(case.seal(Commitment::Carried), case.envelope, "{}", case.name);
        assert_eq!(case.seal_as_a_stranger(), case.envelope, "{}", case.name);
        let parsed = envelope::parse(case.envelope.as_bytes()).unwrap();
        assert_eq!(parsed.flags().commitment(), Commitment::Carried);
        assert_eq!(parsed.kid().to_string(), case.kid, "{}", case.name);
        let opened = case.open(Commitment::Carried, case.envelope.as_bytes()).unwrap();
        assert_eq!(opened.kind.byte(), case.kind, "{}", case.name);
        assert_eq!(opened.value.expose(), bytes(&case.value), "{}", case.name);
    }
}

#[test]
fn a_class_with_the_commitment_opens_nothing_without_it_and_the_other_way_round() {
    for case in cases() {
        let bare = case.seal(Commitment::Absent);
        assert!(case.open(Commitment::Absent, bare.as_bytes()).is_ok(), "{}", case.name);
        assert!(case.open(Commitment::Carried, bare.as_bytes()).is_err(), "{}", case.name);
        let committed = case.envelope.as_bytes();
        assert!(case.open(Commitment::Absent, committed).is_err(), "{}", case.name);
    }
}

#[test]
fn every_flipped_bit_and_every_truncation_of_a_committed_envelope_is_refused() {
    for case in cases() {
        let text = case.envelope.as_bytes();
        for at in 0..text.len() {
            assert!(case.open(Commitment::Carried, &text[..at]).is_err(), "{} {at}", case.name);
            for bit in 0..8 {
                let mut changed = text.to_vec();
                changed[at] ^= 1 << bit;
                assert!(case.open(Commitment::Carried, &changed).is_err(), "{} {at}", case.name);
            }
        }
    }
}

#[test]
fn a_committed_value_of_a_record_opens_in_no_other_one() {
    let bound: Vec<_> = cases().into_iter().filter(|case| case.record.is_some()).collect();
    assert_eq!(bound.len(), 2);
    for case in bound {
        let parsed = envelope::parse(case.envelope.as_bytes()).unwrap();
        let key = case.key(Commitment::Carried);
        assert!(key.open(&parsed).is_err());
        assert!(key.open_in(&Record::new("another", b"42").unwrap(), &parsed).is_err());
    }
}

#[test]
fn the_documented_size_is_the_size() {
    for case in cases().iter().filter(|case| case.padded) {
        let params = case.params(Commitment::Carried);
        let expected = size::envelope_len(&params, bytes(&case.value).len());
        assert_eq!(case.envelope.len(), expected, "{}", case.name);
    }
}

#[test]
fn the_example_of_the_documentation_is_a_frozen_case() {
    let documentation = include_str!("../docs/envelope.md");
    let cases = cases();
    let example = cases.iter().find(|case| case.name == "a result").unwrap();
    assert!(documentation.contains(&example.envelope));
}

/// One ciphertext for two keys, made by whoever knows both: two equations in two blocks of
/// ciphertext make POLYVAL come to the same tag under either. The two ring keys were searched for so
/// that their kids are one, which takes a million tries.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TwoKeys {
    tenant: String,
    class: String,
    rings: [String; 2],
    kid: String,
    nonce: String,
    /// Without the flag C: opens under both.
    free: String,
    values: [String; 2],
    /// Made for the additional data with the flag C.
    ciphertext: String,
    tag: String,
    /// The same bytes behind the commitment of the one and of the other key.
    committed: [String; 2],
    committed_values: [String; 2],
}

impl TwoKeys {
    fn read() -> Self {
        serde_json::from_str(include_str!("fixtures/envelope/two-keys.json")).unwrap()
    }

    fn keys(&self, commitment: Commitment) -> [DataClassKey; 2] {
        let params = ClassParams {
            id: ClassId::new(self.class.as_str()),
            mode: Mode::Random,
            ty: ValueType::Text,
            rungs: Vec::new(),
            equality: Equality::Exact,
            years: Years::ALL,
            commitment,
        };
        let tenant = Tenant::new(self.tenant.as_str());
        let keys = self.rings.each_ref().map(|ring| {
            let ring = RingKey::from_secret(SecretKey::new(unhex(ring)));
            DataClassKey::of_class(&ring, &tenant, &params).unwrap()
        });
        assert!(keys.iter().all(|key| key.kid().to_string() == self.kid));
        keys
    }
}

fn is_told(value: &[u8], which: usize) -> bool {
    let text = ["HIV: NEGATIVE", "HIV: POSITIVE"][which].as_bytes();
    value.windows(text.len()).any(|window| window == text)
}

#[test]
fn a_ciphertext_for_two_keys_opens_under_both_where_nothing_is_committed() {
    let made = TwoKeys::read();
    let parsed = envelope::parse(made.free.as_bytes()).unwrap();
    for (which, key) in made.keys(Commitment::Absent).iter().enumerate() {
        let opened = key.open(&parsed).unwrap();
        assert_eq!(opened.value.expose(), bytes(&made.values[which]));
        assert!(is_told(opened.value.expose(), which));
    }
    // A class with the commitment does not look at it.
    for key in made.keys(Commitment::Carried) {
        assert!(key.open(&parsed).is_err());
    }
}

#[test]
fn a_ciphertext_for_two_keys_opens_under_the_committed_one_alone() {
    let made = TwoKeys::read();
    let kid = u64::from_str_radix(&made.kid, 16).unwrap().to_be_bytes();
    let header = [&[8][..], &kid[3..], &unhex::<12>(&made.nonce)].concat();
    let aad = [b"LS1r\x08", &kid[3..], &[2, 0, 0, 0, 0]].concat();
    let sealed = [bytes(&made.ciphertext), bytes(&made.tag)].concat();
    let class = stranger::Class { tenant: &made.tenant, id: &made.class };
    for which in 0..2 {
        // The bare cipher is fooled by the very bytes: this is what the commitment is for.
        let key = stranger::kdf(&unhex(&made.rings[which]), "enc-r", &class);
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, &key).unwrap());
        let nonce = Nonce::assume_unique_for_key(unhex(&made.nonce));
        let mut text = sealed.clone();
        let text = cipher.open_in_place(nonce, Aad::from(&aad), &mut text).unwrap();
        assert_eq!(text[1..], bytes(&made.committed_values[which]));
        assert!(is_told(text, which));

        let committed = made.committed[which].as_bytes();
        let body = BASE64.decode(&committed[4..]).unwrap();
        assert_eq!((&body[..18], &body[34..]), (&header[..], &sealed[..]));
        let parsed = envelope::parse(committed).unwrap();
        let keys = made.keys(Commitment::Carried);
        assert!(keys[which].open(&parsed).is_ok());
        assert_eq!(keys[1 - which].open(&parsed).map(|_| ()), Err(OpenFailed));
    }
}

#[test]
fn a_deterministic_class_has_no_committed_key() {
    let ring = RingKey::generate().unwrap();
    let case = &cases()[0];
    let params = ClassParams { mode: Mode::Deterministic, ..case.params(Commitment::Carried) };
    assert!(DataClassKey::of_class(&ring, &Tenant::new("t"), &params).is_err());
}
