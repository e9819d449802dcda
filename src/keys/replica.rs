//! Replicas: the processes that seal, what each says of itself in the store, and when it is to be
//! believed gone.
//!
//! A replica's row is JSON, with HMAC-SHA256 of it under a key derived from the root key:
//!
//! ```json
//! {"v": 1, "id": "<32 hex>", "name": "lims-1", "epoch": 12, "version": "0.1.0", "lease_ms": 10000}
//! ```
//!
//! `epoch` is the last entry of the key log that it seals and opens by. A replica is *live* while its row
//! is younger than its lease and a tenth, by the store's clock. It counts from before it sent the row, and by its
//! own clocks: so it stops sealing before anybody believes it gone, and nobody waits for one that is.
//!
//! # Why
//!
//! 2026-11: the lease stands in the row, since it is the replica's own promise when it will stop: two
//! replicas may be configured differently. Both clocks of the replica are asked and the later one
//! counts, since a machine that was suspended has a monotonic clock that did not notice. A row that cannot be
//! believed counts as a live replica that has acknowledged nothing: whoever can write rows can hold up a
//! rotation, which is noticed, but not hurry one.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    Inner, Keys, KeysError,
    meter::Meters,
    store::{Row, Seen},
    writer::Writer,
};
use crate::{base::clock::Clock, crypto::RootKey};

const VERSION: u8 = 1;

/// How often a replica says that it is there.
const BEAT: Duration = Duration::from_secs(1);

/// How often the rows are looked at while somebody waits for them.
const LOOK: Duration = Duration::from_millis(50);

/// How long the judgement stands that nobody knows a key.
const JUDGED: Duration = Duration::from_secs(1);

/// How long the row of one that died is kept, for people to see.
const FORGOTTEN: Duration = Duration::from_secs(7 * 86_400);

/// A lease that a row which cannot be believed is given at most.
const UNBELIEVED: Duration = Duration::from_secs(60);

/// What makes a process a replica. Every process that seals has to be one.
#[derive(Clone, Debug)]
pub struct Membership {
    /// For people.
    pub name: String,
    /// For how long after a sign of life the replica seals, and the others wait for it.
    pub lease: Duration,
    /// For how long after a sign of life the replica opens.
    pub grace: Duration,
    /// When the data ring rotates by itself.
    pub auto_rotate: Option<AutoRotate>,
    /// How many values are counted ahead at least.
    pub block: u64,
    /// How many values one version seals at most.
    pub hard_stop: u64,
}

/// When the data ring rotates by itself: what comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoRotate {
    /// Since its version became active.
    pub age: Duration,
    /// That its version has sealed.
    pub values: u64,
}

impl Default for AutoRotate {
    fn default() -> Self {
        Self { age: Duration::from_secs(365 * 86_400), values: 1 << 32 }
    }
}

impl Membership {
    /// A replica with the limits that nobody has to think about.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            lease: Duration::from_secs(10),
            grace: Duration::from_secs(86_400),
            auto_rotate: Some(AutoRotate::default()),
            block: 1 << 22,
            hard_stop: 1 << 40,
        }
    }
}

/// How far a process may rely on its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// The grace is over: it neither seals nor opens.
    Expired,
    /// Others wait for it: it seals and opens.
    Fresh,
    /// Others may have gone on without it: it opens.
    Stale,
}

/// What a process knows of its own life as a replica.
pub(super) struct Member {
    id: String,
    pub(super) settings: Membership,
    pub(super) clock: Arc<dyn Clock>,
    born: Instant,
    /// When the last row that arrived was about to be sent: nanoseconds since `born`, and
    /// milliseconds since 1970.
    sent: (AtomicU64, AtomicU64),
    /// The version of the data ring that seals in the newest snapshot.
    pub(super) sealing: AtomicU32,
    /// It has ended its life as a replica.
    left: AtomicBool,
    /// When a key that nobody knew was last looked for.
    looked: Mutex<Option<Instant>>,
    pub(super) meters: Meters,
}

