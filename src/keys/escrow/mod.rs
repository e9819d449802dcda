//! The root key in escrow: sealed under a key that M of N custodians hold together.
//!
//! # Grammar
//!
//! One **bundle**, which is no secret, and one **share** per custodian, which is: JSON, mode 0600, written once
//! and as a whole. Binary members are base64url without padding.
//!
//! ```json
//! {"v": 1, "escrow": "<32 hex>", "instance": "…", "tenant": "…", "root_name": "<16 hex>",
//!  "needed": 2, "shares": 3, "created": "…", "epoch": 4, "head": "<64 hex>", "digests": ["<64 hex>", …],
//!  "commitment": "…", "root": "…", "canary": "…", "check": "…"}
//! {"v": 1, "escrow": "<32 hex>", "instance": "…", "tenant": "…", "share": 1, "needed": 2, "shares": 3,
//!  "created": "…", "secret": "…", "commitment": "…", "check": "…"}
//! ```
//!
//! - `commitment` is that of the escrow key to escrow, instance, tenant, `needed` and `shares`, in full, the same
//!   in every file.
//! - `digests` has SHA-256("labseal/v1 escrow share" ‖ 00 ‖ escrow ‖ number ‖ secret) of each share in order. A
//!   share is 32 random bytes, so its digest tells nothing of it, and says which one was altered before any
//!   key is joined.
//! - `root` is the root key under the escrow key, `canary` a key that nobody uses under the root key: both as
//!   [`WrappedKey`], which commits to the key above it.
//! - `check` is HMAC-SHA256 under the escrow key over every other member: what the dealer wrote, which can be
//!   told once the key is joined.
//! - `root_name` names the root key in public, so that a later one is noticed without any share.
//!
//! # Why
//! 2026-11: the key that is shared seals the root key and is not the root key itself, so that shares of two
//! escrows of one root key say nothing together, and a bundle that is destroyed ends its shares. The files are
//! plain: a custodian locks one away as he sees fit, on paper if he likes.

mod files;
mod join;
mod restore;

use std::path::PathBuf;

use super::{Keys, KeysError, private::PrivateError, provider::joined, store::StoreError};
use crate::{
    base::{clock::rfc3339, digest::Digest, ident::Tenant},
    crypto::{EscrowKey, NoQuorum, NoRandomness, Quorum, RingKey, RootKey, WrapError, WrappedKey},
};

pub use files::{Bundle, Share};
pub use join::{Joined, Standing, join};
pub use restore::restore;

/// An escrow cannot be made, or does not give the root key back.
#[derive(Debug, thiserror::Error)]
pub enum EscrowError {
    /// The bundle is not the one that was written with these shares.
    #[error("the bundle was altered after it was made; take another copy of it")]
    BundleAltered,
    /// The shares give a key, and not the one that was shared.
    #[error(
        "the shares give another key than the one that was shared: bundle and shares were altered \
         together; take other copies of them"
    )]
    Commitment,
    /// One share twice.
    #[error("share {number} is there twice; each custodian has another one")]
    Duplicate {
        /// Which.
        number: u8,
    },
    /// A file is missing, or is not as private as it must be.
    #[error(transparent)]
    File(#[from] PrivateError),
    /// The keys cannot be had.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Not one of the files that `create` writes.
    #[error(
        "{path} is not {what} of this version of labseal, or is damaged; take another copy of it"
    )]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
    },
    /// M of N makes no sense.
    #[error(transparent)]
    Quorum(#[from] NoQuorum),
    /// No randomness for a new key.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The operating system gives no random bytes.
    #[error("no random bytes from the operating system")]
    NoEntropy(#[source] getrandom::Error),
    /// A share is not as it was dealt.
    #[error(
        "share {number} is not the one that was dealt: its file, or the bundle, was altered; take other \
         copies of them"
    )]
    ShareAltered {
        /// Which.
        number: u8,
    },
    /// A share of another escrow.
    #[error("share {number} belongs to escrow {escrow}, and the bundle is of escrow {bundle}")]
    ShareForeign {
        /// Which.
        number: u8,
        /// Of which escrow.
        escrow: String,
        /// Of which the bundle is.
        bundle: String,
    },
    /// The key store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Not enough shares.
    #[error("{found} of the {needed} shares that are needed are there")]
    TooFew {
        /// How many there are.
        found: usize,
        /// How many it takes.
        needed: u8,
    },
    /// The root key in the bundle, or the canary, does not open.
    #[error("the {what} in the bundle does not open")]
    Wrapped {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: WrapError,
    },
}

