//! Rotation: a new version of a ring, in two durable steps.
//!
//! First the key is added, pre-active: everybody who reads the log can open with it, and nobody
//! seals. Then it becomes active. A rotation that was cut short between the two leaves a pre-active
//! key behind, which the next rotation activates instead of making another; so there is never a key
//! that nobody uses, nor one in use that is not stored.

use super::{
    ATTEMPTS, Keys, KeysError,
    entry::Op,
    ring::{Ring, State},
    store::Appended,
};
use crate::base::ident::{ClassId, Kid};

/// A moment in a rotation. Tests cut the process short at each; the command line waits at
/// [`Step::Staged`] for replicas to learn the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing has happened.
    Begun,
    /// The new key is stored, pre-active. No lock is held.
    Staged,
    /// The activation is stored; this process does not seal with it yet.
    Activated,
    /// This process seals with it.
    Published,
}

impl Step {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Begun, Self::Staged, Self::Activated, Self::Published];
}

/// A finished rotation.
#[derive(Clone, Debug)]
pub struct Rotated {
    /// The ring.
    pub ring: Ring,
    /// The version that is active now.
    pub version: u32,
    /// The kid of each class under it.
    pub kids: Vec<(ClassId, Kid)>,
}

impl Keys {
    /// Gives a ring a new active version. Values sealed before still open.
    pub fn rotate(&self, ring: Ring) -> Result<Rotated, KeysError> {
        self.rotate_watched(ring, &|_| ())
    }

    /// The same, telling `watch` of each step.
    pub fn rotate_watched(&self, ring: Ring, watch: &dyn Fn(Step)) -> Result<Rotated, KeysError> {
        match ring {
            Ring::Data => {}
            Ring::Index => return Err(KeysError::IndexRotation),
        }
        watch(Step::Begun);
        let version = self.stage(ring)?;
        watch(Step::Staged);
        self.activate(ring, version, watch)
    }

    /// Stores a new pre-active version, or finds the one that is there.
    fn stage(&self, ring: Ring) -> Result<u32, KeysError> {
        let mut writer = self.writer();
        for _ in 0..ATTEMPTS {
            writer.catch_up()?;
            if let Some(pending) = writer.state.rings()?.version_in(ring, State::PreActive) {
                let number = pending.number;
                self.publish(&writer)?;
                return Ok(number);
            }
            let op = writer.state.new_key(ring, &writer.root)?;
            let _ = writer.commit(vec![op], self.0.clock.as_ref())?;
        }
        Err(KeysError::Contended)
    }

    /// Makes a staged version active, unless somebody else has.
    fn activate(
        &self,
        ring: Ring,
        version: u32,
        watch: &dyn Fn(Step),
    ) -> Result<Rotated, KeysError> {
        let mut writer = self.writer();
        for _ in 0..ATTEMPTS {
            writer.catch_up()?;
            let staged = writer.state.rings()?.versions(ring).iter().find(|v| v.number == version);
            let pending = staged.is_some_and(|staged| staged.state == State::PreActive);
            let op = Op::Activate { ring, version };
            if pending && writer.commit(vec![op], self.0.clock.as_ref())? == Appended::Conflict {
                continue;
            }
            watch(Step::Activated);
            self.publish(&writer)?;
            watch(Step::Published);
            let versions = writer.state.rings()?.versions(ring);
            let kids = versions.iter().find(|v| v.number == version).map(|v| &v.kids);
            let kids = kids.into_iter().flatten().map(|(class, kid)| (class.clone(), *kid));
            return Ok(Rotated { ring, version, kids: kids.collect() });
        }
        Err(KeysError::Contended)
    }
}
