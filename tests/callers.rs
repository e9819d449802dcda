//! Who is asking: client certificates by subject and by SPIFFE name, and the user behind a socket.

mod kit;

use std::{path::Path, sync::Arc};

use kit::{Labseal, Request, front::quiet, labseal::Setup, policy};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType,
};
use rustls::{ClientConfig, RootCertStore, pki_types::PrivateKeyDer};

/// A certificate authority of the lab.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Certificate and key for a subject with alternative names.
    fn issue(
        &self,
        subject: &[(DnType, &str)],
        names: Vec<SanType>,
    ) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, text) in subject {
            params.distinguished_name.push(kind.clone(), *text);
        }
        params.subject_alt_names = names;
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A client that trusts this authority, with the certificate if there is one.
    fn client(&self, certificate: Option<(rcgen::Certificate, KeyPair)>) -> Arc<ClientConfig> {
        use rustls::pki_types::{CertificateDer, pem::PemObject as _};
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots);
        Arc::new(match certificate {
            Some((certificate, key)) => {
                let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
                config.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
            }
            None => config.with_no_client_auth(),
        })
    }
}

fn spiffe(name: &str) -> Vec<SanType> {
    vec![SanType::URI(name.try_into().unwrap())]
}

/// labseal behind TLS that knows the clients of an authority.
fn start(authority: &Authority) -> (kit::Fake, Labseal) {
    let fake = kit::Fake::start(quiet);
    let name = vec![SanType::DnsName("localhost".try_into().unwrap())];
    let (certificate, key) = authority.issue(&[(DnType::CommonName, "labseal")], name);
    let write = |folder: &Path| {
        std::fs::create_dir(folder.join("tls")).unwrap();
        std::fs::write(folder.join("tls/cert.pem"), certificate.pem()).unwrap();
        std::fs::write(folder.join("tls/ca.pem"), &authority.pem).unwrap();
        kit::labseal::private(&folder.join("tls/key.pem"), &key.serialize_pem());
    };
    let setup = Setup::new(policy::LAB, fake.address());
    let setup = setup.tls(
        "cert: \"file:tls/cert.pem\", key: \"file:tls/key.pem\", client_ca: \"file:tls/ca.pem\"",
    );
    let mut labseal = setup.init(write);
    labseal.run();
    (fake, labseal)
}

#[test]
fn a_client_certificate_names_its_caller_by_subject() {
    let authority = Authority::new();
    let (fake, labseal) = start(&authority);
    let subject = [(DnType::CommonName, "analyzer"), (DnType::OrganizationName, "lab")];
    let client = authority.client(Some(authority.issue(&subject, Vec::new())));
    let answer = Request::get("/patients?mrn=eq.M1").send_tls(labseal.address(), &client).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(fake.requests()[0].start.contains("/patients?mrn=eq.ls1d"));
    let write = Request::post("/patients", r#"{"mrn":"M1"}"#);
    let answer = write.send_tls(labseal.address(), &client).unwrap();
    assert_eq!(answer.header("Labseal-Error"), Some("LS203"));
    // Another subject of the same authority is nobody.
    let other = [(DnType::CommonName, "analyzer2"), (DnType::OrganizationName, "lab")];
    let client = authority.client(Some(authority.issue(&other, Vec::new())));
    let answer = Request::get("/patients").send_tls(labseal.address(), &client).unwrap();
    assert!([401, 403].contains(&answer.status), "{}", answer.start);
}

#[test]
fn a_client_certificate_names_its_caller_by_spiffe_id() {
    let authority = Authority::new();
    let (_fake, labseal) = start(&authority);
    let mesh = authority.issue(&[(DnType::CommonName, "x")], spiffe("spiffe://lab.local/mesh"));
    let client = authority.client(Some(mesh));
    let answer = Request::get("/patients").send_tls(labseal.address(), &client).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    for name in ["spiffe://lab.local/mesh2", "spiffe://lab.local/", "spiffe://other/mesh"] {
        let client = authority.client(Some(authority.issue(&[], spiffe(name))));
        let answer = Request::get("/patients").send_tls(labseal.address(), &client).unwrap();
        assert!([401, 403].contains(&answer.status), "{name}: {}", answer.start);
    }
}

#[test]
fn a_certificate_of_another_authority_opens_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (fake, labseal) = start(&authority);
    let subject = [(DnType::CommonName, "analyzer"), (DnType::OrganizationName, "lab")];
    let client = authority.client(Some(other.issue(&subject, Vec::new())));
    let answer = Request::get("/patients").send_tls(labseal.address(), &client);
    assert!(answer.map_or(true, |answer| [401, 403].contains(&answer.status)));
    let client = authority.client(None);
    let answer = Request::get("/patients").send_tls(labseal.address(), &client);
    assert!(answer.map_or(true, |answer| [401, 403].contains(&answer.status)));
    assert!(fake.requests().is_empty());
}

#[test]
fn the_user_behind_a_unix_socket_names_the_caller() {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
    let folder = tempfile::TempDir::new().unwrap();
    let socket = folder.path().join("lims.sock");
    for (named, status) in [(&*user, 201), ("nobody", 403)] {
        let fake = kit::Fake::start(quiet);
        let rule = "lims:      {api_key: {header: X-Api-Key, sha256_file: keys/lims.sha256}}";
        assert!(policy::LAB.contains(rule));
        let policy = policy::LAB.replace(rule, &format!("lims: {{unix_peer: {{user: {named}}}}}"));
        let mut labseal = Setup::new(&policy, fake.address()).unix(&socket).start();
        let request = Request::post("/patients", r#"{"mrn":"M1"}"#);
        let answer = request.send_unix(&socket).unwrap();
        let right = answer.status == status || (status == 403 && answer.status == 401);
        assert!(right, "{named}: {} {}", answer.start, answer.text());
        labseal.stop();
    }
}
