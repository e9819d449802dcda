//! What is particular to tokens: each way they refuse, and the keys that are refused.

use std::path::{Path, PathBuf};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, ObjectClass},
    session::{Session, UserType},
    types::AuthPin,
};
use labseal::{
    crypto::RootKey,
    keys::{
        conformance,
        file::Passphrase,
        named::{Named, NamedError},
        pkcs11::{Pkcs11Error, Pkcs11Provider, Settings},
        provider::{Provider, ProviderError},
    },
};

use super::{
    kit::softhsm::{self, MODULE, PIN},
    provider::place,
    rig::{Inside, Needs, TOKEN, token},
};

/// What the provider of these settings says when it is asked.
fn refusal(settings: Settings) -> Pkcs11Error {
    let provider = Pkcs11Provider::new(settings);
    match provider.wrap(&RootKey::generate().unwrap(), &place()) {
        Err(ProviderError::Pkcs11(error)) => *error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it wrapped"),
    }
}

/// A session of the token's owner, beside labseal.
fn session() -> Session {
    let module = Pkcs11::new(MODULE).unwrap();
    let _ = module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    let is_ours = |slot: &_| module.get_token_info(*slot).unwrap().label() == TOKEN;
    let slot = module.get_slots_with_token().unwrap().into_iter().find(is_ours).unwrap();
    let session = module.open_rw_session(slot).unwrap();
    session.login(UserType::User, Some(&AuthPin::from(PIN))).unwrap();
    std::mem::forget(module);
    session
}

/// Makes a key as somebody else might.
fn make(label: &str, bytes: u64, more: &[Attribute]) {
    let mut template = vec![
        Attribute::Token(true),
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::ValueLen(bytes.into()),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
    ];
    template.extend_from_slice(more);
    session().generate_key(&Mechanism::AesKeyGen, &template).unwrap();
}

#[test]
fn init_makes_an_aes_256_key_that_cannot_leave_the_token_and_finds_it_again() {
    let test = "pkcs11::init_makes_an_aes_256_key_that_cannot_leave_the_token_and_finds_it_again";
    let Some(_inside) = Inside::of(test, &Needs::Hsm) else { return };
    let provider = Pkcs11Provider::new(token("kek-1"));
    assert!(matches!(refusal(token("kek-1")), Pkcs11Error::NoKey { .. }));
    provider.create().unwrap();
    provider.create().unwrap();
    assert_eq!(provider.key().unwrap(), "lab token/kek-1");
    let session = session();
    let label = Attribute::Label(b"kek-1".to_vec());
    let keys = session.find_objects(&[Attribute::Class(ObjectClass::SECRET_KEY), label]).unwrap();
    assert_eq!(keys.len(), 1);
    for (asked, wanted) in [
        (AttributeType::Sensitive, Attribute::Sensitive(true)),
        (AttributeType::Extractable, Attribute::Extractable(false)),
        (AttributeType::NeverExtractable, Attribute::NeverExtractable(true)),
        (AttributeType::Token, Attribute::Token(true)),
        (AttributeType::Private, Attribute::Private(true)),
        (AttributeType::ValueLen, Attribute::ValueLen(32.into())),
        (AttributeType::Wrap, Attribute::Wrap(false)),
    ] {
        assert_eq!(session.get_attributes(keys[0], &[asked]).unwrap(), [wanted]);
    }
    assert!(session.get_attributes(keys[0], &[AttributeType::Value]).unwrap().is_empty());
}

#[test]
fn keys_that_could_leave_the_token_or_are_too_short_are_refused() {
    let test = "pkcs11::keys_that_could_leave_the_token_or_are_too_short_are_refused";
    let Some(_inside) = Inside::of(test, &Needs::Hsm) else { return };
    let sound = [Attribute::Sensitive(true), Attribute::Extractable(false)];
    make("loose", 32, &[Attribute::Sensitive(true), Attribute::Extractable(true)]);
    make("clear", 32, &[Attribute::Sensitive(false), Attribute::Extractable(false)]);
    make("short", 16, &sound);
    make("open", 32, &[&sound[..], &[Attribute::Private(false)]].concat());
    make("twin", 32, &sound);
    make("twin", 32, &sound);
    for (label, says) in [
        ("loose", "can be taken out of the token"),
        ("clear", "can be read in clear"),
        ("short", "is not of 256 bits"),
        ("open", "can be used without the PIN"),
    ] {
        let error = refusal(token(label));
        assert!(matches!(error, Pkcs11Error::Key { .. }), "{label}: {error}");
        assert!(error.to_string().contains(says), "{label}: {error}");
        // Nor does init take it, or make another beside it.
        assert!(Pkcs11Provider::new(token(label)).create().is_err(), "{label}");
    }
    assert!(matches!(refusal(token("twin")), Pkcs11Error::Ambiguous { .. }));
    make("made by hand", 32, &sound);
    Pkcs11Provider::new(token("made by hand")).create().unwrap();
    conformance::prove(&Pkcs11Provider::new(token("made by hand"))).unwrap();
}

