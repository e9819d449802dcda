//! A wrapping key in the AWS Key Management Service.
//!
//! The wrapped root key is what `Encrypt` gives, with the place as encryption context; `Decrypt` is told
//! the key, so that a ciphertext under somebody else's key is refused by the service. The automatic
//! rotation of a KMS key changes nothing here: the service keeps the older key material.
//!
//! # Why
//! The trait is synchronous, because whoever asks is on a thread that may wait. So a provider has a small
//! runtime of its own, which runs while it is waited for. The encryption context stands in clear in
//! the logs of AWS, which is why it holds the place and nothing else. (2026-11)

mod error;
mod wire;

pub use error::{Fault, KmsError};

use std::{collections::HashMap, sync::OnceLock, time::Duration};

use aws_config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_kms::{
    Client,
    config::Builder,
    error::{ProvideErrorMetadata, SdkError},
    primitives::Blob,
    types::{KeyMetadata, KeySpec, KeyState, KeyUsageType},
};
use tokio::runtime::{self, Runtime};
use zeroize::Zeroizing;

use super::provider::{Place, Provider, ProviderError};
use crate::{base::secret::SecretKey, crypto::RootKey};
use wire::OnlyTls;

/// How long the service may take to accept a connection; for one try; and for all of them.
const CONNECT: Duration = Duration::from_secs(4);
const TRY: Duration = Duration::from_secs(8);
const QUESTION: Duration = Duration::from_secs(20);
const TRIES: u32 = 3;

/// What a configuration says about a key of AWS KMS.
#[derive(Clone, Debug)]
pub struct Settings {
    /// ARN or id of a key, or of an alias.
    pub key: String,
    /// The region.
    pub region: String,
    /// Another address than the region's.
    pub endpoint: Option<String>,
    /// Whether keys may go to another machine in clear.
    pub wire: Wire,
}

/// How the service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// In clear, wherever it is. For trials.
    Plaintext,
    /// By TLS, but for this machine.
    Tls,
}

/// A key of AWS KMS.
pub struct KmsProvider {
    settings: Settings,
    /// Taken out when the provider is dropped.
    runtime: Option<Runtime>,
    client: OnceLock<Client>,
    arn: OnceLock<String>,
}

impl KmsProvider {
    /// The provider of `settings`. Nothing is asked yet.
    pub fn new(settings: Settings) -> Result<Self, KmsError> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = Some(runtime.map_err(KmsError::Runtime)?);
        Ok(Self { settings, runtime, client: OnceLock::new(), arn: OnceLock::new() })
    }

    fn ask<T, E>(
        &self,
        act: &'static str,
        question: impl AsyncFnOnce(&Client) -> Result<T, SdkError<E>>,
    ) -> Result<T, KmsError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        // Invariant: it is there until the provider is dropped.
        let Some(runtime) = &self.runtime else { unreachable!("asked after it was dropped") };
        runtime.block_on(async {
            let client = match self.client.get() {
                Some(client) => client,
                None => {
                    let made = client(&self.settings).await;
                    self.client.get_or_init(|| made)
                }
            };
            let asked = tokio::time::timeout(QUESTION, question(client)).await;
            let key = self.settings.key.clone();
            match asked {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(error)) => Err(KmsError::sorted(key, act, error)),
                Err(_) => Err(KmsError::Silent { key, seconds: QUESTION.as_secs() }),
            }
        })
    }

    /// What the service says of the key.
    fn describe(&self) -> Result<KeyMetadata, KmsError> {
        let key = &self.settings.key;
        let said = self.ask("kms:DescribeKey", async |client| {
            client.describe_key().key_id(key).send().await
        })?;
        said.key_metadata.ok_or_else(|| KmsError::fault(key, Fault::Answer))
    }

    fn arn(&self) -> Result<&str, KmsError> {
        if let Some(arn) = self.arn.get() {
            return Ok(arn);
        }
        let key = &self.settings.key;
        let arn = match key.starts_with("arn:") && key.contains(":key/") {
            true => key.clone(),
            false => {
                let arn = self.describe()?.arn;
                arn.ok_or_else(|| KmsError::fault(key, Fault::Answer))?
            }
        };
        Ok(self.arn.get_or_init(|| arn))
    }

    /// Adds to the refusal of a key what state it is in, which the refusal itself says in words only.
    fn explained(&self, error: KmsError) -> KmsError {
        if !matches!(error, KmsError::Fault { fault: Fault::State, .. }) {
            return error;
        }
        match self.describe().map(|about| check(&self.settings.key, &about)) {
            Ok(Err(better)) => better,
            Ok(Ok(())) | Err(_) => error,
        }
    }
}

