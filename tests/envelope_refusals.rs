//! Whatever is not exactly an envelope of the key is refused: cut, flipped, swapped, respelled.

use std::sync::LazyLock;

use labseal::base::{
    class::{Equality, Mode, Rung},
    ident::{ClassId, Kid, Tenant},
    secret::{Plaintext, SecretKey},
};
use labseal::crypto::{
    DataClassKey, DeriveError, IndexClassKey, Kind, Ladder, MAX_DETERMINISTIC, MAX_VALUE, Nonces,
    OpenFailed, Padding, Parity, RingKey, SealError, Typed, envelope, seal_deterministic,
    seal_random, seal_searchable,
};
use proptest::prelude::*;

struct Keys {
    random: DataClassKey,
    exact: DataClassKey,
    searchable: DataClassKey,
    index: IndexClassKey,
}

fn keys(secret: u8, tenant: &str, class: &str) -> Keys {
    // The same secret for both rings: modes must stay apart by their labels alone.
    let ring = RingKey::from_secret(SecretKey::new([secret; 32]));
    let (tenant, class) = (Tenant::new(tenant), ClassId::new(class));
    let data = |mode| DataClassKey::derive(&ring, &tenant, &class, mode).unwrap();
    Keys {
        random: data(Mode::Random),
        exact: data(Mode::Random).with_padding(Padding::Exact),
        searchable: data(Mode::Searchable),
        index: IndexClassKey::derive(&ring, &tenant, &class).unwrap(),
    }
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| keys(7, "lab-a", "c-name"));

const LADDER: [Rung; 2] = [Rung::Ieq, Rung::Eq];

#[derive(Clone, Copy, Debug)]
enum How {
    Deterministic,
    Exact,
    Random,
    Searchable,
}

const ALL: [How; 4] = [How::Deterministic, How::Exact, How::Random, How::Searchable];

impl Keys {
    fn seal(&self, how: How, value: &Typed) -> Vec<u8> {
        let mut out = b"before".to_vec();
        Nonces::with_thread(|nonces| match how {
            How::Deterministic => seal_deterministic(&self.index, value, &mut out),
            How::Exact => seal_random(&self.exact, value, nonces, &mut out),
            How::Random => seal_random(&self.random, value, nonces, &mut out),
            How::Searchable => {
                let ladder = Ladder::new(&self.index, &LADDER, Equality::Exact, value).unwrap();
                seal_searchable(&self.searchable, &ladder, Parity::Odd, value, nonces, &mut out)
            }
        })
        .unwrap();
        assert!(out.starts_with(b"before"));
        out.split_off(6)
    }

    /// What any of the keys makes of the text.
    fn open(&self, text: &[u8]) -> Option<Typed> {
        let parsed = envelope::parse(text).ok()?;
        match parsed.mode() {
            Mode::Deterministic => self.index.open(&parsed).ok(),
            Mode::Random => self.random.open(&parsed).ok(),
            Mode::Searchable => self.searchable.open(&parsed).ok(),
        }
    }
}

fn kinds() -> impl Strategy<Value = Typed> {
    let carrying =
        prop_oneof![Just(Kind::Bytes), Just(Kind::Json), Just(Kind::Number), Just(Kind::String)];
    let lengths = prop_oneof![8 => 0..80_usize, 2 => 80..600_usize, 1 => 600..=1_800_usize];
    prop_oneof![
        9 => (carrying, lengths).prop_flat_map(|(kind, length)| {
            prop::collection::vec(any::<u8>(), length)
                .prop_map(move |bytes| Typed::new(kind, Plaintext::new(bytes)))
        }),
        1 => any::<bool>().prop_map(Typed::from_bool),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_value_comes_back_with_its_kind_from_every_mode(value in kinds()) {
        for how in ALL {
            let text = KEYS.seal(how, &value);
            prop_assert!(envelope::could_be(&text));
            let opened = KEYS.open(&text).unwrap();
            prop_assert_eq!(opened.kind, value.kind);
            prop_assert_eq!(opened.value.expose(), value.value.expose());
        }
    }

    #[test]
    fn any_bytes_are_parsed_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        head in prop_oneof![Just("ls1r"), Just("ls1d"), Just("ls1s1"), Just("ls1s4"), Just("")],
    ) {
        let text = [head.as_bytes(), &bytes].concat();
        prop_assert!(KEYS.open(&text).is_none());
        envelope::kid_at(&text);
        prop_assert!(envelope::kids(&text).count() <= text.len());
        if let Some(run) = envelope::find(&text, 0) {
            prop_assert!(text[run].starts_with(b"ls1"));
        }
    }
}

#[test]
fn every_truncation_is_refused_and_every_extension() {
    for how in ALL {
        let text = KEYS.seal(how, &Typed::from_text("Svensson"));
        for end in 0..text.len() {
            assert!(KEYS.open(&text[..end]).is_none(), "{how:?} cut to {end}");
        }
        for more in ["A", "=", "==", " ", "\n", "AAAA", "\0"] {
            assert!(KEYS.open(&[&text, more.as_bytes()].concat()).is_none(), "{how:?} {more:?}");
            assert!(KEYS.open(&[more.as_bytes(), &text].concat()).is_none(), "{how:?} {more:?}");
        }
    }
}

