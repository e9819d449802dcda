//! From shares back to the root key, in memory alone, with everything compared on the way.

use super::{Bundle, CANARY, EscrowError, ROOT, Share, digest};
use crate::{
    crypto::{EscrowKey, RootKey},
    keys::entry::Record,
};

/// What an escrow is to a key log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its root key is the one in force.
    Current,
    /// Its root key has nothing to do with the log.
    Foreign,
    /// Its root key was replaced: the escrow must be made anew.
    Stale,
}

impl Standing {
    /// The word for records and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Foreign => "foreign",
            Self::Stale => "stale",
        }
    }
}

/// A root key that came back from its shares.
pub struct Joined {
    root: RootKey,
}

impl Joined {
    /// The root key.
    pub fn root(&self) -> &RootKey {
        &self.root
    }

    /// Compares it with the entries of a key log, which are authenticated under the root key that was in
    /// force when they were written.
    pub fn standing(&self, records: &[Record]) -> Standing {
        let is_ours = |record: &Record| self.root.verify_mac(&record.body, &record.mac).is_ok();
        match records.last() {
            Some(last) if is_ours(last) => Standing::Current,
            Some(_) if records.iter().any(is_ours) => Standing::Stale,
            Some(_) | None => Standing::Foreign,
        }
    }
}

/// Joins shares. Each must be of this bundle and as it was dealt, even where others would do.
pub fn join(bundle: &Bundle, shares: Vec<Share>) -> Result<Joined, EscrowError> {
    let subject = &bundle.subject;
    for (at, share) in shares.iter().enumerate() {
        let number = share.number();
        if share.subject.escrow != subject.escrow {
            let (escrow, bundle) = (share.subject.escrow.clone(), subject.escrow.clone());
            return Err(EscrowError::ShareForeign { number, escrow, bundle });
        }
        if shares.iter().take(at).any(|other| other.number() == number) {
            return Err(EscrowError::Duplicate { number });
        }
        let found = digest(&subject.escrow, number, share.dealt.secret().expose());
        let expected = bundle.digests.get(usize::from(number).saturating_sub(1));
        let is_dealt = expected == Some(&found) && share.commitment == bundle.commitment;
        if !is_dealt || share.subject != *subject {
            return Err(EscrowError::ShareAltered { number });
        }
    }
    if shares.len() < usize::from(subject.needed) {
        return Err(EscrowError::TooFew { found: shares.len(), needed: subject.needed });
    }
    let (checks, dealt): (Vec<_>, Vec<_>) = shares
        .into_iter()
        .map(|share| ((share.number(), share.checked(), share.check), share.dealt))
        .unzip();
    let key = EscrowKey::join(&dealt).ok_or(EscrowError::Commitment)?;
    key.verify_commitment(&subject.committed(), &bundle.commitment)
        .map_err(|_| EscrowError::Commitment)?;
    key.verify_check(&bundle.checked(), &bundle.check).map_err(|_| EscrowError::BundleAltered)?;
    for (number, checked, check) in checks {
        key.verify_check(&checked, &check).map_err(|_| EscrowError::ShareAltered { number })?;
    }
    let wrapped = |what| move |source| EscrowError::Wrapped { what, source };
    let root = key.unwrap(&bundle.root, &subject.place(ROOT)).map_err(wrapped(ROOT))?;
    root.unwrap(&bundle.canary, &subject.place(CANARY)).map_err(wrapped(CANARY))?;
    Ok(Joined { root })
}