#[test]
fn each_way_a_token_refuses_is_named_with_its_remedy() {
    let test = "pkcs11::each_way_a_token_refuses_is_named_with_its_remedy";
    let Some(inside) = Inside::of(test, &Needs::Hsm) else { return };
    Pkcs11Provider::new(token("kek-1")).create().unwrap();
    let with_pin = |pin: Passphrase| Settings { pin, ..token("kek-1") };
    let given = |text: &str| with_pin(Passphrase::Given(text.into()));

    let wrong = refusal(given("0000-wrong"));
    assert!(matches!(wrong, Pkcs11Error::PinWrong { .. }), "{wrong}");
    assert!(wrong.to_string().contains("keys.provider.pin"), "{wrong}");
    assert!(!format!("{wrong} {wrong:?}").contains("0000-wrong"));
    assert!(!wrong.is_outage(), "a wrong PIN is never tried again by itself");

    let unset = with_pin(Passphrase::Named(Named::Env("LABSEAL_TEST_NOT_SET".to_owned())));
    assert!(matches!(refusal(unset), Pkcs11Error::Pin(NamedError::NoVariable { .. })));

    let other = refusal(Settings { token: "elsewhere".to_owned(), ..token("kek-1") });
    assert!(matches!(&other, Pkcs11Error::NoToken { .. }) && other.is_outage());
    assert!(other.to_string().contains("there are: lab token"), "{other}");

    let none = refusal(token("kek-2"));
    assert!(matches!(none, Pkcs11Error::NoKey { .. }) && !none.is_outage());
    assert!(none.to_string().contains("lab token/kek-2"), "{none}");

    let module = |path: PathBuf| refusal(Settings { module: path, ..token("kek-1") });
    for path in [inside.folder().join("none.so"), Path::new("/etc/passwd").to_owned()] {
        let error = module(path);
        assert!(matches!(error, Pkcs11Error::Module { .. }), "{error}");
        assert!(error.to_string().contains("keys.provider.module"), "{error}");
    }

    // The right PIN still works: the token was not locked by the wrong one.
    conformance::prove(&Pkcs11Provider::new(token("kek-1"))).unwrap();
}

#[test]
fn a_wrong_place_is_told_apart_from_a_token_that_is_gone() {
    let test = "pkcs11::a_wrong_place_is_told_apart_from_a_token_that_is_gone";
    let Some(inside) = Inside::of(test, &Needs::Hsm) else { return };
    let provider = Pkcs11Provider::new(token("kek-1"));
    provider.create().unwrap();
    let root = RootKey::generate().unwrap();
    let wrapped = provider.wrap(&root, &place()).unwrap();
    assert_eq!(wrapped.len(), 61);
    let mut elsewhere = place();
    elsewhere.generation = 2;
    match provider.unwrap(&wrapped, &elsewhere).err() {
        Some(ProviderError::Pkcs11(error)) => {
            assert!(matches!(*error, Pkcs11Error::Authentication { .. }), "{error}");
        }
        other => panic!("{other:?}"),
    }
    softhsm::take_away(inside.hsm());
    let gone = provider.unwrap(&wrapped, &place()).err().unwrap();
    assert!(gone.is_outage(), "{gone}");
    softhsm::put_back(inside.hsm());
    assert_eq!(provider.unwrap(&wrapped, &place()).unwrap().mac(b"x"), root.mac(b"x"));
}

#[test]
fn a_token_that_chooses_the_iv_and_says_which_is_used_with_it() {
    let test = "pkcs11::a_token_that_chooses_the_iv_and_says_which_is_used_with_it";
    let Some(inside) = Inside::of(test, &Needs::Hsm) else { return };
    let module = softhsm::stubborn(inside.folder());
    let provider = Pkcs11Provider::new(Settings { module, ..token("kek-1") });
    provider.create().unwrap();
    conformance::prove(&provider).unwrap();
    let wrapped = provider.wrap(&RootKey::generate().unwrap(), &place()).unwrap();
    assert!(wrapped[1..].starts_with(b"its own IV "));
}

#[test]
fn a_token_that_keeps_its_iv_for_itself_is_refused() {
    let test = "pkcs11::a_token_that_keeps_its_iv_for_itself_is_refused";
    let silent = [("STUBBORN_SILENT", "1")];
    let Some(inside) = Inside::with(test, &Needs::Hsm, &silent) else { return };
    let module = softhsm::stubborn(inside.folder());
    let settings = || Settings { module: module.clone(), ..token("kek-1") };
    Pkcs11Provider::new(settings()).create().unwrap();
    let error = refusal(settings());
    assert!(matches!(error, Pkcs11Error::Iv { .. }), "{error}");
    assert!(error.to_string().contains("does not say which IV it used"), "{error}");
}
