//! The key log together with the keys it holds: reading forward, and preparing what comes next.
//!
//! Each key is unwrapped once, when its entry is read, and the kids in the log are compared with
//! those that the key gives, so a wrapped key that was put in another's place is refused even by
//! somebody who had the root key when it was put there. What this process wants to add goes through
//! the same reading *before* it is stored: nothing is committed that could not be read back.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{
    KeysError,
    entry::{KidText, Op, Record},
    log::Log,
    params::{self, Registered},
    ring::{Ring, Rings},
};
use crate::{
    base::{
        class::{ClassParams, Mode},
        ident::{ClassId, Kid, Tenant},
    },
    crypto::{DataClassKey, IndexClassKey, RingKey, RootKey, WrappedKey},
};

/// A class key as its mode needs it, with the cipher's state in it.
#[derive(Clone)]
pub enum ClassKey {
    /// Modes r and s.
    Data(Arc<DataClassKey>),
    /// Mode d.
    Index(Arc<IndexClassKey>),
}

impl ClassKey {
    /// The kid in its envelopes.
    pub fn kid(&self) -> Kid {
        match self {
            Self::Data(key) => key.kid(),
            Self::Index(key) => key.kid(),
        }
    }
}

/// The log read so far and every key in it.
#[derive(Clone)]
pub struct State {
    log: Log,
    rings: BTreeMap<(Ring, u32), Arc<RingKey>>,
    sealing: HashMap<(u32, ClassId), ClassKey>,
    tokens: HashMap<(u32, ClassId), Arc<IndexClassKey>>,
}

