//! Who is recognised by what, and which credentials are refused.

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use rcgen::{CertificateParams, DnType, KeyPair, SanType, string::Ia5String};

use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn key(header: &str) -> Proof {
    let digest = crate::base::digest::Digest::of(&[KEY.as_bytes()]);
    let header = ApiKey::parse_header(header).unwrap();
    Proof::ApiKey(ApiKey::new(header, &format!("{digest}\n")).unwrap())
}

fn rules(rules: Vec<(&str, Proof)>) -> Rules {
    let rule = |(name, proof)| Rule { caller: CallerName::new(name), proof };
    Rules::new(rules.into_iter().map(rule).collect())
}

fn certificate(subject: &[(DnType, &str)], uris: &[&str]) -> PeerCertificate {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in subject {
        params.distinguished_name.push(kind.clone(), *value);
    }
    let uri = |uri: &&str| SanType::URI(Ia5String::try_from(*uri).unwrap());
    params.subject_alt_names = uris.iter().map(uri).collect();
    let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    PeerCertificate::parse(der.der()).unwrap()
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

fn identify(rules: &Rules, headers: &HeaderMap) -> Result<String, Code> {
    let facts = Facts { headers, certificate: None, unix_peer: None };
    rules.identify(&facts).map(|c| c.name().to_string()).map_err(|refusal| refusal.code)
}

#[test]
fn a_key_is_recognised_and_its_header_consumed() {
    let rules = rules(vec![("analyzer", key("X-Api-Key"))]);
    assert_eq!(identify(&rules, &headers(&[("x-api-key", KEY)])), Ok("analyzer".into()));
    assert_eq!(rules.consumed_headers(), ["x-api-key"]);
    assert_eq!(identify(&rules, &headers(&[])), Ok("anonymous".into()));
}

#[test]
fn a_wrong_an_empty_and_a_repeated_key_are_refused() {
    let rules = rules(vec![("peer", Proof::UnixPeer(Some(7))), ("analyzer", key("X-Api-Key"))]);
    for presented in [
        headers(&[("x-api-key", "wrong")]),
        headers(&[("x-api-key", "")]),
        headers(&[("x-api-key", KEY), ("x-api-key", KEY)]),
        headers(&[("x-api-key", KEY), ("x-api-key", "wrong")]),
    ] {
        assert_eq!(identify(&rules, &presented), Err(Code::InvalidCredential));
        // An earlier rule that holds does not excuse a wrong key.
        let unix_peer = Some(UnixPeer { uid: 7, gid: 7 });
        let facts = Facts { headers: &presented, certificate: None, unix_peer };
        assert_eq!(rules.identify(&facts).unwrap_err().code, Code::InvalidCredential);
    }
}

#[test]
fn a_key_counts_in_the_header_of_its_rule_alone() {
    let rules = rules(vec![("a", key("X-One")), ("b", key("Authorization"))]);
    let mut presented = headers(&[]);
    presented.insert(AUTHORIZATION, HeaderValue::from_static(KEY));
    assert_eq!(identify(&rules, &presented), Ok("b".into()));
    assert_eq!(identify(&rules, &headers(&[("x-two", KEY)])), Ok("anonymous".into()));
}

#[test]
fn the_first_rule_in_file_order_decides() {
    let rules = rules(vec![("a", Proof::UnixPeer(Some(7))), ("b", key("X-Key"))]);
    let presented = headers(&[("x-key", KEY)]);
    let unix_peer = Some(UnixPeer { uid: 7, gid: 7 });
    let facts = Facts { headers: &presented, certificate: None, unix_peer };
    let caller = rules.identify(&facts).unwrap();
    assert_eq!((caller.name().as_str(), caller.via()), ("a", Via::UnixPeer));
}

#[test]
fn a_user_that_the_machine_does_not_know_is_nobody() {
    let rules = rules(vec![("a", Proof::UnixPeer(None))]);
    for unix_peer in [None, Some(UnixPeer { uid: 0, gid: 0 })] {
        let facts = Facts { headers: &HeaderMap::new(), certificate: None, unix_peer };
        assert_eq!(rules.identify(&facts).unwrap().via(), Via::Nothing);
    }
}

#[test]
fn a_subject_matches_whole_in_either_order() {
    let lims =
        certificate(&[(DnType::OrganizationName, "lab"), (DnType::CommonName, "lims, main")], &[]);
    for same in [r"CN=lims\, main,O=lab", r"O=lab, cn = lims\2C main", r"2.5.4.3=lims\, main,O=lab"]
    {
        assert!(lims.has_subject(&Subject::parse(same).unwrap()), "{same}");
    }
    for other in
        ["CN=lims\\, main", "O=lab", "CN=LIMS\\, main,O=lab", "CN=lims\\, main,O=lab,O=lab"]
    {
        assert!(!lims.has_subject(&Subject::parse(other).unwrap()), "{other}");
    }
}

#[test]
fn a_subject_that_is_not_one_is_refused() {
    for text in ["", "lims", "CN=", "CN=a,", "XX=a", "CN=a\\", "CN=\\zz", "CN=#0401", "1..2=a"] {
        assert!(Subject::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_spiffe_id_counts_only_alone() {
    let id = "spiffe://lab.local/lims";
    let proof = || Proof::Spiffe(SpiffeId::parse(id).unwrap());
    let rules = rules(vec![("lims", Proof::Any(vec![Proof::UnixPeer(Some(7)), proof()]))]);
    for (uris, name) in [
        (&[id][..], "lims"),
        (&[id, "spiffe://lab.local/other"], "anonymous"),
        (&["spiffe://lab.local/lims2"], "anonymous"),
        (&["https://lab.local/lims"], "anonymous"),
        (&[], "anonymous"),
    ] {
        let certificate = certificate(&[(DnType::CommonName, "x")], uris);
        let certificate = Some(&certificate);
        let facts = Facts { headers: &HeaderMap::new(), certificate, unix_peer: None };
        assert_eq!(rules.identify(&facts).unwrap().name().as_str(), name, "{uris:?}");
    }
}

#[test]
fn what_is_not_a_certificate_is_an_error_and_not_a_panic() {
    for der in [&b""[..], b"0", &[0x30, 0x82, 0xff, 0xff]] {
        assert!(PeerCertificate::parse(der).is_err());
    }
}

#[test]
fn neither_framing_headers_nor_hashes_of_nothing_make_a_rule() {
    assert!(ApiKey::parse_header("Content-Length").is_err());
    assert!(ApiKey::parse_header("x y").is_err());
    let header = || ApiKey::parse_header("X-Key").unwrap();
    let nothing = crate::base::digest::Digest::of(&[]).to_string();
    assert_eq!(ApiKey::new(header(), &nothing).unwrap_err(), api_key::HashError::Empty);
    for hash in ["", "00", &"g".repeat(64), &format!("{}\n\n", "a".repeat(64))] {
        assert_eq!(ApiKey::new(header(), hash).unwrap_err(), api_key::HashError::NotADigest);
    }
}
