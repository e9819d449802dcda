//! The section `keys:`: where the key log is, and who unwraps the root key.

use std::path::{Path, PathBuf};

use crate::policy::{
    diagnostic::Problems,
    document::{Fields, Node, reader::not_built, text, word},
};

use super::reference::{FileRef, SecretRef};

/// The key store and the provider.
#[derive(Debug)]
pub struct KeysSection {
    /// Where the key log is.
    pub store: StoreSection,
    /// Who unwraps the root key.
    pub provider: ProviderSection,
}

/// Where the key log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSection {
    /// A SQLite file.
    Sqlite(PathBuf),
}

/// Who unwraps the root key.
#[derive(Debug)]
pub enum ProviderSection {
    /// A file, wrapped under a passphrase unless that is asked for.
    File {
        /// The file.
        path: FileRef,
        /// Where the passphrase is; `None`: it is asked for.
        passphrase: Option<SecretRef>,
    },
}

impl ProviderSection {
    /// Where the passphrase is, if the provider has one and it is configured.
    pub fn passphrase(&self) -> Option<&SecretRef> {
        match self {
            Self::File { passphrase, .. } => passphrase.as_ref(),
        }
    }

    /// The file of the root key.
    pub fn path(&self) -> &Path {
        match self {
            Self::File { path, .. } => path.path(),
        }
    }
}

impl KeysSection {
    /// Reads the section.
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let mut fields = Fields::of(node, "keys", problems)?;
        fields.later(&["auto_rotate", "escrow"]);
        let store = fields.required("store", "add store: \"sqlite:labseal.db\"", problems);
        let shape = "add provider: {kind: file, path: root.key, passphrase: \"file:passphrase\"}";
        let provider = fields.required("provider", shape, problems);
        fields.finish(problems);
        let store = store.and_then(|node| store_section(node, problems));
        let provider = provider.and_then(|node| provider_section(node, problems));
        Some(Self { store: store?, provider: provider? })
    }
}

fn store_section(node: &Node, problems: &mut Problems) -> Option<StoreSection> {
    // The text is not repeated: the URL of another kind of store may hold a password.
    let found = text(node, "store", problems)?;
    if let Some(path) = found.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
        let path = FileRef::resolve(path, node.at, problems).into_path();
        return Some(StoreSection::Sqlite(path));
    }
    if found.starts_with("postgres") {
        not_built(node.at, "store: postgres", problems);
    } else {
        let remedy = "write \"sqlite:path\", relative to this file";
        problems.error(node.at, "store is not the address of a key store", remedy);
    }
    None
}

const LATER: &[&str] = &["aws_kms", "memory", "openbao", "pkcs11", "vault"];

fn provider_section(node: &Node, problems: &mut Problems) -> Option<ProviderSection> {
    let mut fields = Fields::of(node, "provider", problems)?;
    let kind = fields.required("kind", "add kind: file", problems)?;
    word(kind, "kind", &[("file", ())], LATER, problems)?;
    let path = fields.required("path", "add path: root.key", problems);
    let passphrase = fields.optional("passphrase");
    fields.finish(problems);
    let path = path.and_then(|node| FileRef::plain(node, "path", problems));
    path.iter().for_each(|path| path.judge(problems));
    let passphrase = match passphrase {
        Some(node) => Some(SecretRef::read(node, "passphrase", problems)?),
        None => None,
    };
    Some(ProviderSection::File { path: path?, passphrase })
}
