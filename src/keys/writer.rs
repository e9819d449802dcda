//! What reads and extends the log: one at a time in a process; other processes are kept apart by
//! the store.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    ATTEMPTS, KeysError,
    entry::{Entry, Op, Record},
    log::LogError,
    mark::{Mark, MarkError},
    params::{Registered, Span},
    provider::{Place, Provider},
    ring::Ring,
    slot::Slot,
    state::{Draft, State},
    store::{Appended, Store},
};
use crate::{
    base::{class::ClassParams, clock::Clock, ident::Tenant},
    crypto::{RootKey, WrappedKey},
};

/// How many changes are remembered for whoever notes them. More come only while nobody does.
const REMEMBERED: usize = 1_000;

/// An operation that the log has been seen to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Its entry.
    pub epoch: u64,
    /// The word of the log.
    pub op: &'static str,
    /// The version that it was about.
    pub version: Option<(Ring, u32)>,
}

pub(super) struct Writer {
    pub(super) store: Box<dyn Store>,
    pub(super) root: Arc<RootKey>,
    /// The one before, while replicas may still go by it, and the entry that replaced it.
    pub(super) before: Option<(Arc<RootKey>, u64)>,
    pub(super) state: State,
    pub(super) material: BTreeMap<String, Vec<u8>>,
    pub(super) mark: Mark,
    pub(super) done: Vec<Done>,
}

impl Writer {
    /// Reads a whole store.
    pub(super) fn open(
        mut store: Box<dyn Store>,
        provider: &dyn Provider,
        tenant: &Tenant,
        mut mark: Mark,
    ) -> Result<Self, KeysError> {
        let Loaded { records, material } = load(&mut *store, 0)?;
        if records.is_empty() {
            return Err(LogError::Empty.into());
        }
        let (root, generation) = root(provider, tenant, &records, &material)?;
        let (state, _) = State::new(tenant.clone()).follow(&records, &material, &root)?;
        if state.rings()?.root().generation != generation {
            return Err(KeysError::Missing { name: format!("root/{generation}") });
        }
        for record in &records {
            mark.agrees(record.epoch, record.hash())?;
        }
        mark.reached(state.log().next())?;
        mark.raise(state.log().next() - 1, state.log().head())?;
        let root = Arc::new(root);
        Ok(Self { store, root, before: None, state, material, mark, done: Vec::new() })
    }

    /// Reads what the store has more. Refuses a store that has less, or something else.
    pub(super) fn catch_up(&mut self) -> Result<bool, KeysError> {
        let log = self.state.log();
        let seen = log.next().saturating_sub(1);
        let last = self.store.load(seen)?;
        match last.first() {
            Some(last) if last.epoch == seen && last.hash() == log.head() => {}
            Some(last) if last.epoch == seen => {
                return Err(MarkError::Forked { epoch: seen }.into());
            }
            _ => return Err(MarkError::RolledBack { seen }.into()),
        }
        if last.len() == 1 {
            return Ok(false);
        }
        let Loaded { records: added, material } = load(&mut *self.store, seen + 1)?;
        let next_root = self.next_root(&added, &material)?;
        let root = next_root.as_ref().unwrap_or(&self.root);
        let (next, done) = self.state.follow(&added, &material, root)?;
        if let Some(root) = next_root {
            self.replace_root(Arc::new(root), &next)?;
        }
        self.material = material;
        self.advance(next, &done)?;
        Ok(true)
    }

    /// The root key after `added`, if it is another one.
    fn next_root(
        &self,
        added: &[Record],
        material: &BTreeMap<String, Vec<u8>>,
    ) -> Result<Option<RootKey>, KeysError> {
        let mut current: Option<RootKey> = None;
        for record in added {
            let Ok((Entry { op: Op::Root { generation, .. }, .. }, _)) = Entry::parse(&record.body)
            else {
                continue;
            };
            let lost = || KeysError::Handover { generation };
            let place = self.place(generation)?;
            let wrapped = material.get(&handover(generation)).ok_or_else(lost)?;
            let wrapped = WrappedKey::from_bytes(wrapped).map_err(|_| lost())?;
            let before = current.as_ref().unwrap_or(&*self.root);
            current = Some(before.unwrap_next(&wrapped, &place.handover()).map_err(|_| lost())?);
        }
        Ok(current)
    }

    /// Adds a draft to the store, if nobody else added something, after checking that it can be
    /// read back.
    pub(super) fn commit(
        &mut self,
        draft: Draft,
        clock: &dyn Clock,
    ) -> Result<Appended, KeysError> {
        let (records, next) =
            self.state.prepare(&draft, clock.wall(), &self.material, &self.root)?;
        let appended = self.store.append(&records, &draft.change)?;
        if appended == Appended::Done {
            draft.change.apply(&mut self.material);
            if let Some(root) = draft.root {
                self.replace_root(root, &next)?;
            }
            self.advance(next, &draft.ops)?;
        }
        Ok(appended)
    }

