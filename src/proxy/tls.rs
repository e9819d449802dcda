//! TLS on both sides: rustls with the aws-lc-rs provider, TLS 1.2 and 1.3.
//!
//! Toward callers a client certificate is asked for and not required: who presents none may still
//! be recognised by another rule, and is a stranger otherwise. A certificate that does not verify
//! ends the handshake.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file is missing or holds nothing of the kind.
    #[error("{what} in {} cannot be read", path.display())]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// The parts do not fit together.
    #[error("the TLS configuration is not usable")]
    Rustls(#[from] rustls::Error),
    /// The certificates of callers cannot be verified.
    #[error("the client CA is not usable")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// Files of one side of TLS.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

/// TLS toward callers, with HTTP/2 and HTTP/1.1 offered.
pub fn server(identity: &Identity, client_ca: Option<&PathBuf>) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier: Arc<dyn ClientCertVerifier> = match client_ca {
        None => Arc::new(NoClientAuth),
        Some(path) => {
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider.clone())
                .allow_unauthenticated()
                .build()?
        }
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain(&identity.cert)?, key(&identity.key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// TLS toward the database API, trusting the given CA alone.
pub fn client(ca: Option<&PathBuf>, identity: Option<&Identity>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let trusted = match ca {
        Some(path) => roots(path)?,
        // No CA, no trust: a system store would trust strangers with patients' data.
        None => RootCertStore::empty(),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trusted);
    Ok(match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            builder.with_client_auth_cert(chain(&identity.cert)?, key(&identity.key)?)?
        }
    })
}

fn chain(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fail = |source| TlsError::Pem { what: "a certificate", path: path.clone(), source };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(fail)?
        .collect::<Result<_, _>>()
        .map_err(fail)?;
    if found.is_empty() {
        return Err(fail(rustls_pki_types::pem::Error::NoItemsFound));
    }
    Ok(found)
}

fn key(path: &PathBuf) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError::Pem {
        what: "a private key",
        path: path.clone(),
        source,
    })
}

fn roots(path: &PathBuf) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in chain(path)? {
        store.add(certificate)?;
    }
    Ok(store)
}
