//! The files of an escrow: read, written, and what their checks are over.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{EscrowError, Subject};
use crate::{
    base::{digest::Digest, secret::SecretKey},
    crypto::{Share as Dealt, WrappedKey},
    keys::{private, provider::joined},
};

const VERSION: u8 = 1;
/// More than a share file has.
const SHARE_FILE: usize = 4_096;

/// What is kept beside the shares, and no secret.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub(super) subject: Subject,
    pub(super) root_name: String,
    /// The last entry of the key log when it was made, and its hash.
    pub(super) last: (u64, Digest),
    /// Of the shares, in order.
    pub(super) digests: Vec<Digest>,
    pub(super) commitment: [u8; 32],
    pub(super) root: WrappedKey,
    pub(super) canary: WrappedKey,
    pub(super) check: [u8; 32],
}

/// What one custodian holds.
pub struct Share {
    pub(super) subject: Subject,
    pub(super) dealt: Dealt,
    pub(super) commitment: [u8; 32],
    pub(super) check: [u8; 32],
}

impl Bundle {
    /// What it is of.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The public name of the root key in it.
    pub fn root_name(&self) -> &str {
        &self.root_name
    }

    /// The last entry of the key log when it was made.
    pub fn epoch(&self) -> u64 {
        self.last.0
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, EscrowError> {
        let malformed = || EscrowError::Malformed { path: path.to_owned(), what: "a bundle" };
        let text = private::read(path)?;
        let text: BundleText = serde_json::from_slice(text.expose()).map_err(|_| malformed())?;
        text.parse().ok_or_else(malformed)
    }

    /// Writes a file into a folder where it is not yet.
    pub fn create(&self, folder: &Path) -> Result<PathBuf, EscrowError> {
        let path = folder.join(self.subject.file("bundle"));
        private::create(&path, &pretty(&BundleText::of(self), SHARE_FILE * 8))?;
        Ok(path)
    }

    /// What its check is over.
    pub(super) fn checked(&self) -> Vec<u8> {
        let text = BundleText::of(self);
        let (epoch, digests) = (text.epoch.to_string(), text.digests.join(" "));
        [
            self.subject.checked("bundle"),
            joined(&[&text.root_name, &epoch, &text.head, &digests, &text.commitment]),
            joined(&[&text.root.to_string(), &text.canary.to_string()]),
        ]
        .concat()
    }
}

impl Share {
    /// Which of the shares it is, from 1.
    pub fn number(&self) -> u8 {
        self.dealt.number()
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, EscrowError> {
        let malformed = || EscrowError::Malformed { path: path.to_owned(), what: "a share" };
        let text = private::read(path)?;
        let text: ShareText<'_> = serde_json::from_slice(text.expose()).map_err(|_| malformed())?;
        text.parse().ok_or_else(malformed)
    }

    /// Writes a file into a folder where it is not yet.
    pub fn create(&self, folder: &Path) -> Result<PathBuf, EscrowError> {
        let path = folder.join(self.subject.file(&format!("share-{}", self.number())));
        let secret = spelled(self.dealt.secret().expose());
        let (commitment, check) = (BASE64.encode(self.commitment), BASE64.encode(self.check));
        let Subject { escrow, instance, tenant, needed, shares, created } = &self.subject;
        let text = ShareText {
            v: VERSION,
            escrow,
            instance,
            tenant,
            share: self.number(),
            needed: *needed,
            shares: *shares,
            created,
            secret: &secret,
            commitment: &commitment,
            check: &check,
        };
        private::create(&path, &pretty(&text, SHARE_FILE))?;
        Ok(path)
    }

    /// What its check is over.
    pub(super) fn checked(&self) -> Vec<u8> {
        let mut text = self.subject.checked(&format!("share {}", self.number()));
        text.extend_from_slice(&self.commitment);
        // The digest stands for the secret, so that no copy of that is made.
        let secret = self.dealt.secret().expose();
        text.extend_from_slice(&super::digest(&self.subject.escrow, self.number(), secret).0);
        text
    }
}

impl Subject {
    fn file(&self, what: &str) -> OsString {
        let escrow = self.escrow.get(..8).unwrap_or_default();
        format!("labseal-escrow-{escrow}.{what}.json").into()
    }

