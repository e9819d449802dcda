//! One revision of the policy, ready to serve: compiled rules and a dialect for each API.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use crate::{
    base::{
        ident::{ApiName, EntityName},
        refusal::{Code, Refusal},
    },
    dialect::Dialect,
    policy::{ApiPolicy, Policy},
};

/// A policy and what was built from it. Exchanges in flight keep the one they began with.
pub struct Revision {
    /// The compiled policy.
    pub policy: Policy,
    apis: HashMap<ApiName, Arc<Served>>,
}

/// One API of a revision.
pub struct Served {
    /// Its name.
    pub name: ApiName,
    /// Its dialect.
    pub dialect: Box<dyn Dialect>,
    /// Whether it has no entities, so that every byte passes.
    pub is_open: bool,
    index: usize,
    /// Entities of which it was said that requests hold fields which the policy does not list.
    unknown: Mutex<HashSet<EntityName>>,
}

impl Revision {
    /// Joins a policy with the dialects of its APIs, given in the policy's order.
    pub fn new(policy: Policy, dialects: Vec<Box<dyn Dialect>>) -> Self {
        let apis = policy
            .apis()
            .iter()
            .zip(dialects)
            .enumerate()
            .map(|(index, (api, dialect))| {
                let name = api.name().clone();
                let (is_open, unknown) = (api.is_open(), Mutex::default());
                (name.clone(), Arc::new(Served { name, dialect, is_open, index, unknown }))
            })
            .collect();
        Self { policy, apis }
    }

    /// The API of that name. Configuration and policy are checked against each other, so a missing
    /// one is a fault of ours.
    pub fn api(&self, name: &ApiName) -> Result<&Arc<Served>, Refusal> {
        self.apis.get(name).ok_or_else(|| Code::Internal.into())
    }
}

impl Served {
    /// Whether this revision meets unlisted fields of the entity for the first time.
    pub fn is_first_unknown(&self, entity: &EntityName) -> bool {
        self.unknown.lock().is_ok_and(|mut known| known.insert(entity.clone()))
    }

    /// The rules of this API in the revision it belongs to.
    pub fn rules<'r>(&self, revision: &'r Revision) -> &'r ApiPolicy {
        // Invariant: the index was counted over the APIs of this very revision.
        &revision.policy.apis()[self.index]
    }
}
