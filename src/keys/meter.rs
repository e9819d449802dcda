//! How many values each version of the data ring has sealed: counted in memory, against blocks that
//! were added to the store's count before.
//!
//! So the store never knows of fewer values than were sealed. A process that dies has counted up to
//! two blocks too many, which brings a rotation forward and harms nothing.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{Inner, Keys, KeysError, life::State, replica::Member, ring::Ring, writer::Writer};

/// Why a value was not counted, and so not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Uncounted {
    /// The version has sealed all that it may.
    Exhausted,
    /// The store has not granted more yet.
    Waiting,
}

/// The count of one version.
pub(super) struct Meter {
    used: AtomicU64,
    granted: AtomicU64,
    /// What had been used when more was last granted.
    mark: AtomicU64,
    is_exhausted: AtomicBool,
}

impl Meter {
    /// Counts one value, before it is sealed.
    pub(super) fn count(&self) -> Result<(), Uncounted> {
        let used = self.used.fetch_add(1, Ordering::Relaxed);
        if used < self.granted.load(Ordering::Acquire) {
            return Ok(());
        }
        self.used.fetch_sub(1, Ordering::Relaxed);
        match self.is_exhausted.load(Ordering::Acquire) {
            true => Err(Uncounted::Exhausted),
            false => Err(Uncounted::Waiting),
        }
    }

    fn left(&self) -> u64 {
        let granted = self.granted.load(Ordering::Acquire);
        granted.saturating_sub(self.used.load(Ordering::Relaxed))
    }
}

/// The counts of all versions that this process has sealed with.
pub(super) struct Meters {
    block: u64,
    hard_stop: u64,
    by_version: Mutex<BTreeMap<u32, Arc<Meter>>>,
}

impl Meters {
    pub(super) fn new(block: u64, hard_stop: u64) -> Self {
        Self { block, hard_stop, by_version: Mutex::default() }
    }

    /// The count of one version.
    pub(super) fn of(&self, version: u32) -> Arc<Meter> {
        let mut meters = self.by_version.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            Arc::new(Meter {
                used: AtomicU64::new(0),
                granted: AtomicU64::new(0),
                mark: AtomicU64::new(0),
                is_exhausted: AtomicBool::new(false),
            })
        };
        meters.entry(version).or_insert_with(new).clone()
    }
}

impl Inner {
    /// Counts ahead for the version that seals, if less than half a block is left.
    pub(super) fn provide(&self, member: &Member, writer: &mut Writer) -> Result<(), KeysError> {
        let Some(active) = writer.state.rings()?.version_in(Ring::Data, State::Active) else {
            return Ok(());
        };
        let version = active.number;
        let (meters, meter) = (&member.meters, member.meters.of(version));
        if meter.left() > meters.block / 2 || meter.is_exhausted.load(Ordering::Acquire) {
            return Ok(());
        }
        let used = meter.used.load(Ordering::Relaxed);
        let since = used.saturating_sub(meter.mark.swap(used, Ordering::Relaxed));
        // Who seals fast is given more at once.
        let block = match since >= meters.block {
            true => since.saturating_mul(4).min(meters.hard_stop),
            false => meters.block,
        };
        let sum = writer.store.lease(Ring::Data, version, block)?;
        let granted = block.saturating_sub(sum.saturating_sub(meters.hard_stop));
        meter.granted.fetch_add(granted, Ordering::AcqRel);
        if granted < block {
            meter.is_exhausted.store(true, Ordering::Release);
        }
        Ok(())
    }
}

impl Keys {
    /// The active version of the data ring, if it has come to a limit of this replica's
    /// [`super::AutoRotate`].
    pub(super) fn worn(&self) -> Result<Option<u32>, KeysError> {
        let Some(member) = self.0.member.get() else { return Ok(None) };
        let Some(limits) = member.settings.auto_rotate else { return Ok(None) };
        let mut writer = self.writer();
        let Some(active) = writer.state.rings()?.version_in(Ring::Data, State::Active) else {
            return Ok(None);
        };
        let version = active.number;
        let age = self.0.clock.wall().saturating_sub(active.activated.unwrap_or(active.created));
        let values = writer.store.leased()?.get(&(Ring::Data, version)).copied().unwrap_or(0);
        // What is counted ahead here has not been sealed yet.
        let values = values.saturating_sub(member.meters.of(version).left());
        Ok((age >= limits.age || values >= limits.values).then_some(version))
    }
}
