//! Another root key, under which everything is wrapped anew; and the providers that wrap it.
//!
//! One entry brings the new root key: with it the ring keys under the new one take the place of those
//! under the old one, the slot of the provider comes and all others go. Live replicas follow through the
//! *handover*, the new root key under the old one, which is erased once every one of them has it. A
//! replica that was away for longer asks its provider, when it is started again.
//!
//! # Why
//!
//! 2026-11: no root key before the newest is needed for anything. Entries before it are held in place by
//! the chain, so an old root key authenticates nothing that a reader still believes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    ATTEMPTS, Keys, KeysError,
    entry::{DigestText, Op},
    provider::Provider,
    slot::Slot,
    state::Draft,
    store::Appended,
    writer::handover,
};
use crate::{base::digest::Digest, crypto::RootKey};

/// A finished rotation of the root key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rerooted {
    /// The generation in force.
    pub generation: u32,
    /// The entry that brought it.
    pub epoch: u64,
}

impl Keys {
    /// Brings a new root key, wrapped by `provider` alone; waits until every live replica has it.
    pub fn rotate_root(
        &self,
        provider: &dyn Provider,
        wait: Duration,
    ) -> Result<Rerooted, KeysError> {
        // A rotation that was cut short is finished, which is all that was wanted then.
        if let Some(finished) = self.settle(wait)? {
            return Ok(finished);
        }
        let place = {
            let mut writer = self.writer();
            writer.catch_up()?;
            writer.place(writer.state.rings()?.root().generation.saturating_add(1))?
        };
        let generation = place.generation;
        let root = Arc::new(RootKey::generate()?);
        let slot = Slot::proven(provider, &root, &place)?;
        let mut writer = self.writer();
        for _ in 0..ATTEMPTS {
            writer.catch_up()?;
            if writer.state.rings()?.root().generation.saturating_add(1) != generation {
                return Err(KeysError::Contended);
            }
            let mut draft = slots(generation, std::slice::from_ref(&slot));
            draft.change.puts.extend(writer.state.rewrap(&root)?);
            let digest = |(name, bytes): (&String, &Vec<u8>)| {
                (name.clone(), DigestText(Digest::of(&[bytes])))
            };
            let digests = draft.change.puts.iter().map(digest).collect();
            draft.ops = vec![Op::Root { generation, digests }];
            let wrapped = writer.root.wrap_next(&root, &place.handover())?;
            draft.change.puts.insert(handover(generation), wrapped.as_bytes().to_vec());
            let is_old = |name: &&String| name.starts_with("root/");
            draft.change.deletes = writer.material.keys().filter(is_old).cloned().collect();
            draft.root = Some(root.clone());
            if writer.commit(draft, self.0.clock.as_ref())? == Appended::Done {
                let epoch = writer.state.log().next().saturating_sub(1);
                self.0.publish(&mut writer)?;
                drop(writer);
                self.settle(wait)?;
                return Ok(Rerooted { generation, epoch });
            }
        }
        Err(KeysError::Contended)
    }

    /// Erases the handover, if there is one, when every live replica has the root key.
    pub fn settle(&self, wait: Duration) -> Result<Option<Rerooted>, KeysError> {
        self.refresh()?;
        let root = self.writer().state.rings()?.root().clone();
        let (Some(epoch), generation) = (root.handover, root.generation) else { return Ok(None) };
        self.acknowledged(epoch, wait)?;
        let mut writer = self.writer();
        for _ in 0..ATTEMPTS {
            writer.catch_up()?;
            let root = writer.state.rings()?.root();
            if root.handover.is_none() || root.generation != generation {
                break;
            }
            let mut draft = Draft::from(Op::Settle { generation });
            draft.change.deletes.insert(handover(generation));
            if writer.commit(draft, self.0.clock.as_ref())? == Appended::Done {
                break;
            }
        }
        self.0.publish(&mut writer)?;
        Ok(Some(Rerooted { generation, epoch }))
    }

    /// Adds a slot of another provider, which can unwrap the root key from then on. Its name.
    pub fn add_slot(&self, provider: &dyn Provider) -> Result<String, KeysError> {
        let mut writer = self.writer();
        for _ in 0..ATTEMPTS {
            writer.catch_up()?;
            let place = writer.place(writer.state.rings()?.root().generation)?;
            let slot = Slot::proven(provider, &writer.root, &place)?;
            let mut all = writer.slots()?;
            all.retain(|other| other.name() != slot.name());
            let name = slot.name();
            all.push(slot);
            let draft = slots(place.generation, &all);
            if writer.commit(draft, self.0.clock.as_ref())? == Appended::Done {
                self.0.publish(&mut writer)?;
                return Ok(name);
            }
        }
        Err(KeysError::Contended)
    }

    /// Removes a slot, by name. Refuses the last one.
    pub fn remove_slot(&self, name: &str) -> Result<(), KeysError> {
        let mut writer = self.writer();
        for _ in 0..ATTEMPTS {
            writer.catch_up()?;
            let generation = writer.state.rings()?.root().generation;
            let mut all = writer.slots()?;
            let before = all.len();
            all.retain(|slot| slot.name() != name);
            if all.is_empty() || all.len() == before {
                return Err(KeysError::LastSlot { name: name.to_owned() });
            }
            let mut draft = slots(generation, &all);
            draft.change.deletes.insert(format!("root/{generation}/{name}"));
            if writer.commit(draft, self.0.clock.as_ref())? == Appended::Done {
                return self.0.publish(&mut writer);
            }
        }
        Err(KeysError::Contended)
    }

    /// The slots there are.
    pub fn slots(&self) -> Result<Vec<Slot>, KeysError> {
        self.writer().slots()
    }
}

impl super::Writer {
    pub(super) fn slots(&self) -> Result<Vec<Slot>, KeysError> {
        let names = self.state.rings()?.root().slots.keys();
        let texts = names.filter_map(|name| self.material.get(name));
        texts.map(|text| Ok(Slot::parse(text)?)).collect()
    }
}

/// What makes these the slots of a root key.
pub(super) fn slots(generation: u32, slots: &[Slot]) -> Draft {
    let named = |slot: &Slot| (format!("root/{generation}/{}", slot.name()), slot.to_bytes());
    let puts: BTreeMap<_, _> = slots.iter().map(named).collect();
    let digest =
        |(name, bytes): (&String, &Vec<u8>)| (name.clone(), DigestText(Digest::of(&[bytes])));
    let digests = puts.iter().map(digest).collect();
    let mut draft = Draft::from(Op::Slots { generation, digests });
    draft.change.puts = puts;
    draft
}
