//! What is particular to AWS KMS: each way it refuses, and what it gets to see.

use labseal::{
    crypto::RootKey,
    keys::{
        aws_kms::{self, Fault, KmsError, KmsProvider, Wire},
        provider::{Kind, Provider, ProviderError, Settings},
    },
};
use serde_json::json;

use super::{
    kit::{
        fake::{Act, Fake},
        kms::{self, ARN, stub},
        process::free_address,
    },
    provider::place,
    rig::{Inside, Needs, aws_kms},
};

fn refusal(settings: Settings) -> KmsError {
    match settings.open().unwrap().unwrap(b"wrapped", &place()) {
        Err(ProviderError::AwsKms(error)) => *error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it unwrapped"),
    }
}

/// The status, code, and state of the key in what the service answers; what is made of it.
const REFUSALS: &[(&str, &str, &str, &str, bool)] = &[
    ("400 Bad Request", "DisabledException", "Disabled", "aws kms enable-key", false),
    (
        "400 Bad Request",
        "KMSInvalidStateException",
        "PendingDeletion",
        "aws kms cancel-key-deletion",
        false,
    ),
    ("400 Bad Request", "KMSInvalidStateException", "PendingImport", "describe-key", false),
    ("400 Bad Request", "KMSInvalidStateException", "Disabled", "aws kms enable-key", false),
    ("400 Bad Request", "AccessDeniedException", "Enabled", "denies kms:Decrypt", false),
    ("400 Bad Request", "NotFoundException", "Enabled", "aws kms create-key", false),
    ("400 Bad Request", "InvalidCiphertextException", "Enabled", "did not wrap this", false),
    ("400 Bad Request", "IncorrectKeyException", "Enabled", "did not wrap this", false),
    ("400 Bad Request", "InvalidKeyUsageException", "Enabled", "SYMMETRIC_DEFAULT", false),
    ("400 Bad Request", "UnrecognizedClientException", "Enabled", "credentials", false),
    ("400 Bad Request", "ExpiredTokenException", "Enabled", "credentials", false),
    ("400 Bad Request", "ThrottlingException", "Enabled", "cannot answer", true),
    ("500 Internal Server Error", "KMSInternalException", "Enabled", "cannot answer", true),
    ("500 Internal Server Error", "KeyUnavailableException", "Enabled", "cannot answer", true),
    ("503 Service Unavailable", "DependencyTimeoutException", "Enabled", "cannot answer", true),
    ("400 Bad Request", "UnheardOfException", "Enabled", "refuses kms:Decrypt", false),
];

#[test]
fn each_way_the_service_refuses_is_named_with_its_remedy() {
    let test = "aws_kms::each_way_the_service_refuses_is_named_with_its_remedy";
    let Some(_inside) = Inside::of(test, &Needs::Credentials) else { return };
    for (status, code, state, says, is_outage) in REFUSALS {
        let service = stub(status, code, state);
        let error = refusal(aws_kms(ARN, service.address()));
        assert!(error.to_string().contains(says), "{code} {state}: {error}");
        assert!(error.to_string().contains("AWS"), "{code}: {error}");
        assert_eq!(error.is_outage(), *is_outage, "{code}: {error}");
        let asked = service.requests().into_iter();
        let asked =
            asked.filter(|m| m.header("X-Amz-Target") == Some("TrentService.Decrypt")).count();
        assert_eq!(asked, if *is_outage { 3 } else { 1 }, "{code}");
    }
}

#[test]
fn a_key_that_is_disabled_or_of_the_wrong_kind_is_refused_by_init() {
    let test = "aws_kms::a_key_that_is_disabled_or_of_the_wrong_kind_is_refused_by_init";
    let Some(inside) = Inside::of(test, &Needs::All) else { return };
    let arn = kms::make_key(inside.kms());
    let create = |arn: &str| aws_kms(arn, inside.kms()).open().unwrap().create();
    create(&arn).unwrap();
    let id = arn.rsplit('/').next().unwrap();
    kms::ask(inside.kms(), "DisableKey", &json!({"KeyId": id}));
    let fault = |arn: &str| match create(arn) {
        Err(ProviderError::AwsKms(error)) => match *error {
            KmsError::Fault { fault, .. } => fault,
            other => panic!("{other}"),
        },
        other => panic!("{:?}", other.err()),
    };
    assert_eq!(fault(&arn), Fault::Disabled);
    kms::ask(inside.kms(), "ScheduleKeyDeletion", &json!({"KeyId": id}));
    assert_eq!(fault(&arn), Fault::PendingDeletion);
    let signs = json!({"KeyUsage": "SIGN_VERIFY", "KeySpec": "ECC_NIST_P256"});
    let signs = kms::ask(inside.kms(), "CreateKey", &signs);
    assert_eq!(fault(signs["KeyMetadata"]["Arn"].as_str().unwrap()), Fault::Usage);
    assert_eq!(fault("alias/nobody"), Fault::Missing);
}