impl State {
    /// Before the first entry.
    pub fn new(tenant: Tenant) -> Self {
        Self {
            log: Log::new(tenant),
            rings: BTreeMap::new(),
            sealing: HashMap::new(),
            tokens: HashMap::new(),
        }
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The rings and the register.
    pub fn rings(&self) -> Result<&Rings, KeysError> {
        Ok(self.log.rings()?)
    }

    /// The key that seals values of a class, and opens them, under a version of its ring.
    pub fn class_key(&self, version: u32, class: &ClassId) -> Option<&ClassKey> {
        self.sealing.get(&(version, class.clone()))
    }

    /// The key of a searchable class's tokens under a version of the index ring.
    pub fn token_key(&self, version: u32, class: &ClassId) -> Option<&Arc<IndexClassKey>> {
        self.tokens.get(&(version, class.clone()))
    }

    /// Reads one record. After an error the state must not be used.
    pub fn read(&mut self, record: &Record, root: &RootKey) -> Result<(), KeysError> {
        match self.log.read(record, root)? {
            Op::Activate { .. } | Op::Genesis { .. } => Ok(()),
            Op::Class { class, kids } => {
                let rings = self.log.rings()?;
                let Some(class) = rings.classes().get(&class.id()) else { return Ok(()) };
                let class = class.params.clone();
                self.derive(&[class], |_, version| kids.get(&version).copied(), record.epoch)
            }
            Op::Key { ring, version, wrapped, kids } => {
                let rings = self.log.rings()?;
                let place = place(rings, ring, version);
                let key = WrappedKey::from_bytes(&wrapped)
                    .and_then(|wrapped| root.unwrap(&wrapped, &place))
                    .map_err(|source| KeysError::Wrapped { ring, version, source })?;
                self.rings.insert((ring, version), Arc::new(key));
                let classes: Vec<ClassParams> =
                    rings.classes().values().map(|class| class.params.clone()).collect();
                let expected = |class: &ClassId, number: u32| match number == version {
                    true => kids.get(class.as_str()).copied(),
                    false => None,
                };
                self.derive(&classes, expected, record.epoch)
            }
        }
    }

    /// Reads everything that `records` add, or nothing.
    pub fn follow(&self, records: &[Record], root: &RootKey) -> Result<Self, KeysError> {
        let mut next = self.clone();
        for record in records {
            next.read(record, root)?;
        }
        Ok(next)
    }

    /// The records that carry out `ops` next, and the state after them.
    pub fn prepare(
        &self,
        ops: Vec<Op>,
        time: Duration,
        root: &RootKey,
    ) -> Result<(Vec<Record>, Self), KeysError> {
        let mut next = self.clone();
        let mut records = Vec::with_capacity(ops.len());
        for op in ops {
            let record = next.log.write(op, time, root);
            next.read(&record, root)?;
            records.push(record);
        }
        Ok((records, next))
    }

    /// The operation that adds the next version of a ring, with a fresh key.
    pub fn new_key(&self, ring: Ring, root: &RootKey) -> Result<Op, KeysError> {
        let rings = self.log.rings()?;
        let version = rings.versions(ring).last().map_or(1, |last| last.number.saturating_add(1));
        loop {
            let key = RingKey::generate()?;
            let mut kids = BTreeMap::new();
            for class in rings.classes_of(ring) {
                kids.insert(
                    class.id.as_str().to_owned(),
                    KidText(key.kid(rings.tenant(), &class.id)?),
                );
            }
            // A kid names one key for ever. Five bytes do collide some day: then another key is made.
            let mut seen = std::collections::BTreeSet::new();
            if kids.values().any(|kid| rings.has_kid(kid.0) || !seen.insert(kid.0)) {
                continue;
            }
            let wrapped = root.wrap(&key, &place(rings, ring, version))?.as_bytes().to_vec();
            return Ok(Op::Key { ring, version, wrapped, kids });
        }
    }

    /// The operation that registers a class.
    pub fn new_class(&self, params: &ClassParams) -> Result<Op, KeysError> {
        let rings = self.log.rings()?;
        let ring = params::ring_of(params.mode);
        let mut kids = BTreeMap::new();
        for ((_, version), key) in self.rings.range((ring, 0)..=(ring, u32::MAX)) {
            kids.insert(*version, KidText(key.kid(rings.tenant(), &params.id)?));
        }
        Ok(Op::Class { class: Registered::new(params), kids })
    }

    /// Makes the class keys of `classes` that are not there yet, and compares their kids with the log.
    fn derive(
        &mut self,
        classes: &[ClassParams],
        expected: impl Fn(&ClassId, u32) -> Option<KidText>,
        epoch: u64,
    ) -> Result<(), KeysError> {
        let tenant = self.log.rings()?.tenant().clone();
        for class in classes {
            let ring = params::ring_of(class.mode);
            for ((of, version), key) in &self.rings {
                let place = (*version, class.id.clone());
                if *of == ring && !self.sealing.contains_key(&place) {
                    let made = class_key(key, &tenant, class)?;
                    let logged = expected(&class.id, *version).map(|kid| kid.0);
                    if logged != Some(made.kid()) {
                        return Err(KeysError::Kid { epoch, class: class.id.clone() });
                    }
                    self.sealing.insert(place.clone(), made);
                }
                if *of == Ring::Index
                    && class.mode == Mode::Searchable
                    && !self.tokens.contains_key(&place)
                {
                    let made = IndexClassKey::derive(key, &tenant, &class.id)?;
                    self.tokens.insert(place, Arc::new(made));
                }
            }
        }
        Ok(())
    }
}

fn class_key(key: &RingKey, tenant: &Tenant, class: &ClassParams) -> Result<ClassKey, KeysError> {
    Ok(match params::ring_of(class.mode) {
        Ring::Data => ClassKey::Data(Arc::new(DataClassKey::of_class(key, tenant, class)?)),
        Ring::Index => ClassKey::Index(Arc::new(IndexClassKey::derive(key, tenant, &class.id)?)),
    })
}

/// The additional data of a wrapped key: its place in this log and no other. The parts are each
/// preceded by their length, so that no two places give the same bytes.
pub fn place(rings: &Rings, ring: Ring, version: u32) -> Vec<u8> {
    let version = version.to_string();
    let parts =
        ["labseal/v1 ring key", rings.instance(), rings.tenant().as_str(), ring.as_str(), &version];
    let mut place = Vec::new();
    for part in parts {
        place.extend_from_slice(&(part.len() as u64).to_be_bytes());
        place.extend_from_slice(part.as_bytes());
    }
    place
}
