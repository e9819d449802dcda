//! How long envelopes are, for whoever has to say whether a column holds them.
//!
//! The figures are those of `docs/envelope.md`.

use crate::base::class::{ClassParams, Mode, ValueType};

use super::{
    MAX_DETERMINISTIC, MAX_VALUE,
    aead::TAG,
    envelope::{self, HEADER},
    ladder::TOKEN,
    pad,
};

/// Characters of the envelope of a value of `value` bytes.
pub fn envelope_len(params: &ClassParams, value: usize) -> usize {
    let ladder = match params.mode {
        Mode::Deterministic | Mode::Random => 0,
        Mode::Searchable => 1 + params.rungs.len() * TOKEN,
    };
    "ls1r".len() + ladder + envelope::text_len(HEADER + pad::padded(1 + value) + TAG)
}

/// The longest value, in bytes, whose envelope has at most `room` characters.
pub fn longest_that_fits(params: &ClassParams, room: usize) -> Option<usize> {
    let mut fits = (0, longest_value(params));
    if envelope_len(params, fits.0) > room {
        return None;
    }
    // The length grows with the value, so the last value that fits is found by halving.
    while fits.0 < fits.1 {
        let middle = fits.0 + (fits.1 - fits.0).div_ceil(2);
        match envelope_len(params, middle) <= room {
            true => fits.0 = middle,
            false => fits.1 = middle - 1,
        }
    }
    Some(fits.0)
}

/// The longest value that the class takes, in bytes.
pub fn longest_value(params: &ClassParams) -> usize {
    let limit = match params.mode {
        Mode::Deterministic => MAX_DETERMINISTIC,
        Mode::Random | Mode::Searchable => MAX_VALUE,
    };
    longest_of_type(params.ty).map_or(limit, |longest| longest.min(limit))
}

/// The longest value of a type, in bytes; `None` if it can have any length.
pub fn longest_of_type(ty: ValueType) -> Option<usize> {
    match ty {
        ValueType::BigInt | ValueType::Integer | ValueType::SmallInt => {
            Some("-9223372036854775808".len())
        }
        ValueType::Boolean => Some(0),
        ValueType::Date => Some("2026-11-24".len()),
        ValueType::Decimal | ValueType::Json | ValueType::Text => None,
        // A sign, a point, and a zero in front of it.
        ValueType::Numeric { precision, .. } => Some(usize::from(precision) + 3),
        ValueType::Timestamp => Some("2026-11-24T00:00:00.000000".len()),
        ValueType::TimestampTz => Some("2026-11-24T00:00:00.000000+00:00".len()),
        ValueType::Uuid => Some(36),
        ValueType::VarChar(most) => usize::try_from(most).ok()?.checked_mul(4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{
        class::{Equality, Rung, Years},
        ident::ClassId,
    };

    fn class(mode: Mode, ty: ValueType, rungs: &[Rung]) -> ClassParams {
        let equality = Equality::Exact;
        ClassParams {
            id: ClassId::new("c"),
            mode,
            ty,
            rungs: rungs.to_vec(),
            equality,
            years: Years::ALL,
        }
    }

    #[test]
    fn lengths_are_those_of_the_documentation() {
        let r = class(Mode::Random, ValueType::Text, &[]);
        let cases = [
            (0, 71),
            (14, 71),
            (15, 92),
            (30, 92),
            (254, 391),
            (255, 412),
            (1_000, 1_415),
            (1_800, 2_524),
        ];
        for (value, expected) in cases {
            assert_eq!(envelope_len(&r, value), expected, "{value}");
            let s = class(Mode::Searchable, ValueType::Text, &[Rung::Ieq, Rung::Eq]);
            assert_eq!(envelope_len(&s, value), expected + 25, "{value}");
        }
    }

    #[test]
    fn what_fits_is_the_longest_value_that_fits() {
        let d = class(Mode::Deterministic, ValueType::Text, &[]);
        for (room, expected) in [(70, None), (71, Some(14)), (91, Some(14)), (92, Some(30))] {
            assert_eq!(longest_that_fits(&d, room), expected, "{room}");
        }
        assert_eq!(longest_that_fits(&d, 2_523), Some(1_790));
        assert_eq!(longest_that_fits(&d, 2_524), Some(MAX_DETERMINISTIC));
        assert_eq!(longest_value(&class(Mode::Random, ValueType::Integer, &[])), 20);
    }
}
