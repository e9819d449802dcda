//! Everything there is, for people.

use std::{collections::BTreeMap, time::Duration};

use super::{Keys, KeysError, Replica, Ring, State, replay::Root, slot::Slot};
use crate::base::{
    digest::Digest,
    ident::{ClassId, Kid},
};

/// One key version.
#[derive(Clone, Debug)]
pub struct KeyVersion {
    /// Its ring.
    pub ring: Ring,
    /// Its number.
    pub version: u32,
    /// What it may be used for.
    pub state: State,
    /// When it was made, since the Unix epoch.
    pub created: Duration,
    /// When it became active.
    pub activated: Option<Duration>,
    /// From when on it may be destroyed.
    pub due: Option<Duration>,
    /// How many values it has sealed at most. Counted for the data ring alone.
    pub values: Option<u64>,
    /// Of its wrapped key.
    pub digest: Digest,
    /// The kid of each class.
    pub kids: Vec<(ClassId, Kid)>,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Status {
    /// The last entry of the key log.
    pub epoch: u64,
    /// The generation of the root key, and since when.
    pub root: (u32, Duration),
    /// Whether the way from the root key before is still there.
    pub handover: bool,
    /// Who wraps the root key. None of them: a store of format 1.
    pub slots: Vec<Slot>,
    /// By ring, in order.
    pub versions: Vec<KeyVersion>,
    /// All that have left a row.
    pub replicas: Vec<Replica>,
}

impl Keys {
    /// Every version of every ring.
    pub fn describe(&self) -> Result<Vec<KeyVersion>, KeysError> {
        let mut writer = self.writer();
        let leased = writer.store.leased()?;
        let rings = writer.state.rings()?;
        let versions = Ring::ALL.into_iter().flat_map(|ring| {
            let leased = &leased;
            rings.versions(ring).iter().map(move |version| KeyVersion {
                ring,
                version: version.number,
                state: version.state(),
                created: version.created,
                activated: version.activated,
                due: version.standing.due,
                values: (ring == Ring::Data).then(|| values(leased, version.number)),
                digest: version.digest,
                kids: version.kids.iter().map(|(class, kid)| (class.clone(), *kid)).collect(),
            })
        });
        Ok(versions.collect())
    }

    /// Everything there is.
    pub fn status(&self) -> Result<Status, KeysError> {
        self.refresh()?;
        let (versions, replicas) = (self.describe()?, self.replicas()?);
        let writer = self.writer();
        let Root { generation, handover, since, .. } = writer.state.rings()?.root();
        Ok(Status {
            epoch: writer.state.log().next().saturating_sub(1),
            root: (*generation, *since),
            handover: handover.is_some(),
            slots: writer.slots()?,
            versions,
            replicas,
        })
    }
}

fn values(leased: &BTreeMap<(Ring, u32), u64>, version: u32) -> u64 {
    leased.get(&(Ring::Data, version)).copied().unwrap_or(0)
}
