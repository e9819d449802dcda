//! How far a job is, for whoever watches, and what a scan has counted.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use super::documents::{Documents, Listed};
use crate::{
    base::ident::{ApiName, ClassName, EntityName, FieldName},
    keys::Snapshot,
    seal::stored::{Aim, Layout, Row, Standing},
};

/// The counters of one job. Each is one number of `status`.
#[derive(Debug, Default)]
pub struct Progress {
    /// Records there are.
    pub records: AtomicU64,
    /// Records that were read.
    pub read: AtomicU64,
    /// Records that were written.
    pub written: AtomicU64,
    /// Values that were written.
    pub moved: AtomicU64,
    /// Records that somebody else wrote in between, and that were read again.
    pub conflicts: AtomicU64,
    /// Records that the API refused to write.
    pub failed: AtomicU64,
    /// Values that cannot be written under a condition: in clear, or JSON, in a view.
    pub blocked: AtomicU64,
    /// Requests at a time that the API bears.
    pub allowed: AtomicU64,
}

impl Progress {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }

    /// Reads a counter.
    pub fn of(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// A field of an entity of an API.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// The API.
    pub api: ApiName,
    /// The entity.
    pub entity: EntityName,
    /// The field.
    pub field: FieldName,
    /// Its class.
    pub class: ClassName,
}

/// What was counted at one field.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Values by how they stand. Null is not counted.
    pub by_standing: BTreeMap<Standing, u64>,
    /// Whether values in clear are to be sealed here.
    pub seals_plaintext: bool,
}

/// What a scan has counted.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// By field, those without a value too.
    pub spots: BTreeMap<Spot, Tally>,
}

impl Census {
    /// Takes up the fields of an entity.
    pub fn open(&mut self, api: &ApiName, entity: &EntityName, layout: &Layout) {
        for at in 0..layout.places.len() {
            self.tally(api, entity, layout, at);
        }
    }

    /// Counts a page.
    pub fn add(&mut self, api: &ApiName, entity: &EntityName, layout: &Layout, rows: &[Row]) {
        let mut counts: BTreeMap<(usize, Standing), u64> = BTreeMap::new();
        for row in rows {
            row.found.iter().for_each(|found| *counts.entry(*found).or_default() += 1);
        }
        for ((at, standing), count) in counts {
            if let Some(tally) = self.tally(api, entity, layout, at) {
                *tally.by_standing.entry(standing).or_default() += count;
            }
        }
    }

    /// Counts a page of documents. What is in them is told by class: envelopes do not say their field.
    pub fn add_documents(&mut self, work: &Documents, listed: &[Listed]) {
        for (class, standing) in listed.iter().flat_map(|one| &one.document.found) {
            let spot = Spot {
                api: work.api.clone(),
                entity: work.entity.clone(),
                field: FieldName::new("*"),
                class: work.name_of(class),
            };
            *self.spots.entry(spot).or_default().by_standing.entry(*standing).or_default() += 1;
        }
    }

    /// How many values are not yet as the job would have them.
    pub fn left(&self, aim: Aim, keys: &Snapshot) -> u64 {
        let left = |standing: &Standing, tally: &Tally| match (aim, standing) {
            (Aim::Count, _) => false,
            (_, Standing::Broken(None)) => true,
            (Aim::Reseal, Standing::Broken(Some(under)) | Standing::Sealed(under)) => {
                !keys.is_current(under)
            }
            (Aim::Reseal, Standing::Plain | Standing::Unfit) => tally.seals_plaintext,
            (Aim::Reseal, Standing::Unknown) => false,
            (Aim::Unseal, Standing::Plain | Standing::Unfit) => false,
            (Aim::Unseal, Standing::Broken(_) | Standing::Sealed(_) | Standing::Unknown) => true,
        };
        let counts = self.spots.values().flat_map(|tally| {
            tally.by_standing.iter().filter(move |(standing, _)| left(standing, tally))
        });
        counts.map(|(_, count)| count).sum()
    }

    fn tally(
        &mut self,
        api: &ApiName,
        entity: &EntityName,
        layout: &Layout,
        at: usize,
    ) -> Option<&mut Tally> {
        let place = layout.places.get(at)?;
        let spot = Spot {
            api: api.clone(),
            entity: entity.clone(),
            field: place.name.clone(),
            class: place.class.name.clone(),
        };
        let tally = self.spots.entry(spot).or_default();
        tally.seals_plaintext = place.seals_plaintext;
        Some(tally)
    }
}
