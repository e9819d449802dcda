//! What stored values tell whoever holds the database, class by class.

use std::borrow::Cow;

use crate::{
    base::class::{Equality, Mode, Rung},
    model::FieldRef,
};

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
    pub tells: Vec<Cow<'static, str>>,
}

impl Policy {
    /// What stored values tell, in the order of `classes:`.
    pub fn leakage(&self) -> Vec<Leak> {
        self.classes().iter().map(|class| self.leak(class)).collect()
    }

    fn leak(&self, class: &Class) -> Leak {
        let mut fields = Vec::new();
        let (mut is_unique, mut clear) = (false, Vec::new());
        let (mut bound, mut free) = (0, 0);
        for api in self.apis() {
            for (name, field) in &api.fields {
                if field.class.params.id == class.params.id {
                    fields.push(format!("{}: {name}", api.name));
                    if let Some(until) = field.migration.until() {
                        clear.push((field.line, format!("until {until}, {}", in_clear(name))));
                    }
                    is_unique |= field.unique;
                    *if field.is_bound { &mut bound } else { &mut free } += 1;
                }
            }
        }
        fields.sort();
        let mut tells = match class.params.mode {
            Mode::Deterministic => {
                vec!["which values are equal, in all its fields together".into()]
            }
            Mode::Random => Vec::new(),
            Mode::Searchable => {
                let params = &class.params;
                params.rungs.iter().map(|rung| grain(*rung, params.equality).into()).collect()
            }
        };
        tells.extend(ALWAYS.iter().map(|tell| Cow::Borrowed(*tell)));
        tells.push(Cow::Borrowed(match (bound, free) {
            (0, _) => SWAPPED,
            (_, 0) => SWAPPED_WITHIN,
            _ => SWAPPED_OUTSIDE,
        }));
        if is_unique {
            tells.push(
                "whoever may write whether a value is there, since a unique column answers".into(),
            );
        }
        clear.sort();
        tells.extend(clear.into_iter().map(|(_, tell)| Cow::Owned(tell)));
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

/// What a field in migration shows.
fn in_clear(field: &FieldRef) -> String {
    format!(
        "every value of {field} that is not sealed yet, and every value that is sought in it, since \
         the API is asked for both forms"
    )
}

fn grain(rung: Rung, equality: Equality) -> String {
    let which = match (rung, equality) {
        (Rung::Eq, Equality::Ci) | (Rung::Ieq, _) => "are equal but for case".to_owned(),
        (Rung::Eq, Equality::CiAi) => "are equal but for case and accents".to_owned(),
        (Rung::Eq, Equality::Exact) => "are equal".to_owned(),
        (Rung::Eq, Equality::PadSpace) => "are equal but for spaces at the end".to_owned(),
        (Rung::Month, _) => "are of the same month, and so how many are of each".to_owned(),
        (Rung::Prefix(1), _) => {
            "begin with the same character, and so how many begin with each".to_owned()
        }
        (Rung::Prefix(count), _) => {
            format!("begin with the same {count} characters, and so how many begin with each")
        }
        (Rung::Year, _) => "are of the same year, and so how many are of each".to_owned(),
    };
    format!("which values {which} (rung {rung}), in all its fields together")
}
