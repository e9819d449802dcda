//! The key log together with the keys it holds: reading forward, and preparing what comes next.
//!
//! First the log is read to its end, then every key that is left is unwrapped, once: its wrapped form
//! has to be the one of which the log holds the digest, and the kids in the log those that the key
//! gives. So a wrapped key that was put in another's place is refused even if somebody who had the root
//! key put it there. What this process wants to add goes through
//! the same reading *before* it is stored: nothing is committed that could not be read back.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{
    KeysError,
    entry::{DigestText, KidText, Op, Record},
    life::State as KeyState,
    log::Log,
    params::{self, Registered},
    provider::joined,
    replay::Rings,
    ring::Ring,
    store::Change,
};
use crate::{
    base::{
        class::{ClassParams, Mode},
        digest::Digest,
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
    fn ring(&self) -> Ring {
        match self {
            Self::Data(_) => Ring::Data,
            Self::Index(_) => Ring::Index,
        }
    }

    /// The kid in its envelopes.
    pub fn kid(&self) -> Kid {
        match self {
            Self::Data(key) => key.kid(),
            Self::Index(key) => key.kid(),
        }
    }
}

/// What is to be done next: operations, and the material that goes with them.
#[derive(Default)]
pub struct Draft {
    /// In order.
    pub ops: Vec<Op>,
    /// Of the material.
    pub change: Change,
    /// The root key from then on, if the one operation brings another.
    pub root: Option<Arc<RootKey>>,
}

impl From<Op> for Draft {
    fn from(op: Op) -> Self {
        Self { ops: vec![op], ..Self::default() }
    }
}

impl Draft {
    /// Does this after what is there.
    pub fn then(&mut self, next: Self) {
        self.ops.extend(next.ops);
        self.change.puts.extend(next.change.puts);
        self.change.deletes.extend(next.change.deletes);
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

    /// Reads everything that `records` add, or nothing. `material` and `root` are those after the
    /// last of them. Also gives what was done.
    pub fn follow(
        &self,
        records: &[Record],
        material: &BTreeMap<String, Vec<u8>>,
        root: &RootKey,
    ) -> Result<(Self, Vec<Op>), KeysError> {
        let mut next = self.clone();
        let done = next.log.read(records, root)?;
        if done.iter().any(|op| matches!(op, Op::Root { .. })) {
            // Everything was wrapped anew, and is looked at anew.
            next.rings.clear();
            next.sealing.clear();
            next.tokens.clear();
        }
        next.unwrap(material, root)?;
        Ok((next, done))
    }

    /// The records that carry out a draft, and the state after them.
    pub fn prepare(
        &self,
        draft: &Draft,
        time: Duration,
        material: &BTreeMap<String, Vec<u8>>,
        root: &RootKey,
    ) -> Result<(Vec<Record>, Self), KeysError> {
        let root = draft.root.as_deref().unwrap_or(root);
        let mut material = material.clone();
        draft.change.apply(&mut material);
        let mut log = self.log.clone();
        let mut records = Vec::with_capacity(draft.ops.len());
        for op in &draft.ops {
            let record = log.write(op.clone(), time, root);
            log.read(std::slice::from_ref(&record), root)?;
            records.push(record);
        }
        let (next, _) = self.follow(&records, &material, root)?;
        Ok((records, next))
    }

    /// Unwraps the keys that are not yet, checks that they are those of the log, and forgets the
    /// destroyed.
    fn unwrap(
        &mut self,
        material: &BTreeMap<String, Vec<u8>>,
        root: &RootKey,
    ) -> Result<(), KeysError> {
        let rings = self.log.rings()?;
        for ring in Ring::ALL {
            for version in rings.versions(ring) {
                let number = version.number;
                if version.state() == KeyState::Destroyed {
                    self.rings.remove(&(ring, number));
                    continue;
                }
                if self.rings.contains_key(&(ring, number)) {
                    continue;
                }
                let wrapped = match &version.inline {
                    Some(wrapped) => wrapped,
                    None => genuine(material, &version.material(ring), version.digest)?,
                };
                let place = place(rings, ring, number);
                let key = WrappedKey::from_bytes(wrapped)
                    .and_then(|wrapped| root.unwrap(&wrapped, &place))
                    .map_err(|source| KeysError::Wrapped { ring, version: number, source })?;
                self.rings.insert((ring, number), Arc::new(key));
            }
        }
        for (name, digest) in &rings.root().slots {
            genuine(material, name, *digest)?;
        }
        self.derive()
    }

    /// Everything that is wrapped under the root key, wrapped under another instead.
    pub fn rewrap(&self, next: &RootKey) -> Result<BTreeMap<String, Vec<u8>>, KeysError> {
        let rings = self.log.rings()?;
        let mut wrapped = BTreeMap::new();
        for ((ring, number), key) in &self.rings {
            let Some(version) = rings.version(*ring, *number) else { continue };
            let bytes = next.wrap(key, &place(rings, *ring, *number))?.as_bytes().to_vec();
            wrapped.insert(version.material(*ring), bytes);
        }
        Ok(wrapped)
    }

    /// What adds the next version of a ring, with a fresh key.
    pub fn new_key(&self, ring: Ring, root: &RootKey) -> Result<Draft, KeysError> {
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
            let digest = DigestText(Digest::of(&[&wrapped]));
            let mut draft = Draft::from(Op::Key { ring, version, digest, kids });
            draft.change.puts.insert(format!("ring/{ring}/{version}"), wrapped);
            return Ok(draft);
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

    /// Makes the class keys that are not there yet, and compares their kids with the log.
    fn derive(&mut self) -> Result<(), KeysError> {
        let rings = &self.rings;
        self.sealing.retain(|(version, _), key| rings.contains_key(&(key.ring(), *version)));
        self.tokens.retain(|(version, _), _| rings.contains_key(&(Ring::Index, *version)));
        let state = self.log.rings()?;
        let tenant = state.tenant();
        for (id, class) in state.classes() {
            let params = &class.params;
            let ring = params::ring_of(params.mode);
            for ((of, number), key) in &self.rings {
                let place = (*number, id.clone());
                if *of == ring && !self.sealing.contains_key(&place) {
                    let made = class_key(key, tenant, params)?;
                    let version = state.version(ring, *number);
                    let logged = version.and_then(|version| version.kids.get(id));
                    if logged != Some(&made.kid()) {
                        let epoch = version.map_or(0, |version| version.entry).max(class.entry);
                        return Err(KeysError::Kid { epoch, class: id.clone() });
                    }
                    self.sealing.insert(place.clone(), made);
                }
                if *of == Ring::Index
                    && params.mode == Mode::Searchable
                    && !self.tokens.contains_key(&place)
                {
                    let made = IndexClassKey::derive(key, tenant, id)?;
                    self.tokens.insert(place, Arc::new(made));
                }
            }
        }
        Ok(())
    }
}

/// The material of this name, if it is what the log says.
fn genuine<'m>(
    material: &'m BTreeMap<String, Vec<u8>>,
    name: &str,
    digest: Digest,
) -> Result<&'m [u8], KeysError> {
    let Some(bytes) = material.get(name) else {
        return Err(KeysError::Missing { name: name.to_owned() });
    };
    match Digest::of(&[bytes]) == digest {
        true => Ok(bytes),
        false => Err(KeysError::Swapped { name: name.to_owned() }),
    }
}

fn class_key(key: &RingKey, tenant: &Tenant, class: &ClassParams) -> Result<ClassKey, KeysError> {
    Ok(match params::ring_of(class.mode) {
        Ring::Data => ClassKey::Data(Arc::new(DataClassKey::of_class(key, tenant, class)?)),
        Ring::Index => ClassKey::Index(Arc::new(IndexClassKey::derive(key, tenant, &class.id)?)),
    })
}

/// The additional data of a wrapped key: its place in this log and no other.
pub fn place(rings: &Rings, ring: Ring, version: u32) -> Vec<u8> {
    let (instance, tenant) = (rings.instance(), rings.tenant().as_str());
    joined(&["labseal/v1 ring key", instance, tenant, ring.as_str(), &version.to_string()])
}