impl Provider for KmsProvider {
    fn kind(&self) -> &'static str {
        "aws-kms"
    }

    fn key(&self) -> Result<String, ProviderError> {
        Ok(self.arn()?.to_owned())
    }

    /// Keys of KMS are made by whoever owns the account; this looks whether it is the right kind.
    fn create(&self) -> Result<(), ProviderError> {
        Ok(check(&self.settings.key, &self.describe()?)?)
    }

    fn wrap(&self, root: &RootKey, place: &Place) -> Result<Vec<u8>, ProviderError> {
        let arn = self.arn()?;
        let secret = root.lend(|secret| Blob::new(secret.to_vec()));
        let said = self.ask("kms:Encrypt", async |client| {
            let question = client.encrypt().key_id(arn).plaintext(secret);
            question.set_encryption_context(Some(context(place))).send().await
        });
        let said = said.map_err(|error| self.explained(error))?;
        let wrapped = said.ciphertext_blob.map(Blob::into_inner);
        let wrapped = wrapped.filter(|_| said.key_id.as_deref() == Some(arn));
        Ok(wrapped.ok_or_else(|| KmsError::fault(arn, Fault::Answer))?)
    }

    fn unwrap(&self, wrapped: &[u8], place: &Place) -> Result<RootKey, ProviderError> {
        let arn = self.arn()?;
        let said = self.ask("kms:Decrypt", async |client| {
            let question = client.decrypt().key_id(arn).ciphertext_blob(Blob::new(wrapped));
            question.set_encryption_context(Some(context(place))).send().await
        });
        let said = said.map_err(|error| self.explained(error))?;
        let opened = Zeroizing::new(said.plaintext.map(Blob::into_inner).unwrap_or_default());
        let secret = opened.as_slice().try_into();
        let secret: [u8; 32] = secret.map_err(|_| KmsError::fault(arn, Fault::Answer))?;
        Ok(RootKey::from_secret(SecretKey::new(secret)))
    }
}

impl Drop for KmsProvider {
    /// Whoever drops it may be a task, which must not wait for a runtime to end.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn context(place: &Place) -> HashMap<String, String> {
    let members = [
        ("labseal:purpose", "root key".to_owned()),
        ("labseal:tenant", place.tenant.as_str().to_owned()),
        ("labseal:instance", place.instance.clone()),
        ("labseal:generation", place.generation.to_string()),
    ];
    members.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Whether a key can wrap root keys.
fn check(key: &str, about: &KeyMetadata) -> Result<(), KmsError> {
    let fault = match about.key_state() {
        Some(KeyState::Enabled) | None => None,
        Some(KeyState::Disabled) => Some(Fault::Disabled),
        Some(KeyState::PendingDeletion | KeyState::PendingReplicaDeletion) => {
            Some(Fault::PendingDeletion)
        }
        Some(_) => Some(Fault::State),
    };
    let symmetric = about.key_spec().is_none_or(|spec| *spec == KeySpec::SymmetricDefault);
    let encrypts = about.key_usage().is_none_or(|usage| *usage == KeyUsageType::EncryptDecrypt);
    match fault.or((!symmetric || !encrypts).then_some(Fault::Usage)) {
        None => Ok(()),
        Some(fault) => Err(KmsError::fault(key, fault)),
    }
}

async fn client(settings: &Settings) -> Client {
    let times = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(TRY)
        .operation_timeout(QUESTION);
    let shared = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(settings.region.clone()))
        .timeout_config(times.build())
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
        .load()
        .await;
    let mut builder = Builder::from(&shared).interceptor(OnlyTls::new(settings.wire));
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    Client::from_conf(builder.build())
}
