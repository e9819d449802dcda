//! Under which key versions a stored text was sealed, and whether these are the active ones. Nothing
//! is opened.

use super::Snapshot;
use crate::{
    base::ident::Kid,
    crypto::{Parity, envelope},
    keys::Ring,
};

/// The key versions that an envelope was made under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Under {
    /// The ring of its body.
    pub ring: Ring,
    /// The version of that ring.
    pub version: u32,
    /// Names that version and the class.
    pub kid: Kid,
    /// Mode s: the version of the index ring that made its tokens; 0 if there is none any more.
    pub tokens: Option<u32>,
}

impl Snapshot {
    /// Which key versions a whole text was sealed under. `None`: it is not an envelope, or not under
    /// a key of ours.
    pub fn under(&self, text: &[u8]) -> Option<Under> {
        if !envelope::could_be(text) {
            return None;
        }
        let parsed = envelope::parse(text).ok()?;
        let kid = parsed.kid();
        let known = self.kids.get(&kid)?;
        let parity = parsed.flags().index_parity();
        let tokens = (parsed.rungs() > 0).then(|| self.index_version(parity));
        Some(Under { ring: known.ring, version: known.version, kid, tokens })
    }

    /// Whether these are the versions that a new value would be sealed under.
    pub fn is_current(&self, under: &Under) -> bool {
        let sealing = self.class_of(under.kid).and_then(|class| self.classes.get(class));
        let active = sealing.and_then(|sealing| sealing.active.as_ref());
        active.is_some_and(|key| key.kid() == under.kid)
            && under.tokens.is_none_or(|tokens| self.index.1 == Some(tokens))
    }

    /// Of two live versions, which one has this parity.
    fn index_version(&self, parity: Parity) -> u32 {
        let of_parity = |number: &&u32| Parity::of(**number) == parity;
        self.index.0.iter().rev().find(of_parity).copied().unwrap_or(0)
    }
}