#[test]
fn every_flipped_bit_and_every_other_character_is_refused() {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/= ";
    for how in ALL {
        let text = KEYS.seal(how, &Typed::from_text("Svensson"));
        for place in 0..text.len() {
            let flips = (0..8).map(|bit| text[place] ^ (1 << bit));
            for other in flips.chain(alphabet.iter().copied()).filter(|c| *c != text[place]) {
                let mut changed = text.clone();
                changed[place] = other;
                assert!(KEYS.open(&changed).is_none(), "{how:?}: {other} at {place}");
            }
        }
    }
}

#[test]
fn flags_that_are_reserved_or_of_another_mode_are_refused_when_parsed() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
    let body = |flags: u8| {
        // A commitment stands in front of the ciphertext.
        let commitment = if flags & 8 != 0 { 16 } else { 0 };
        BASE64.encode([&[flags][..], &vec![9; 5 + 12 + commitment + 16 + 16]].concat())
    };
    for flags in 0..=u8::MAX {
        let parses =
            |head: &str| envelope::parse(format!("{head}{}", body(flags)).as_bytes()).is_ok();
        assert_eq!(parses("ls1r"), matches!(flags & !9, 0 | 4), "r {flags:#b}");
        assert_eq!(parses("ls1d"), flags == 4, "d {flags:#b}");
        let searchable = matches!(flags & !9, 0 | 4 | 16 | 20);
        assert_eq!(parses("ls1s1aaaaaaaaaaaa"), searchable, "s {flags:#b}");
        for head in ["ls1f", "ls1R", "ls2r", "LS1r", "ls1s0", "ls1s5", "ls1s1aaaaaaaaaaa8", "ls1"] {
            assert!(!parses(head), "{head}");
        }
    }
}

#[test]
fn an_envelope_opens_under_no_other_ring_tenant_or_class() {
    let others =
        [keys(8, "lab-a", "c-name"), keys(7, "lab-b", "c-name"), keys(7, "lab-a", "c-name2")];
    for how in ALL {
        let text = KEYS.seal(how, &Typed::from_text("Svensson"));
        for other in &others {
            assert!(other.open(&text).is_none());
        }
    }
}

#[test]
fn a_padded_envelope_has_one_of_few_lengths() {
    let length = |how, text: &str| KEYS.seal(how, &Typed::from_text(text)).len();
    for how in [How::Deterministic, How::Random, How::Searchable] {
        assert_eq!(length(how, ""), length(how, "fourteen bytes"));
        assert_ne!(length(how, ""), length(how, "fifteen bytes.."));
    }
    assert_eq!(length(How::Random, "positive"), length(How::Random, "negative."));
    assert_ne!(length(How::Exact, "positive"), length(How::Exact, "negative."));
}

#[test]
fn equality_shows_in_mode_d_and_on_the_rungs_and_nowhere_else() {
    let (one, other) = (Typed::from_text("Svensson"), Typed::from_text("SVENSSON"));
    let number = Typed::new(Kind::Number, "42".into());
    assert_eq!(KEYS.seal(How::Deterministic, &one), KEYS.seal(How::Deterministic, &one));
    assert_ne!(KEYS.seal(How::Deterministic, &one), KEYS.seal(How::Deterministic, &other));
    assert_ne!(
        KEYS.seal(How::Deterministic, &number),
        KEYS.seal(How::Deterministic, &Typed::from_text("42"))
    );
    assert_ne!(KEYS.seal(How::Random, &one), KEYS.seal(How::Random, &one));
    let ladder = |value| Ladder::new(&KEYS.index, &LADDER, Equality::Exact, value).unwrap();
    assert_eq!(ladder(&one).prefix(1), ladder(&other).prefix(1));
    assert_ne!(ladder(&one).prefix(2), ladder(&other).prefix(2));
    assert_ne!(ladder(&Typed::from_bool(true)), ladder(&Typed::from_bool(false)));
}

#[test]
fn a_range_of_a_rung_holds_what_agrees_on_it_and_nothing_else() {
    let value = |text| String::from_utf8(KEYS.seal(How::Searchable, &Typed::from_text(text)));
    let (exact, folded) = (value("Svensson").unwrap(), value("svensson").unwrap());
    let ladder =
        Ladder::new(&KEYS.index, &LADDER, Equality::Exact, &Typed::from_text("Svensson")).unwrap();
    let holds = |count, text: &String| {
        let (low, high) = ladder.range(count).unwrap();
        *text >= low && *text < high
    };
    assert!(holds(1, &exact) && holds(1, &folded));
    assert!(holds(2, &exact) && !holds(2, &folded));
    assert!(!holds(1, &value("Svenson").unwrap()));
    assert!(ladder.range(0).is_none() && ladder.range(3).is_none());
}