    fn checked(&self, what: &str) -> Vec<u8> {
        let Self { escrow, instance, tenant, needed, shares, created } = self;
        let (needed, shares) = (needed.to_string(), shares.to_string());
        let parts =
            ["labseal/v1 escrow file", what, escrow, instance, tenant, &needed, &shares, created];
        joined(&parts)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BundleText {
    v: u8,
    escrow: String,
    instance: String,
    tenant: String,
    root_name: String,
    needed: u8,
    shares: u8,
    created: String,
    epoch: u64,
    head: String,
    digests: Vec<String>,
    commitment: String,
    root: WrappedKey,
    canary: WrappedKey,
    check: String,
}

impl BundleText {
    fn of(bundle: &Bundle) -> Self {
        let Subject { escrow, instance, tenant, needed, shares, created } = bundle.subject.clone();
        Self {
            v: VERSION,
            escrow,
            instance,
            tenant,
            root_name: bundle.root_name.clone(),
            needed,
            shares,
            created,
            epoch: bundle.last.0,
            head: bundle.last.1.to_string(),
            digests: bundle.digests.iter().map(Digest::to_string).collect(),
            commitment: BASE64.encode(bundle.commitment),
            root: bundle.root.clone(),
            canary: bundle.canary.clone(),
            check: BASE64.encode(bundle.check),
        }
    }

    fn parse(self) -> Option<Bundle> {
        let Self { v, escrow, instance, tenant, needed, shares, created, .. } = self;
        let digests = self.digests.iter().map(|hex| Digest::parse(hex)).collect::<Option<_>>()?;
        let bundle = Bundle {
            subject: Subject { escrow, instance, tenant, needed, shares, created },
            root_name: self.root_name,
            last: (self.epoch, Digest::parse(&self.head)?),
            digests,
            commitment: read(&self.commitment)?,
            root: self.root,
            canary: self.canary,
            check: read(&self.check)?,
        };
        let is_whole = bundle.digests.len() == usize::from(shares);
        (v == VERSION && is_whole).then_some(bundle)
    }
}

/// Borrows from the text of the file, which is wiped: nothing of the secret is copied.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareText<'a> {
    v: u8,
    escrow: &'a str,
    instance: &'a str,
    tenant: &'a str,
    share: u8,
    needed: u8,
    shares: u8,
    created: &'a str,
    secret: &'a str,
    commitment: &'a str,
    check: &'a str,
}

impl ShareText<'_> {
    fn parse(&self) -> Option<Share> {
        let mut is_read = false;
        let secret = SecretKey::filled(|room| {
            // Exactly as many bytes, or nothing: a longer text is refused by the length.
            is_read = self.secret.len() == 43
                && BASE64.decode_slice_unchecked(self.secret, room).is_ok_and(|n| n == 32);
        });
        let subject = Subject {
            escrow: self.escrow.to_owned(),
            instance: self.instance.to_owned(),
            tenant: self.tenant.to_owned(),
            needed: self.needed,
            shares: self.shares,
            created: self.created.to_owned(),
        };
        let dealt = Dealt::new(self.share, secret);
        let (commitment, check) = (read(self.commitment)?, read(self.check)?);
        let is_one = (1..=self.shares).contains(&self.share);
        let share = Share { subject, dealt, commitment, check };
        (self.v == VERSION && is_read && is_one).then_some(share)
    }
}

fn read(text: &str) -> Option<[u8; 32]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

fn spelled(secret: &[u8; 32]) -> Zeroizing<String> {
    // Room for all of it at once: a text that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(64));
    BASE64.encode_string(secret, &mut text);
    text
}

/// The text of a file, wiped when it has been written.
fn pretty(text: &impl Serialize, room: usize) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    // Invariant: the texts are made of strings and numbers, which JSON has.
    #[allow(clippy::unwrap_used)]
    serde_json::to_writer_pretty(&mut *bytes, text).unwrap();
    bytes.push(b'\n');
    bytes
}
