//! What stored values tell whoever holds the database, class by class.

use crate::base::class::{Mode, Rung};

use super::{Policy, plan::Class};

/// What the stored values of one class tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The class.
    pub class: String,
    /// How it is stored.
    pub mode: Mode,
    /// The fields of this class, as `api: entity.field`.
    pub fields: Vec<String>,
    /// What can be told, in words.
    pub tells: Vec<&'static str>,
}

impl Policy {
    /// What stored values tell, in the order of `classes:`.
    pub fn leakage(&self) -> Vec<Leak> {
        self.classes().iter().map(|class| self.leak(class)).collect()
    }

    fn leak(&self, class: &Class) -> Leak {
        let mut fields = Vec::new();
        let mut is_unique = false;
        let (mut bound, mut free) = (0, 0);
        for api in self.apis() {
            for (name, field) in &api.fields {
                if field.class.params.id == class.params.id {
                    fields.push(format!("{}: {name}", api.name));
                    is_unique |= field.unique;
                    *if field.is_bound { &mut bound } else { &mut free } += 1;
                }
            }
        }
        fields.sort();
        let mut tells = match class.params.mode {
            Mode::Deterministic => vec!["which values are equal, in all its fields together"],
            Mode::Random => Vec::new(),
            Mode::Searchable => class.params.rungs.iter().map(|rung| grain(*rung)).collect(),
        };
        tells.extend(ALWAYS);
        tells.push(match (bound, free) {
            (0, _) => SWAPPED,
            (_, 0) => SWAPPED_WITHIN,
            _ => SWAPPED_OUTSIDE,
        });
        if is_unique {
            tells.push("whoever may write whether a value is there, since a unique column answers");
        }
        Leak { class: class.name.to_string(), mode: class.params.mode, fields, tells }
    }
}

const ALWAYS: &[&str] = &[
    "the mode, and the class by its key id",
    "the length, in steps of 16 bytes up to 256 and wider above",
    "which values are null",
    "the key version",
];
const SWAPPED: &str =
    "nobody when a value is swapped with another of its class, or an older one is put back";
const SWAPPED_WITHIN: &str = "nobody when a value is swapped with another of its class in the same \
                              record, or an older one of that record is put back";
const SWAPPED_OUTSIDE: &str = "nobody when a value is swapped with another of its class outside of \
                               the entities with bind:, or an older one is put back";

fn grain(rung: Rung) -> &'static str {
    match rung {
        Rung::Eq => "which values are equal (rung eq), in all its fields together",
        Rung::Ieq => "which values are equal but for case (rung ieq), in all its fields together",
        Rung::Month => {
            "which values are of the same month (rung month), in all its fields together"
        }
        Rung::Prefix(_) => {
            "which values begin with the same characters (rung prefix), in all its fields together"
        }
        Rung::Year => "which values are of the same year (rung year), in all its fields together",
    }
}
