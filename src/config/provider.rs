//! The key `provider:` of the section `keys:`: who wraps the root key.

use std::path::Path;

use http::Uri;

use crate::{
    base::host,
    keys::{
        aws_kms::Wire,
        provider::{Kind, PROVIDERS},
    },
    policy::{
        diagnostic::Problems,
        document::{Fields, Node, text, truth, word},
    },
};

use super::reference::{FileRef, SecretRef};

/// Who wraps the root key.
#[derive(Debug)]
pub enum ProviderSection {
    /// A key of AWS KMS.
    AwsKms {
        /// ARN or id of a key, or of an alias.
        key: String,
        /// The region.
        region: String,
        /// Another address than the region's.
        endpoint: Option<String>,
        /// Whether that may be reached in clear.
        wire: Wire,
    },
    /// A file, wrapped under a passphrase unless that is asked for.
    File {
        /// The file.
        path: FileRef,
        /// Where the passphrase is; `None`: it is asked for.
        passphrase: Option<SecretRef>,
    },
    /// A key in a token.
    Pkcs11 {
        /// The library of the token's maker.
        module: FileRef,
        /// The label of the token.
        token: String,
        /// The label of the key.
        key: String,
        /// Where the PIN is; `None`: it is asked for.
        pin: Option<SecretRef>,
    },
}

const LATER: &[&str] = &["azure-key-vault", "gcp-kms", "memory", "openbao", "vault"];

impl ProviderSection {
    /// What unlocks it, if that is configured.
    pub fn secret(&self) -> Option<&SecretRef> {
        match self {
            Self::AwsKms { .. } => None,
            Self::File { passphrase, .. } => passphrase.as_ref(),
            Self::Pkcs11 { pin, .. } => pin.as_ref(),
        }
    }

    /// The file of the wrapping key, if it is in one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::AwsKms { .. } | Self::Pkcs11 { .. } => None,
            Self::File { path, .. } => Some(path.path()),
        }
    }

    /// The files that have to be there before it can be asked.
    pub(super) fn files(&self) -> impl Iterator<Item = &FileRef> {
        let module = match self {
            Self::Pkcs11 { module, .. } => Some(module),
            Self::AwsKms { .. } | Self::File { .. } => None,
        };
        let secret = match self.secret() {
            Some(SecretRef::File(file)) => Some(file),
            Some(SecretRef::Env(_)) | None => None,
        };
        module.into_iter().chain(secret)
    }

    /// Reads the section.
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let mut fields = Fields::of(node, "provider", problems)?;
        let kind = fields.required("kind", "add kind: file", problems)?;
        match word(kind, "kind", PROVIDERS, LATER, problems)? {
            Kind::AwsKms => aws_kms(fields, problems),
            Kind::File => file(fields, problems),
            Kind::Pkcs11 => pkcs11(fields, problems),
        }
    }
}

fn aws_kms(mut fields: Fields<'_>, problems: &mut Problems) -> Option<ProviderSection> {
    let key = fields.required("key", "add key: ARN, id, or alias/NAME of a KMS key", problems);
    let region = fields.optional("region");
    let endpoint = fields.optional("endpoint");
    let danger = fields.optional("danger_plaintext");
    let at = fields.at();
    fields.finish(problems);
    let danger = danger.and_then(|node| truth(node, "danger_plaintext", problems));
    let wire = if danger == Some(true) { Wire::Plaintext } else { Wire::Tls };
    let node = key?;
    let key = text(node, "key", problems)?;
    let named = key.strip_prefix("arn:").map(|arn| arn.split(':').collect::<Vec<_>>());
    let named = match named.as_deref() {
        None => None,
        Some([_, "kms", region, _, _]) => Some(*region),
        Some(_) => {
            let remedy = "write arn:aws:kms:REGION:ACCOUNT:key/ID, or alias/NAME";
            problems.error(node.at, "key is not the ARN of a KMS key", remedy);
            return None;
        }
    };
    let region = match region {
        Some(node) => Some((node.at, text(node, "region", problems)?)),
        None => None,
    };
    let region = match (region, named) {
        (Some((at, region)), Some(named)) if region != named => {
            let message = format!("the key is in region {named}, not in {region}");
            problems.error(at, message, "correct one of them, or leave out region");
            return None;
        }
        (Some((_, region)), _) | (None, Some(region)) => region.to_owned(),
        (None, None) => {
            let message = "the region of the key is not known";
            problems.error(at, message, "add region: eu-central-1, or write the ARN of the key");
            return None;
        }
    };
    let endpoint = match endpoint {
        Some(node) => Some(address(node, wire, problems)?),
        None => None,
    };
    Some(ProviderSection::AwsKms { key: key.to_owned(), region, endpoint, wire })
}

fn address(node: &Node, wire: Wire, problems: &mut Problems) -> Option<String> {
    let found = text(node, "endpoint", problems)?;
    let url = found.parse::<Uri>().ok().filter(|url| {
        let is_plain = url.authority().is_some_and(|a| !a.as_str().contains('@'));
        is_plain && url.query().is_none() && matches!(url.scheme_str(), Some("http" | "https"))
    });
    let Some(url) = url else {
        let remedy = "write https://host:port, without user, query and fragment";
        problems.error(node.at, "endpoint is not the URL of a key service", remedy);
        return None;
    };
    let is_near = host::is_loopback(url.host().unwrap_or_default());
    if url.scheme_str() == Some("http") && !is_near && wire == Wire::Tls {
        let message = "the root key would go to another machine in clear";
        let remedy = "write https://, or danger_plaintext: true for a trial";
        problems.error(node.at, message, remedy);
        return None;
    }
    Some(found.to_owned())
}

fn file(mut fields: Fields<'_>, problems: &mut Problems) -> Option<ProviderSection> {
    let path = fields.required("path", "add path: root.key", problems);
    let passphrase = fields.optional("passphrase");
    fields.finish(problems);
    let path = path.and_then(|node| FileRef::plain(node, "path", problems));
    path.iter().for_each(|path| path.judge(problems));
    let passphrase = secret(passphrase, "passphrase", problems)?;
    Some(ProviderSection::File { path: path?, passphrase })
}

fn pkcs11(mut fields: Fields<'_>, problems: &mut Problems) -> Option<ProviderSection> {
    let remedy = "add module: /usr/lib/….so, the library of the token's maker";
    let module = fields.required("module", remedy, problems);
    let token = fields.required("token", "add token: the label of the token", problems);
    let key = fields.required("key", "add key: a label for the wrapping key", problems);
    let pin = fields.optional("pin");
    fields.finish(problems);
    let module = module.and_then(|node| FileRef::plain(node, "module", problems));
    let token = token.and_then(|node| label(node, "token", 32, problems));
    let key = key.and_then(|node| label(node, "key", 255, problems));
    let pin = secret(pin, "pin", problems)?;
    Some(ProviderSection::Pkcs11 { module: module?, token: token?, key: key?, pin })
}

fn label(node: &Node, what: &str, most: usize, problems: &mut Problems) -> Option<String> {
    let found = text(node, what, problems)?;
    let sound = !found.is_empty() && found.len() <= most && !found.contains(char::is_control);
    if !sound {
        let message = format!("{what} cannot be a label");
        problems.error(node.at, message, format!("write 1 to {most} bytes of text"));
    }
    sound.then(|| found.to_owned())
}

/// A secret that may be left out. `None`: it was wrong.
fn secret(node: Option<&Node>, what: &str, problems: &mut Problems) -> Option<Option<SecretRef>> {
    match node {
        Some(node) => SecretRef::read(node, what, problems).map(Some),
        None => Some(None),
    }
}