#[test]
fn texts_longer_than_a_tuple_have_tokens_of_their_own() {
    let token = |text: &str| KEYS.index.token("eq.1", &text.into());
    let long = "x".repeat(70_000);
    assert_eq!(token(&long), token(&long));
    assert_ne!(token(&long), token(&long[1..]));
    assert_ne!(token(&long[..65_535]), token(&long[..65_536]));
}

#[test]
fn values_over_the_limit_are_refused_and_leave_the_output_alone() {
    let of = |length| Typed::new(Kind::String, Plaintext::new(vec![b'x'; length]));
    let mut out = b"kept".to_vec();
    let error = seal_deterministic(&KEYS.index, &of(MAX_DETERMINISTIC + 1), &mut out);
    assert!(matches!(error, Err(SealError::TooLong { limit: MAX_DETERMINISTIC })));
    let nonces = &mut Nonces::new();
    let error = seal_random(&KEYS.random, &of(MAX_VALUE + 1), nonces, &mut out);
    assert!(matches!(error, Err(SealError::TooLong { limit: MAX_VALUE })));
    let lying = Typed::new(Kind::True, "x".into());
    assert!(matches!(
        seal_random(&KEYS.random, &lying, nonces, &mut out),
        Err(SealError::NotEmpty)
    ));
    assert!(matches!(
        seal_random(&KEYS.searchable, &of(1), nonces, &mut out),
        Err(SealError::WrongMode)
    ));
    assert_eq!(out, b"kept");
    for how in [How::Exact, How::Random, How::Searchable] {
        let largest = KEYS.seal(how, &of(MAX_VALUE));
        assert_eq!(KEYS.open(&largest).unwrap().value.len(), MAX_VALUE);
    }
    let largest = KEYS.seal(How::Deterministic, &of(MAX_DETERMINISTIC));
    assert!(largest.len() <= 2_704, "a B-tree row of PostgreSQL holds 2,704 bytes");
    assert!(KEYS.open(&largest).is_some());
}

#[test]
fn the_data_ring_has_no_deterministic_keys() {
    let ring = RingKey::generate().unwrap();
    let derived =
        DataClassKey::derive(&ring, &Tenant::new("t"), &ClassId::new("c"), Mode::Deterministic);
    assert!(matches!(derived, Err(DeriveError::WrongMode)));
}

#[test]
fn every_failure_to_open_is_the_same_one() {
    let text = KEYS.seal(How::Random, &Typed::from_text("x"));
    let parsed = envelope::parse(&text).unwrap();
    let wrong_kid = keys(8, "lab-a", "c-name").random.open(&parsed).map(|_| ());
    let wrong_mode = KEYS.searchable.open(&parsed).map(|_| ());
    let mut forged = text.clone();
    forged[20] = if forged[20] == b'A' { b'B' } else { b'A' };
    let forged = envelope::parse(&forged).map(|parsed| KEYS.random.open(&parsed).map(|_| ()));
    assert_eq!(wrong_kid, Err(OpenFailed));
    assert_eq!(wrong_mode, Err(OpenFailed));
    assert_eq!(forged, Ok(Err(OpenFailed)));
}

#[test]
fn envelopes_are_found_whole_cut_and_grown_together() {
    let sealed = KEYS.seal(How::Deterministic, &Typed::from_text("4711"));
    let text = String::from_utf8(sealed).unwrap();
    let kid = KEYS.index.kid();
    let message =
        format!("Key (mrn)=({text}) already exists. girls1results, ls1, ls1s1x, ls1dZZZZZZZZZ");
    let run = envelope::find(message.as_bytes(), 0).unwrap();
    assert_eq!(&message[run.clone()], text);
    assert_eq!(envelope::find(message.as_bytes(), run.end), None);
    // As PostgreSQL cuts it in a message, and with letters in front.
    let cut = format!("x{}...", &text[..63]);
    let run = envelope::find(cut.as_bytes(), 0).unwrap();
    assert_eq!(run, 1..64);
    assert_eq!(envelope::kid_at(&cut.as_bytes()[run]), Some(kid));
    assert_eq!(envelope::kid_at(&text.as_bytes()[..12]), Some(kid));
    assert_eq!(envelope::kid_at(&text.as_bytes()[..11]), None);
    // A start that is nobody's does not hide the one behind it.
    let hidden = format!("ls1rBAAAAAAA{text}");
    let found: Vec<(usize, Kid)> = envelope::kids(hidden.as_bytes()).collect();
    assert_eq!(found, [(0, Kid([0; 5])), (12, kid)]);
}

#[test]
fn a_searchable_envelope_cut_within_its_tokens_is_found() {
    let sealed = KEYS.seal(How::Searchable, &Typed::from_text("Svensson"));
    let text = String::from_utf8(sealed).unwrap();
    for end in [17, 20, 29, 33, 37, text.len()] {
        assert_eq!(envelope::find(&text.as_bytes()[..end], 0), Some(0..end), "{end}");
        let kid = (end >= 37).then(|| KEYS.searchable.kid());
        assert_eq!(envelope::kid_at(&text.as_bytes()[..end]), kid, "{end}");
    }
    assert_eq!(envelope::find(&text.as_bytes()[..16], 0), None);
}
