//! Root keys do not leave this machine in clear, whatever the environment says about endpoints.

use aws_sdk_kms::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextRef,
    },
    error::BoxError,
};
use http::Uri;

use super::Wire;
use crate::base::host;

/// Refuses a request that would go out in clear.
#[derive(Debug)]
pub(super) struct OnlyTls(Wire);

/// The address of the service has no TLS and is not this machine.
#[derive(Debug, thiserror::Error)]
#[error("a request to AWS KMS would go out in clear")]
pub(super) struct InClear;

impl OnlyTls {
    pub(super) fn new(wire: Wire) -> Self {
        Self(wire)
    }
}

impl Intercept for OnlyTls {
    fn name(&self) -> &'static str {
        "OnlyTls"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let uri = context.request().uri().parse::<Uri>();
        match self.0 == Wire::Plaintext || uri.is_ok_and(|uri| is_private(&uri)) {
            true => Ok(()),
            false => Err(InClear.into()),
        }
    }
}

/// Whether nobody on the way can read what is sent there.
fn is_private(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https") || host::is_loopback(uri.host().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls_or_this_machine_keeps_a_key_private() {
        let private = |uri: &str| is_private(&uri.parse().unwrap());
        assert!(private("https://kms.eu-central-1.amazonaws.com/"));
        assert!(private("http://127.0.0.1:4566/"));
        assert!(private("http://localhost:4566/"));
        assert!(private("http://[::1]:4566/"));
        assert!(!private("http://kms.lab.local/"));
        assert!(!private("http://10.0.0.1/"));
        assert!(!private("http://localhost.evil.example/"));
    }
}
