//! What AWS KMS can have against a question, and what its owner does about it.

use std::{error::Error as StdError, fmt};

use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};

use super::wire::InClear;

/// AWS KMS does not do what is asked.
#[derive(Debug, thiserror::Error)]
pub enum KmsError {
    /// The role of this machine lacks a right.
    #[error(
        "AWS KMS denies {act} on {key}; allow it to the role of this machine, in the key policy or by \
         IAM (docs/keys.md has the policy)"
    )]
    Denied {
        /// The key as configured.
        key: String,
        /// The right.
        act: &'static str,
        /// What the service says.
        #[source]
        said: Said,
    },
    /// Something about the key itself.
    #[error("AWS KMS key {key} {fault}")]
    Fault {
        /// The key as configured.
        key: String,
        /// What.
        fault: Fault,
    },
    /// An address without TLS, from the configuration or from the environment.
    #[error(
        "AWS KMS would be asked without TLS on another machine; write https:// in \
         keys.provider.endpoint, or unset AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_KMS"
    )]
    InClear,
    /// There are no credentials, or nobody answers who could give some.
    #[error(
        "there are no AWS credentials for {key}; give this machine a role, or set AWS_PROFILE or the \
         variables that AWS documents"
    )]
    NoCredentials {
        /// The key as configured.
        key: String,
        /// Where they were looked for.
        #[source]
        source: Boxed,
    },
    /// Credentials of somebody else, or too old, or a clock that is wrong.
    #[error("AWS does not take the credentials of this machine; check them, and the clock")]
    Rejected {
        /// What the service says.
        #[source]
        said: Said,
    },
    /// Anything else.
    #[error("AWS KMS refuses {act} on {key}")]
    Refused {
        /// The key as configured.
        key: String,
        /// What was asked.
        act: &'static str,
        /// What the service says.
        #[source]
        said: Said,
    },
    /// The operating system gives no event queue.
    #[error("AWS KMS cannot be waited for")]
    Runtime(#[source] std::io::Error),
    /// No answer in time.
    #[error("AWS KMS did not answer about {key} within {seconds} s; check the way to it")]
    Silent {
        /// The key as configured.
        key: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The service is overloaded, or has a fault of its own.
    #[error("AWS KMS cannot answer about {key} now")]
    Unavailable {
        /// The key as configured.
        key: String,
        /// What the service says.
        #[source]
        said: Said,
    },
    /// Nobody answers.
    #[error(
        "AWS KMS cannot be reached for {key}; check the network, keys.provider.region and \
         keys.provider.endpoint"
    )]
    Unreachable {
        /// The key as configured.
        key: String,
        /// Why.
        #[source]
        source: Boxed,
    },
}

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The answer is not one.
    Answer,
    /// It did not encrypt this.
    Authentication,
    /// Its owner has switched it off.
    Disabled,
    /// There is none.
    Missing,
    /// Its owner has it destroyed.
    PendingDeletion,
    /// Some other state.
    State,
    /// It is for signatures, or a pair.
    Usage,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answer => "was not the subject of the answer; something between changes answers",
            Self::Authentication => {
                "did not wrap this, or not for this place, or it was altered; restore the key store \
                 from its backup, or configure the key that it names"
            }
            Self::Disabled => "is disabled; enable it: aws kms enable-key",
            Self::Missing => {
                "is not there; check key, region and account, or make it: aws kms create-key"
            }
            Self::PendingDeletion => {
                "is about to be deleted, and everything sealed with it; stop that now: aws kms \
                 cancel-key-deletion, then aws kms enable-key"
            }
            Self::State => "is not in a state to be used; see aws kms describe-key",
            Self::Usage => "is not a symmetric key for encryption; name one of SYMMETRIC_DEFAULT",
        })
    }
}

/// An error of a library, whatever it is.
type Boxed = Box<dyn StdError + Send + Sync>;

/// Code and message of the service. They name keys, roles and rights, and hold no key material.
#[derive(Debug)]
pub struct Said(String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Said {}

impl Said {
    fn new(code: &str, message: Option<&str>) -> Self {
        // A server that is not AWS may say anything.
        let clean =
            |text: &str| -> String { text.chars().filter(|c| !c.is_control()).take(300).collect() };
        match message {
            Some(message) => Self(format!("{}: {}", clean(code), clean(message))),
            None => Self(clean(code)),
        }
    }
}

impl KmsError {
    pub(super) fn fault(key: &str, fault: Fault) -> Self {
        Self::Fault { key: key.to_owned(), fault }
    }

    /// Whether the service may answer later, without anybody changing anything here.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::NoCredentials { .. }
            | Self::Silent { .. }
            | Self::Unavailable { .. }
            | Self::Unreachable { .. } => true,
            Self::Denied { .. }
            | Self::Fault { .. }
            | Self::InClear
            | Self::Refused { .. }
            | Self::Rejected { .. }
            | Self::Runtime(_) => false,
        }
    }

    pub(super) fn sorted<E>(key: String, act: &'static str, error: SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        if names(&error, |cause| cause.is::<InClear>()) {
            return Self::InClear;
        }
        match &error {
            SdkError::ServiceError(answer) => {
                let meta = answer.err().meta();
                let code = meta.code().unwrap_or("(no code)");
                let said = Said::new(code, meta.message());
                by_code(key, act, code, answer.raw().status().as_u16(), said)
            }
            SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => {
                Self::Unreachable { key, source: error.into() }
            }
            // Neither the wire nor the service: what failed before is to find credentials.
            SdkError::DispatchFailure(_) => Self::NoCredentials { key, source: error.into() },
            SdkError::ConstructionFailure(_) | SdkError::ResponseError(_) => {
                Self::Unreachable { key, source: error.into() }
            }
            SdkError::TimeoutError(_) => Self::Unreachable { key, source: error.into() },
            _ => Self::Unreachable { key, source: error.into() },
        }
    }
}

fn by_code(key: String, act: &'static str, code: &str, status: u16, said: Said) -> KmsError {
    let fault = |fault| KmsError::Fault { key: key.clone(), fault };
    match code {
        "AccessDeniedException" => KmsError::Denied { key, act, said },
        "DisabledException" => fault(Fault::Disabled),
        "IncorrectKeyException" | "InvalidCiphertextException" => fault(Fault::Authentication),
        "InvalidKeyUsageException" => fault(Fault::Usage),
        "KMSInvalidStateException" => fault(Fault::State),
        "InvalidArnException" | "NotFoundException" => fault(Fault::Missing),
        "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "OptInRequired"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => KmsError::Rejected { said },
        "DependencyTimeoutException"
        | "KMSInternalException"
        | "KeyUnavailableException"
        | "LimitExceededException"
        | "RequestLimitExceeded"
        | "ThrottlingException"
        | "TooManyRequestsException" => KmsError::Unavailable { key, said },
        _ if status >= 500 || status == 429 => KmsError::Unavailable { key, said },
        _ => KmsError::Refused { key, act, said },
    }
}

/// Whether a cause of an error is one that is looked for.
fn names(
    error: &(dyn StdError + 'static),
    wanted: impl Fn(&(dyn StdError + 'static)) -> bool,
) -> bool {
    let mut cause = Some(error);
    while let Some(found) = cause {
        if wanted(found) {
            return true;
        }
        cause = found.source();
    }
    false
}