#[test]
fn a_root_key_opens_after_the_service_rotated_its_key() {
    let test = "aws_kms::a_root_key_opens_after_the_service_rotated_its_key";
    let Some(inside) = Inside::of(test, &Needs::All) else { return };
    let provider = inside.settings(Kind::AwsKms, "one").open().unwrap();
    let root = RootKey::generate().unwrap();
    let wrapped = provider.wrap(&root, &place()).unwrap();
    let before = provider.key().unwrap();
    kms::ask(inside.kms(), "RotateKeyOnDemand", &json!({"KeyId": before}));
    assert_eq!(provider.key().unwrap(), before);
    assert_eq!(provider.unwrap(&wrapped, &place()).unwrap().mac(b"x"), root.mac(b"x"));
    let after = provider.wrap(&root, &place()).unwrap();
    assert_eq!(provider.unwrap(&after, &place()).unwrap().mac(b"x"), root.mac(b"x"));
}

#[test]
fn the_key_is_known_by_its_arn_whatever_alias_names_it() {
    let test = "aws_kms::the_key_is_known_by_its_arn_whatever_alias_names_it";
    let Some(inside) = Inside::of(test, &Needs::All) else { return };
    let provider = inside.settings(Kind::AwsKms, "one").open().unwrap();
    let arn = provider.key().unwrap();
    assert!(arn.starts_with("arn:aws:kms:eu-central-1:"), "{arn}");
    assert!(arn.contains(":key/"), "{arn}");
    let root = RootKey::generate().unwrap();
    let wrapped = provider.wrap(&root, &place()).unwrap();
    let by_arn = aws_kms(&arn, inside.kms()).open().unwrap();
    assert_eq!(by_arn.unwrap(&wrapped, &place()).unwrap().mac(b"x"), root.mac(b"x"));
}

#[test]
fn the_service_is_told_the_place_and_the_key_and_nothing_else() {
    let test = "aws_kms::the_service_is_told_the_place_and_the_key_and_nothing_else";
    let Some(_inside) = Inside::of(test, &Needs::Credentials) else { return };
    let service = stub("400 Bad Request", "AccessDeniedException", "Enabled");
    refusal(aws_kms(ARN, service.address()));
    let [question] = service.requests().try_into().unwrap();
    let told = question.json();
    let mut members: Vec<_> = told.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["CiphertextBlob", "EncryptionContext", "KeyId"]);
    assert_eq!(told["KeyId"], ARN);
    let place = json!({
        "labseal:purpose": "root key", "labseal:tenant": "main", "labseal:instance": "i",
        "labseal:generation": "1",
    });
    assert_eq!(told["EncryptionContext"], place);
    let proof = question.header("Authorization").unwrap();
    assert!(proof.contains("/eu-central-1/kms/aws4_request"), "{proof}");
}

#[test]
fn answers_that_are_none_are_not_taken_for_keys() {
    let test = "aws_kms::answers_that_are_none_are_not_taken_for_keys";
    let Some(_inside) = Inside::of(test, &Needs::Credentials) else { return };
    for body in ["{}", "{\"Plaintext\": \"AAAA\"}", "nonsense", "", "<html>Sign in</html>"] {
        let kind = [("Content-Type", "application/x-amz-json-1.1")];
        let bytes = super::kit::fake::answer("200 OK", &kind, body.as_bytes());
        let service = Fake::answering(bytes);
        let provider = aws_kms(ARN, service.address()).open().unwrap();
        assert!(provider.unwrap(b"wrapped", &place()).is_err(), "{body}");
        assert!(provider.wrap(&RootKey::generate().unwrap(), &place()).is_err(), "{body}");
        assert!(provider.create().is_err(), "{body}");
    }
    let torn = Fake::start(|_| vec![Act::Reset]);
    assert!(refusal(aws_kms(ARN, torn.address())).is_outage());
    assert!(refusal(aws_kms(ARN, free_address())).is_outage());
}

#[test]
fn a_root_key_goes_to_no_other_machine_in_clear_whatever_the_environment_says() {
    let test =
        "aws_kms::a_root_key_goes_to_no_other_machine_in_clear_whatever_the_environment_says";
    let elsewhere = [("AWS_ENDPOINT_URL_KMS", "http://192.0.2.1:9")];
    let Some(_inside) = Inside::with(test, &Needs::Credentials, &elsewhere) else { return };
    let (key, region) = (ARN.to_owned(), kms::REGION.to_owned());
    let settings = aws_kms::Settings { key, region, endpoint: None, wire: Wire::Tls };
    let provider = KmsProvider::new(settings).unwrap();
    match provider.wrap(&RootKey::generate().unwrap(), &place()) {
        Err(ProviderError::AwsKms(error)) => assert!(matches!(*error, KmsError::InClear)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn missing_credentials_are_named_and_may_still_come() {
    let test = "aws_kms::missing_credentials_are_named_and_may_still_come";
    let off = [("AWS_EC2_METADATA_DISABLED", "true")];
    let Some(_inside) = Inside::with(test, &Needs::Nothing, &off) else { return };
    let error = refusal(aws_kms(ARN, free_address()));
    assert!(matches!(error, KmsError::NoCredentials { .. }), "{error:?}");
    assert!(error.is_outage());
}
