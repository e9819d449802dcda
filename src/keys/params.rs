//! The register's spelling of a class: what stored envelopes depend on, in words that never change.
//!
//! Names of normal forms and of the padding carry a version, so that a later release that folds case
//! by a newer Unicode cannot silently look for tokens that were never stored.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ring::Ring;
use crate::{
    base::{
        class::{ClassParams, Equality, Mode, Rung, ValueType, Years},
        ident::ClassId,
    },
    crypto::normal,
};

/// The one padding there is: to a multiple of 16 up to 256 bytes, PADMÉ above.
const PADDING: &str = "pad.1";

/// The parameters of a class, as registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registered {
    id: String,
    mode: String,
    #[serde(rename = "type")]
    ty: String,
    #[serde(rename = "match")]
    rungs: Vec<String>,
    normal: Vec<String>,
    padding: String,
    /// The years of its dates, where they are not all; absent in logs older than the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    years: Option<Span>,
}

/// Years as the log spells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    from: i64,
    to: i64,
}

impl Span {
    /// Spells out years.
    pub fn new(years: Years) -> Self {
        Self { from: years.first(), to: years.last() }
    }

    fn unless_all(years: Years) -> Option<Self> {
        (years != Years::ALL).then(|| Self::new(years))
    }

    /// Reads them back. `None` if they are none.
    pub fn years(self) -> Option<Years> {
        Years::new(self.from, self.to)
    }
}

/// The register names something that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("class {class}: {what} {word:?} is not known to this version of labseal")]
pub struct UnknownWord {
    class: String,
    what: &'static str,
    word: String,
}

impl Registered {
    /// Spells out the parameters of a class.
    pub fn new(params: &ClassParams) -> Self {
        Self {
            id: params.id.as_str().to_owned(),
            mode: params.mode.as_str().to_owned(),
            ty: params.ty.registered().to_string(),
            rungs: params.rungs.iter().map(Rung::to_string).collect(),
            normal: params
                .rungs
                .iter()
                .map(|rung| normal::name(*rung, params.equality).into_owned())
                .collect(),
            padding: PADDING.to_owned(),
            years: Span::unless_all(params.years),
        }
    }

    /// The same class for dates of these years.
    pub fn within(&self, years: Years) -> Self {
        Self { years: Span::unless_all(years), ..self.clone() }
    }

    /// The class.
    pub fn id(&self) -> ClassId {
        ClassId::new(self.id.as_str())
    }

    /// Reads the words back. Refuses what would not be written the same way today.
    pub fn params(&self) -> Result<ClassParams, UnknownWord> {
        let unknown =
            |what, word: &str| UnknownWord { class: self.id.clone(), what, word: word.to_owned() };
        let mode = [Mode::Deterministic, Mode::Random, Mode::Searchable]
            .into_iter()
            .find(|mode| mode.as_str() == self.mode)
            .ok_or_else(|| unknown("mode", &self.mode))?;
        let ty = value_type(&self.ty).ok_or_else(|| unknown("type", &self.ty))?;
        let rungs = self.rungs.iter();
        let rungs = rungs.map(|word| Rung::parse(word).ok_or_else(|| unknown("rung", word)));
        let rungs = rungs.collect::<Result<Vec<_>, _>>()?;
        // Nothing but the names of normal forms tells the equalities apart.
        let equality = Equality::WORDS.iter().map(|(_, equality)| *equality).find(|equality| {
            let names = rungs.iter().map(|rung| normal::name(*rung, *equality));
            names.eq(self.normal.iter().map(String::as_str))
        });
        let equality = equality.ok_or_else(|| unknown("normal form", &self.normal.join(", ")))?;
        let years = self.years.map_or(Some(Years::ALL), Span::years);
        let years = years.ok_or_else(|| unknown("range", "years"))?;
        let params = ClassParams { id: self.id(), mode, ty, rungs, equality, years };
        let today = Self::new(&params);
        if today.padding != self.padding {
            return Err(unknown("padding", &self.padding));
        }
        if today != *self {
            return Err(unknown("type", &self.ty));
        }
        Ok(params)
    }
}

impl fmt::Display for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mode {}, type {}", self.mode, self.ty)?;
        if !self.rungs.is_empty() {
            write!(f, ", match [{}] ({})", self.rungs.join(", "), self.normal.join(", "))?;
        }
        write!(f, ", padding {}", self.padding)
    }
}

/// The ring whose keys seal values of a mode, and whose versions its kids name.
///
/// Mode s takes its body key, and so its kid, from the data ring; only its tokens are the index
/// ring's.
pub fn ring_of(mode: Mode) -> Ring {
    match mode {
        Mode::Deterministic => Ring::Index,
        Mode::Random | Mode::Searchable => Ring::Data,
    }
}

fn value_type(word: &str) -> Option<ValueType> {
    match word {
        "boolean" => Some(ValueType::Boolean),
        "date" => Some(ValueType::Date),
        "integer" => Some(ValueType::Integer),
        "json" => Some(ValueType::Json),
        "numeric" => Some(ValueType::Decimal),
        "text" => Some(ValueType::Text),
        "timestamp" => Some(ValueType::Timestamp),
        "timestamptz" => Some(ValueType::TimestampTz),
        "uuid" => Some(ValueType::Uuid),
        _ => {
            let inner = word.strip_prefix("numeric(")?.strip_suffix(')')?;
            let (precision, scale) = inner.split_once(',')?;
            Some(ValueType::Numeric {
                precision: precision.parse().ok()?,
                scale: scale.parse().ok()?,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_read_back_as_it_was_registered() {
        let numeric = ValueType::Numeric { precision: 12, scale: 4 };
        for (mode, ty, rungs, equality) in [
            (Mode::Random, numeric, vec![], Equality::Exact),
            (Mode::Searchable, ValueType::Text, vec![Rung::Ieq, Rung::Eq], Equality::Exact),
            (Mode::Searchable, ValueType::Text, vec![Rung::Prefix(3), Rung::Eq], Equality::Ci),
            (Mode::Searchable, ValueType::Text, vec![Rung::Eq], Equality::CiAi),
            (Mode::Searchable, ValueType::Text, vec![Rung::Eq], Equality::PadSpace),
            (
                Mode::Searchable,
                ValueType::Date,
                vec![Rung::Year, Rung::Month, Rung::Eq],
                Equality::Exact,
            ),
            (Mode::Deterministic, ValueType::Date, vec![], Equality::Exact),
        ] {
            let years = Years::ALL;
            let params = ClassParams { id: ClassId::new("c-x"), mode, ty, rungs, equality, years };
            assert_eq!(Registered::new(&params).params().unwrap(), params);
        }
    }

    #[test]
    fn a_normal_form_of_another_version_is_refused() {
        let params = ClassParams {
            id: ClassId::new("c-x"),
            mode: Mode::Searchable,
            ty: ValueType::Text,
            rungs: vec![Rung::Eq],
            equality: Equality::Exact,
            years: Years::ALL,
        };
        let mut registered = Registered::new(&params);
        registered.normal = vec!["eq.9".to_owned()];
        assert!(registered.params().unwrap_err().to_string().contains("eq.9"));
    }
}