impl Member {
    fn new(settings: Membership, clock: Arc<dyn Clock>) -> Result<Self, KeysError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(KeysError::NoEntropy)?;
        Ok(Self {
            id: format!("{:032x}", u128::from_be_bytes(id)),
            born: clock.instant(),
            clock,
            sent: (AtomicU64::new(0), AtomicU64::new(0)),
            sealing: AtomicU32::new(0),
            left: AtomicBool::new(false),
            looked: Mutex::new(None),
            meters: Meters::new(settings.block, settings.hard_stop),
            settings,
        })
    }

    /// How long ago the last sign of life that arrived was sent.
    fn silence(&self) -> Duration {
        let (instant, wall) = (&self.sent.0, &self.sent.1);
        let sent = Duration::from_nanos(instant.load(Ordering::Acquire));
        let by_instant = (self.clock.instant() - self.born).saturating_sub(sent);
        let sent = Duration::from_millis(wall.load(Ordering::Acquire));
        by_instant.max(self.clock.wall().saturating_sub(sent))
    }

    pub(super) fn freshness(&self) -> Freshness {
        if self.left.load(Ordering::Acquire) {
            return Freshness::Expired;
        }
        let silence = self.silence();
        if silence <= self.settings.lease {
            Freshness::Fresh
        } else if silence <= self.settings.grace {
            Freshness::Stale
        } else {
            Freshness::Expired
        }
    }

    fn confirm(&self, (instant, wall): (Instant, Duration)) {
        let instant = u64::try_from((instant - self.born).as_nanos()).unwrap_or(u64::MAX);
        self.sent.0.fetch_max(instant, Ordering::AcqRel);
        // Not the later one: a clock that was set back has to be believed some day.
        self.sent.1.store(u64::try_from(wall.as_millis()).unwrap_or(0), Ordering::Release);
    }

    /// Whether a key that nobody knew may be looked for once more.
    pub(super) fn may_look(&self) -> bool {
        let now = self.clock.instant();
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let may = looked.is_none_or(|last| now - last >= JUDGED);
        if may {
            *looked = Some(now);
        }
        may
    }

    fn row(&self, epoch: u64, root: &RootKey) -> Row {
        let text = Text {
            v: VERSION,
            id: self.id.clone(),
            name: self.settings.name.clone(),
            epoch,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            lease_ms: u64::try_from(self.settings.lease.as_millis()).unwrap_or(u64::MAX),
        };
        // Invariant: a row is made of strings and numbers, which JSON has.
        #[allow(clippy::unwrap_used)]
        let body = serde_json::to_vec(&text).unwrap();
        let mac = root.replica_mac(&body);
        Row { id: self.id.clone(), body, mac }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    v: u8,
    id: String,
    name: String,
    epoch: u64,
    version: String,
    lease_ms: u64,
}

/// A replica, as the others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// New with each process.
    pub id: String,
    /// For people. Empty if the row cannot be believed.
    pub name: String,
    /// The last entry of the key log that it goes by. None: the row cannot be believed.
    pub epoch: Option<u64>,
    /// Of labseal.
    pub version: String,
    /// Since its last sign of life.
    pub age: Duration,
    /// For how long it is believed live.
    pub lease: Duration,
}

impl Replica {
    fn judge(seen: &Seen, writer: &Writer) -> Self {
        let Seen { row, age } = seen;
        let parsed = serde_json::from_slice::<Text>(&row.body);
        let under = |root: &RootKey| root.verify_replica_mac(&row.body, &row.mac).is_ok();
        // Under the root key before, a replica can have no entry from that one on.
        let latest = match &writer.before {
            _ if under(&writer.root) => Some(u64::MAX),
            Some((before, replaced)) if under(before) => Some(replaced.saturating_sub(1)),
            Some(_) | None => None,
        };
        let lease = |text: &Text| Duration::from_millis(text.lease_ms);
        match (parsed, latest) {
            (Ok(text), Some(latest)) if text.v == VERSION && text.id == row.id => Self {
                id: row.id.clone(),
                lease: lease(&text),
                name: text.name,
                epoch: Some(text.epoch.min(latest)),
                version: text.version,
                age: *age,
            },
            (unbelieved, _) => Self {
                id: row.id.clone(),
                lease: unbelieved.map_or(UNBELIEVED, |text| lease(&text).min(UNBELIEVED)),
                name: String::new(),
                epoch: None,
                version: String::new(),
                age: *age,
            },
        }
    }

