//! The key `type:` of a class: what a value is, and how it can be stored.

use crate::base::class::{Mode, ValueType};

use super::{
    diagnostic::{Place, Problems},
    document::{
        Node,
        reader::{not_built, number},
        text,
    },
};

/// The longest text that a limit can be set to.
const MAX_CHARS: u32 = 10_485_760;

const NAMED: &[(&str, ValueType)] = &[
    ("bigint", ValueType::BigInt),
    ("boolean", ValueType::Boolean),
    ("date", ValueType::Date),
    ("integer", ValueType::Integer),
    ("json", ValueType::Json),
    ("numeric", ValueType::Decimal),
    ("smallint", ValueType::SmallInt),
    ("text", ValueType::Text),
    ("timestamp", ValueType::Timestamp),
    ("timestamptz", ValueType::TimestampTz),
    ("uuid", ValueType::Uuid),
];

/// Reads the value of `type:`.
pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<ValueType> {
    let name = text(node, "type", problems)?;
    if name == "bytes" {
        not_built(node.at, "type: bytes", problems);
        return None;
    }
    let found = NAMED.iter().find(|(word, _)| *word == name).map(|(_, ty)| *ty);
    let found = found
        .or_else(|| name.strip_prefix("numeric(").and_then(numeric))
        .or_else(|| name.strip_prefix("varchar(").and_then(varchar));
    if found.is_none() {
        let remedy = "one of: text, \"varchar(20)\", smallint, integer, bigint, numeric, \
                      \"numeric(12,4)\" with at most 1000 digits, boolean, date, timestamp, \
                      timestamptz, uuid, json";
        problems.error(node.at, format!("type cannot be `{name}`"), remedy);
    }
    found
}

/// `12,4)`, what follows `numeric(`.
fn numeric(rest: &str) -> Option<ValueType> {
    let (precision, scale) = rest.strip_suffix(')')?.split_once(',')?;
    let digits = |text: &str| text.trim().parse::<u16>().ok();
    let (precision, scale) = (digits(precision)?, digits(scale)?);
    let sound = (1..=1000).contains(&precision) && scale <= precision;
    sound.then_some(ValueType::Numeric { precision, scale })
}

/// `20)`, what follows `varchar(`.
fn varchar(rest: &str) -> Option<ValueType> {
    let limit = rest.strip_suffix(')')?.trim().parse().ok()?;
    (1..=MAX_CHARS).contains(&limit).then_some(ValueType::VarChar(limit))
}

/// The type with the limit that `max_chars:` sets.
pub(super) fn limited(
    ty: ValueType,
    max_chars: Option<&Node>,
    problems: &mut Problems,
) -> ValueType {
    let Some(node) = max_chars else { return ty };
    if ty != ValueType::Text {
        let message = format!("max_chars limits text, and this class is of type {ty}");
        problems.error(node.at, message, "leave max_chars out");
        return ty;
    }
    let Some(limit) = number(node, "max_chars", problems) else { return ty };
    match u32::try_from(limit) {
        Ok(limit) if (1..=MAX_CHARS).contains(&limit) => ValueType::VarChar(limit),
        _ => {
            let message = format!("max_chars is not from 1 to {MAX_CHARS}");
            problems.error(node.at, message, "write the length of the column, or leave it out");
            ty
        }
    }
}

/// Whether a value of this type can be stored in this mode.
pub(super) fn suits(mode: Mode, ty: ValueType, at: Place, problems: &mut Problems) {
    if mode == Mode::Random {
        return;
    }
    let mode = mode.as_str();
    match ty {
        ValueType::Json => problems.error(
            at,
            format!("a {mode} class cannot be of type json: one JSON value has many spellings"),
            "use mode: random, or declare the members that are tested as fields of their own",
        ),
        ValueType::Boolean => problems.warning(
            at,
            format!("a {mode} class of type boolean has two stored forms: whoever knows one record knows all"),
            "use mode: random unless equality must be tested",
        ),
        ValueType::Decimal => problems.error(
            at,
            format!("a {mode} class cannot be of type numeric: 1.10 and 1.1 are one number in two spellings"),
            "say how many digits, as in \"numeric(12,4)\", or use mode: random",
        ),
        ValueType::BigInt
        | ValueType::Date
        | ValueType::Integer
        | ValueType::Numeric { .. }
        | ValueType::SmallInt
        | ValueType::Text
        | ValueType::Timestamp
        | ValueType::TimestampTz
        | ValueType::Uuid
        | ValueType::VarChar(_) => {}
    }
}