/// What an escrow is of, and who holds it together: what its commitment is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Thirty-two hexadecimal digits, made up.
    pub escrow: String,
    /// The key log whose root key it is.
    pub instance: String,
    /// The tenant of that log.
    pub tenant: String,
    /// How many shares it takes.
    pub needed: u8,
    /// How many there are.
    pub shares: u8,
    /// When it was made, for people.
    pub created: String,
}

impl Subject {
    fn committed(&self) -> Vec<u8> {
        let Self { escrow, instance, tenant, needed, shares, created: _ } = self;
        let (needed, shares) = (needed.to_string(), shares.to_string());
        joined(&["labseal/v1 escrow", escrow, instance, tenant, &needed, &shares])
    }

    /// The additional data of a wrapped key in the bundle.
    fn place(&self, what: &str) -> Vec<u8> {
        joined(&["labseal/v1 escrow key", what, &self.escrow, &self.instance, &self.tenant])
    }
}

/// A share's digest, for the bundle.
fn digest(escrow: &str, number: u8, secret: &[u8; 32]) -> Digest {
    Digest::of(&[b"labseal/v1 escrow share\0", escrow.as_bytes(), &[number], secret])
}

impl Keys {
    /// Deals the root key out anew. Nothing is stored here: the files are the custodians' affair.
    pub fn escrow(&self, quorum: Quorum) -> Result<(Bundle, Vec<Share>), EscrowError> {
        let writer = self.writer();
        let rings = writer.state.rings()?;
        let mut escrow = [0; 16];
        getrandom::fill(&mut escrow).map_err(EscrowError::NoEntropy)?;
        let subject = Subject {
            escrow: format!("{:032x}", u128::from_be_bytes(escrow)),
            instance: rings.instance().to_owned(),
            tenant: rings.tenant().as_str().to_owned(),
            needed: quorum.needed(),
            shares: quorum.all(),
            created: rfc3339(self.0.clock.wall()),
        };
        let log = writer.state.log();
        let last = (log.next().saturating_sub(1), log.head());
        deal(&subject, quorum, &writer.root, last)
    }

    /// Whether an escrow is of the root key that is in force.
    pub fn escrowed(&self, bundle: &Bundle) -> Result<Standing, KeysError> {
        let writer = self.writer();
        let rings = writer.state.rings()?;
        let subject = bundle.subject();
        let is_ours = subject.instance == rings.instance()
            && Tenant::new(&*subject.tenant) == *rings.tenant();
        Ok(match (is_ours, writer.root.name() == bundle.root_name()) {
            (false, _) => Standing::Foreign,
            (true, false) => Standing::Stale,
            (true, true) => Standing::Current,
        })
    }
}

/// Splits a fresh escrow key and seals the root key under it.
fn deal(
    subject: &Subject,
    quorum: Quorum,
    root: &RootKey,
    last: (u64, Digest),
) -> Result<(Bundle, Vec<Share>), EscrowError> {
    let key = EscrowKey::generate()?;
    let wrapped = |what: &'static str, wrap: &dyn Fn(&[u8]) -> Result<WrappedKey, WrapError>| {
        wrap(&subject.place(what)).map_err(|source| EscrowError::Wrapped { what, source })
    };
    let sealed = wrapped(ROOT, &|place| key.wrap(root, place))?;
    let unused = RingKey::generate()?;
    let canary = wrapped(CANARY, &|place| root.wrap(&unused, place))?;
    let commitment = key.commitment(&subject.committed());
    let dealt = key.split(quorum);
    let digests =
        dealt.iter().map(|share| digest(&subject.escrow, share.number(), share.secret().expose()));
    let bundle = Bundle {
        subject: subject.clone(),
        root_name: root.name(),
        last,
        digests: digests.collect(),
        commitment,
        root: sealed,
        canary,
        check: [0; 32],
    };
    let bundle = Bundle { check: key.check(&bundle.checked()), ..bundle };
    let shares = dealt.into_iter().map(|dealt| {
        let share = Share { subject: subject.clone(), dealt, commitment, check: [0; 32] };
        Share { check: key.check(&share.checked()), ..share }
    });
    Ok((bundle, shares.collect()))
}

/// The names of what a bundle holds.
const ROOT: &str = "root key";
const CANARY: &str = "canary";