    /// Whether it may still be sealing.
    pub fn is_live(&self) -> bool {
        self.age <= self.lease.saturating_add(self.lease / 10)
    }

    /// Whether it goes by this entry of the key log.
    pub fn has(&self, epoch: u64) -> bool {
        self.epoch.is_some_and(|known| known >= epoch)
    }
}

impl fmt::Display for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id.get(..8).unwrap_or(&self.id);
        match self.epoch {
            Some(epoch) => write!(
                f,
                "{} ({id}, at entry {epoch}, last seen {} s ago)",
                self.name,
                self.age.as_secs()
            ),
            None => write!(f, "{id} (its row is not under this root key)"),
        }
    }
}

impl Keys {
    /// Makes this process a replica, before it seals.
    pub fn join(&self, settings: Membership) -> Result<(), KeysError> {
        let member = Arc::new(Member::new(settings, self.0.clock.clone())?);
        let _ = self.0.member.set(member);
        let mut writer = self.writer();
        writer.catch_up()?;
        for seen in writer.store.replicas()?.iter().filter(|seen| seen.age > FORGOTTEN) {
            writer.store.forget(&seen.row.id)?;
        }
        self.0.publish(&mut writer)
    }

    /// Ends the life as a replica, after the last value was sealed: nobody waits for it any more, and
    /// it neither seals nor opens.
    pub fn leave(&self) -> Result<(), KeysError> {
        let Some(member) = self.0.member.get() else { return Ok(()) };
        member.left.store(true, Ordering::Release);
        Ok(self.writer().store.forget(&member.id)?)
    }

    /// What a replica does several times a second: reads what is new, says that it is there, and
    /// counts ahead. Whether there was anything new.
    pub fn tick(&self) -> Result<bool, KeysError> {
        // Who cannot follow the log says nothing: the others would take it for an acknowledgement.
        let grown = self.refresh()?;
        if let Some(member) = self.0.member.get() {
            let mut writer = self.writer();
            if member.silence() >= BEAT {
                self.0.beat(member, &mut writer)?;
            }
            self.0.provide(member, &mut writer)?;
        }
        Ok(grown)
    }

    /// How far this process may rely on its keys. One that is no replica always may.
    pub fn freshness(&self) -> Freshness {
        self.0.member.get().map_or(Freshness::Fresh, |member| member.freshness())
    }

    /// All replicas that have left a row.
    pub fn replicas(&self) -> Result<Vec<Replica>, KeysError> {
        let mut writer = self.writer();
        let seen = writer.store.replicas()?;
        Ok(seen.iter().map(|seen| Replica::judge(seen, &writer)).collect())
    }

    /// Waits until every live replica goes by this entry of the key log.
    pub fn acknowledged(&self, epoch: u64, wait: Duration) -> Result<(), KeysError> {
        let begun = self.0.clock.instant();
        loop {
            if let Some(member) = self.0.member.get()
                && member.silence() >= BEAT
            {
                self.0.beat(member, &mut self.writer())?;
            }
            let mut behind = self.replicas()?;
            behind.retain(|replica| replica.is_live() && !replica.has(epoch));
            if behind.is_empty() {
                return Ok(());
            }
            if self.0.clock.instant() - begun >= wait {
                return Err(KeysError::Unacknowledged { epoch, replicas: behind, wait });
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Inner {
    /// Says that this process is there, and by which entry it goes.
    pub(super) fn beat(&self, member: &Member, writer: &mut Writer) -> Result<(), KeysError> {
        if member.left.load(Ordering::Acquire) {
            // A last round that was under way would bring the row back.
            return Ok(());
        }
        let sent = (self.clock.instant(), self.clock.wall());
        let row = member.row(self.snapshot.load().epoch(), &writer.root);
        writer.store.beat(&row)?;
        member.confirm(sent);
        Ok(())
    }
}
