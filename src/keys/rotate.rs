//! Rotation: a new version of a ring, in two durable steps.
//!
//! First the key is added, pre-active: everybody who reads the log can open with it, and nobody
//! seals. When every live replica has acknowledged it, it becomes active. A rotation that was cut short between the two leaves a pre-active
//! key behind, which the next rotation activates instead of making another; so there is never a key
//! that nobody uses, nor one in use that is not stored.

use std::time::Duration;

use super::{ATTEMPTS, Keys, KeysError, entry::Op, life::State, ring::Ring, store::Appended};
use crate::base::ident::{ClassId, Kid};

/// How long a rotation waits for the live replicas, where nobody says otherwise.
pub const WAIT: Duration = Duration::from_secs(30);

/// A moment in a rotation. Tests cut the process short at each.
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
    /// The entry that activated it, or found it active.
    pub epoch: u64,
    /// Whether every live replica seals with it by now.
    pub in_use: bool,
}

impl Keys {
    /// Gives a ring a new active version. Values sealed before still open.
    pub fn rotate(&self, ring: Ring) -> Result<Rotated, KeysError> {
        self.rotate_watched(ring, WAIT, &|_| ())
    }

    /// The same, waiting no longer than `wait` and telling `watch` of each step.
    pub fn rotate_watched(
        &self,
        ring: Ring,
        wait: Duration,
        watch: &dyn Fn(Step),
    ) -> Result<Rotated, KeysError> {
        match ring {
            Ring::Data => {}
            Ring::Index => return Err(KeysError::IndexRotation),
        }
        watch(Step::Begun);
        let staged = self.stage(ring, None)?;
        // Invariant: without a condition there always is a version.
        let Some((version, epoch)) = staged else { return Err(KeysError::Contended) };
        watch(Step::Staged);
        self.acknowledged(epoch, wait)?;
        self.activate(ring, version, wait, watch)
    }

    /// Rotates the data ring if its active version has come to the limits of [`super::AutoRotate`]. However
    /// many replicas find that at once, one version comes of it.
    pub fn auto_rotate(&self, wait: Duration) -> Result<Option<Rotated>, KeysError> {
        let Some(worn) = self.worn()? else { return Ok(None) };
        let Some((version, epoch)) = self.stage(Ring::Data, Some(worn))? else { return Ok(None) };
        self.acknowledged(epoch, wait)?;
        self.activate(Ring::Data, version, wait, &|_| ()).map(Some)
    }

    /// Stores a new pre-active version, or finds the one that is there. None if the active version
    /// is not, or no longer, the one that is to be replaced.
    fn stage(&self, ring: Ring, replaces: Option<u32>) -> Result<Option<(u32, u64)>, KeysError> {
        let mut writer = self.writer();
        for _ in 0..ATTEMPTS {
            writer.catch_up()?;
            let rings = writer.state.rings()?;
            let active = rings.version_in(ring, State::Active).map(|version| version.number);
            if replaces.is_some() && replaces != active {
                self.0.publish(&mut writer)?;
                return Ok(None);
            }
            if let Some(pending) = rings.version_in(ring, State::PreActive) {
                let staged = (pending.number, pending.entry);
                self.0.publish(&mut writer)?;
                return Ok(Some(staged));
            }
            let draft = writer.state.new_key(ring, &writer.root)?;
            let _ = writer.commit(draft, self.0.clock.as_ref())?;
        }
        Err(KeysError::Contended)
    }

    /// Makes a staged version active, unless somebody else has. It is active whether or not all
    /// replicas say in time that they seal with it: that they open with it, they have said before.
    fn activate(
        &self,
        ring: Ring,
        version: u32,
        wait: Duration,
        watch: &dyn Fn(Step),
    ) -> Result<Rotated, KeysError> {
        let mut writer = self.writer();
        for _ in 0..ATTEMPTS {
            writer.catch_up()?;
            let staged = writer.state.rings()?.version(ring, version);
            let pending = staged.is_some_and(|staged| staged.state() == State::PreActive);
            let op = Op::Activate { ring, version };
            if pending && writer.commit(op.into(), self.0.clock.as_ref())? == Appended::Conflict {
                continue;
            }
            watch(Step::Activated);
            self.0.publish(&mut writer)?;
            watch(Step::Published);
            let kids = writer.state.rings()?.version(ring, version).map(|version| &version.kids);
            let kids = kids.into_iter().flatten().map(|(class, kid)| (class.clone(), *kid));
            let kids = kids.collect();
            let epoch = writer.state.log().next().saturating_sub(1);
            drop(writer);
            let in_use = self.acknowledged(epoch, wait).is_ok();
            return Ok(Rotated { ring, version, kids, epoch, in_use });
        }
        Err(KeysError::Contended)
    }
}
