//! The replay of the key log: what each operation does to rings, versions, classes and root key.
//!
//! Replay is strict: an operation that this state does not allow is refused, even when its
//! authenticator is right, since then a bug or another version wrote it and guessing would cost data.

use std::{collections::BTreeMap, time::Duration};

use super::{
    entry::{DigestText, KidText, Op},
    life::{Refused, Standing, State, Turn},
    params::{self, Registered, Span},
    ring::{Illegal, RegisteredClass, Ring, Version},
};
use crate::base::{
    class::ClassParams,
    digest::Digest,
    ident::{ClassId, Kid, Tenant},
};

/// All rings and the register, as the log has left them.
#[derive(Clone, Debug)]
pub struct Rings {
    tenant: Tenant,
    instance: String,
    data: Vec<Version>,
    index: Vec<Version>,
    classes: BTreeMap<ClassId, RegisteredClass>,
    kids: BTreeMap<Kid, (Ring, u32, ClassId)>,
    root: Root,
}

/// The root key, as far as the log knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Counts from 1.
    pub generation: u32,
    /// Of the wrapped root keys, by name. None: a store of format 1, whose provider keeps it.
    pub slots: BTreeMap<String, Digest>,
    /// The epoch from which on replicas must have it, while the handover is there.
    pub handover: Option<u64>,
    /// When it came into force.
    pub since: Duration,
}

impl Rings {
    /// The state after epoch 0.
    pub fn begin(op: &Op, tenant: &Tenant, time: Duration) -> Result<Self, Illegal> {
        let Op::Genesis { tenant: stored, instance } = op else { return Err(Illegal::Genesis) };
        if stored != tenant.as_str() {
            return Err(Illegal::Tenant { stored: stored.clone(), configured: tenant.clone() });
        }
        Ok(Self {
            tenant: tenant.clone(),
            instance: instance.clone(),
            data: Vec::new(),
            index: Vec::new(),
            classes: BTreeMap::new(),
            kids: BTreeMap::new(),
            root: Root { generation: 1, slots: BTreeMap::new(), handover: None, since: time },
        })
    }

    /// Carries out the operation of the entry `at`. `inline` is the wrapped key of an entry of
    /// version 1. After an error the state must not be used.
    pub fn apply(
        &mut self,
        op: &Op,
        inline: Option<Vec<u8>>,
        (at, time): (u64, Duration),
    ) -> Result<(), Illegal> {
        match op {
            Op::Activate { ring, version } => self.activate(*ring, *version, time),
            Op::Class { class, kids } => self.register(class, kids, at),
            Op::Compromise { ring, version } => self.turn(*ring, *version, Turn::Compromise, time),
            Op::Destroy { ring, version } => {
                if self.version(*ring, *version).is_some_and(|version| version.is_in_log) {
                    return Err(Illegal::Copied { ring: *ring, version: *version });
                }
                self.turn(*ring, *version, Turn::Destroy, time)
            }
            Op::Genesis { .. } => Err(Illegal::Genesis),
            Op::Key { ring, version, digest, kids } => {
                let is_in_log = inline.is_some();
                let new = Version {
                    number: *version,
                    standing: Standing::new(),
                    created: time,
                    activated: None,
                    entry: at,
                    digest: digest.0,
                    inline,
                    is_in_log,
                    kids: BTreeMap::new(),
                };
                self.add(*ring, new, kids)
            }
            Op::Resume { ring, version } => self.turn(*ring, *version, Turn::Resume, time),
            Op::Retire { ring, version } => self.turn(*ring, *version, Turn::Retire, time),
            Op::Root { generation, digests } => self.replace_root(*generation, digests, (at, time)),
            Op::Schedule { ring, version, due } => {
                self.turn(*ring, *version, Turn::Schedule(*due), time)
            }
            Op::Settle { generation } => {
                let pending = self.root.handover.take();
                match pending.is_some() && *generation == self.root.generation {
                    true => Ok(()),
                    false => Err(Illegal::Generation { generation: *generation }),
                }
            }
            Op::Slots { generation, digests } => {
                if *generation != self.root.generation {
                    return Err(Illegal::Generation { generation: *generation });
                }
                self.root.slots = slots(digests, *generation)?;
                Ok(())
            }
            Op::Suspend { ring, version } => self.turn(*ring, *version, Turn::Suspend, time),
            Op::Undo { ring, version } => self.turn(*ring, *version, Turn::Undo, time),
            Op::Unretire { ring, version } => self.turn(*ring, *version, Turn::Unretire, time),
            Op::Widen { class, years } => self.widen(class, *years),
        }
    }

    /// The root key, as far as the log knows it.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// One version.
    pub fn version(&self, ring: Ring, number: u32) -> Option<&Version> {
        self.versions(ring).iter().find(|version| version.number == number)
    }

    /// The tenant.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The name of the log.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The versions of a ring, in order.
    pub fn versions(&self, ring: Ring) -> &[Version] {
        match ring {
            Ring::Data => &self.data,
            Ring::Index => &self.index,
        }
    }

    /// The version of a ring in a state that only one version at a time has.
    pub fn version_in(&self, ring: Ring, state: State) -> Option<&Version> {
        self.versions(ring).iter().rev().find(|version| version.state() == state)
    }

    /// Registered classes by id.
    pub fn classes(&self) -> &BTreeMap<ClassId, RegisteredClass> {
        &self.classes
    }