    fn replace_root(&mut self, root: Arc<RootKey>, next: &State) -> Result<(), KeysError> {
        let before = std::mem::replace(&mut self.root, root);
        self.before = next.rings()?.root().handover.map(|epoch| (before, epoch));
        Ok(())
    }

    fn advance(&mut self, next: State, done: &[Op]) -> Result<(), KeysError> {
        for (epoch, op) in (self.state.log().next()..).zip(done) {
            self.done.push(Done { epoch, op: op.as_str(), version: op.version() });
        }
        let forgotten = self.done.len().saturating_sub(REMEMBERED);
        self.done.drain(..forgotten);
        self.state = next;
        if self.state.rings()?.root().handover.is_none() {
            self.before = None;
        }
        let log = self.state.log();
        self.mark.raise(log.next().saturating_sub(1), log.head())?;
        Ok(())
    }

    /// The place of a root key of this log.
    pub(super) fn place(&self, generation: u32) -> Result<Place, KeysError> {
        let rings = self.state.rings()?;
        let (tenant, instance) = (rings.tenant().clone(), rings.instance().to_owned());
        Ok(Place { tenant, instance, generation })
    }

    /// What registers the classes that are new. Refuses one that was registered otherwise.
    pub(super) fn registrations(&self, classes: &[ClassParams]) -> Result<Vec<Op>, KeysError> {
        let rings = self.state.rings()?;
        let mut ops = Vec::new();
        for params in classes {
            let policy = Registered::new(params);
            match rings.classes().get(&params.id) {
                // Fewer years than before are no change: what is stored may be of any of them.
                Some(class) if class.registered.within(params.years) == policy => {
                    let years = class.params.years.with(params.years);
                    if years != class.params.years {
                        let class = params.id.as_str().to_owned();
                        ops.push(Op::Widen { class, years: Span::new(years) });
                    }
                }
                Some(class) => {
                    return Err(KeysError::ClassDiffers {
                        class: params.id.clone(),
                        registered: Box::new(class.registered.clone()),
                        policy: Box::new(policy),
                    });
                }
                None => ops.push(self.state.new_class(params)?),
            }
        }
        Ok(ops)
    }
}

/// The name of the material that leads to a root key from the one before.
pub(super) fn handover(generation: u32) -> String {
    format!("handover/{generation}")
}

struct Loaded {
    records: Vec<Record>,
    material: BTreeMap<String, Vec<u8>>,
}

/// Records from an epoch on, with the material that belongs to the last of them.
fn load(store: &mut dyn Store, epoch: u64) -> Result<Loaded, KeysError> {
    for _ in 0..ATTEMPTS {
        let records = store.load(epoch)?;
        let material = store.material()?;
        // Material changes only with a record: if there is none since, this is what it belongs to.
        let next = records.last().map_or(epoch, |last| last.epoch.saturating_add(1));
        if store.load(next)?.is_empty() {
            return Ok(Loaded { records, material });
        }
    }
    Err(KeysError::Contended)
}

/// The newest root key, and its generation. Nothing here is believed before the log has been read
/// with it.
fn root(
    provider: &dyn Provider,
    tenant: &Tenant,
    records: &[Record],
    material: &BTreeMap<String, Vec<u8>>,
) -> Result<(RootKey, u32), KeysError> {
    let generation_of = |name: &String| name.strip_prefix("root/")?.split('/').next()?.parse().ok();
    let Some(generation) = material.keys().filter_map(generation_of).max() else {
        let legacy = provider.legacy_root()?;
        return Ok((legacy.ok_or(KeysError::NoRoot { kind: provider.kind() })?, 1));
    };
    // Another tenant than the configured one is named when the log is read.
    let first = records.first().and_then(|first| Entry::parse(&first.body).ok());
    let (tenant, instance) = match first {
        Some((Entry { op: Op::Genesis { tenant, instance }, .. }, _)) => {
            (Tenant::new(tenant), instance)
        }
        _ => (tenant.clone(), String::new()),
    };
    let place = Place { tenant, instance, generation };
    let mut found = Vec::new();
    for (_, text) in material.iter().filter(|(name, _)| generation_of(name) == Some(generation)) {
        let slot = Slot::parse(text)?;
        if slot.is_of(provider)? {
            return Ok((slot.unwrap(provider, &place)?, generation));
        }
        found.push(format!("{} key {}", slot.kind(), slot.key()));
    }
    Err(KeysError::NoSlot { kind: provider.kind(), key: provider.key()?, found })
}