    /// The registered classes whose kids name versions of `ring`.
    pub fn classes_of(&self, ring: Ring) -> impl Iterator<Item = &ClassParams> {
        let classes = self.classes.values().map(|class| &class.params);
        classes.filter(move |params| params::ring_of(params.mode) == ring)
    }

    /// Whether a kid names a key, whatever its state.
    pub fn has_kid(&self, kid: Kid) -> bool {
        self.kids.contains_key(&kid)
    }

    fn versions_mut(&mut self, ring: Ring) -> &mut Vec<Version> {
        match ring {
            Ring::Data => &mut self.data,
            Ring::Index => &mut self.index,
        }
    }

    fn claim(
        &mut self,
        kid: Kid,
        ring: Ring,
        version: u32,
        class: &ClassId,
    ) -> Result<(), Illegal> {
        match self.kids.insert(kid, (ring, version, class.clone())) {
            None => Ok(()),
            Some(_) => Err(Illegal::Kid { kid }),
        }
    }

    fn turn(&mut self, ring: Ring, number: u32, turn: Turn, time: Duration) -> Result<(), Illegal> {
        let versions = self.versions_mut(ring).iter_mut();
        let version = versions.into_iter().find(|version| version.number == number);
        let version = version.ok_or(Illegal::Version { ring, version: number })?;
        let state = version.state();
        let refused = |remedy| Refused { ring, version: number, state, turn, remedy };
        version.standing = version.standing.turned(turn, time).map_err(refused)?;
        if turn == Turn::Destroy {
            version.inline = None;
        }
        Ok(())
    }

    fn activate(&mut self, ring: Ring, number: u32, time: Duration) -> Result<(), Illegal> {
        self.turn(ring, number, Turn::Activate, time)?;
        for version in self.versions_mut(ring) {
            if version.number == number {
                version.activated = Some(time);
            } else if version.state() == State::Active {
                version.standing.state = State::DecryptOnly;
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        ring: Ring,
        mut new: Version,
        kids: &BTreeMap<String, KidText>,
    ) -> Result<(), Illegal> {
        // One pre-active version at a time: the next rotation activates it before it makes another,
        // so a rotation that was cut short leaves no key behind that nobody uses.
        let last = self.versions(ring).last();
        let number = new.number;
        if number != last.map_or(1, |last| last.number.saturating_add(1))
            || last.is_some_and(|last| last.state() == State::PreActive)
        {
            return Err(Illegal::Version { ring, version: number });
        }
        if !self.classes_of(ring).map(|class| class.id.as_str()).eq(kids.keys().map(String::as_str))
        {
            return Err(Illegal::Kids);
        }
        for (class, kid) in kids {
            let class = ClassId::new(class.as_str());
            self.claim(kid.0, ring, number, &class)?;
            new.kids.insert(class, kid.0);
        }
        self.versions_mut(ring).push(new);
        Ok(())
    }

    fn replace_root(
        &mut self,
        generation: u32,
        digests: &BTreeMap<String, DigestText>,
        (at, time): (u64, Duration),
    ) -> Result<(), Illegal> {
        if self.root.generation.checked_add(1) != Some(generation) || self.root.handover.is_some() {
            return Err(Illegal::Generation { generation });
        }
        let mut rest = digests.clone();
        for ring in Ring::ALL {
            for version in self.versions_mut(ring) {
                if version.state() != State::Destroyed {
                    let digest = rest.remove(&version.material(ring));
                    version.digest = digest.ok_or(Illegal::Digests)?.0;
                    version.inline = None;
                }
            }
        }
        let slots = slots(&rest, generation)?;
        self.root = Root { generation, slots, handover: Some(at), since: time };
        Ok(())
    }

    fn register(
        &mut self,
        class: &Registered,
        kids: &BTreeMap<u32, KidText>,
        entry: u64,
    ) -> Result<(), Illegal> {
        let params = class.params()?;
        let id = params.id.clone();
        let ring = params::ring_of(params.mode);
        if self.classes.contains_key(&id) {
            return Err(Illegal::Class { class: id });
        }
        let versions = self.versions(ring).iter();
        let living = versions.filter(|version| version.state() != State::Destroyed);
        if !living.map(|version| version.number).eq(kids.keys().copied()) {
            return Err(Illegal::Kids);
        }
        for (number, kid) in kids {
            self.claim(kid.0, ring, *number, &id)?;
        }
        for version in self.versions_mut(ring) {
            if let Some(kid) = kids.get(&version.number) {
                version.kids.insert(id.clone(), kid.0);
            }
        }
        self.classes.insert(id, RegisteredClass { registered: class.clone(), params, entry });
        Ok(())
    }

    fn widen(&mut self, class: &str, span: Span) -> Result<(), Illegal> {
        let id = ClassId::new(class);
        let known = self.classes.get_mut(&id).zip(span.years());
        let grown = known.filter(|(known, years)| {
            *years != known.params.years && years.covers(known.params.years)
        });
        let Some((known, years)) = grown else { return Err(Illegal::Years { class: id }) };
        known.registered = known.registered.within(years);
        known.params.years = years;
        Ok(())
    }
}

/// The digests of slots, of which there is at least one, all of this generation.
fn slots(
    digests: &BTreeMap<String, DigestText>,
    generation: u32,
) -> Result<BTreeMap<String, Digest>, Illegal> {
    let prefix = format!("root/{generation}/");
    if digests.is_empty() || !digests.keys().all(|name| name.starts_with(&prefix)) {
        return Err(Illegal::Digests);
    }
    Ok(digests.iter().map(|(name, digest)| (name.clone(), digest.0)).collect())
}
