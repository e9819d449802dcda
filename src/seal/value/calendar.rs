//! Dates and times, read in ISO 8601 forms as PostgreSQL reads them and spelled as PostgREST answers
//! them.
//!
//! # Why
//! Years from 1 to 9999 with four digits, in the order year, month, day: what `DateStyle` says of
//! other orders is not known here, and neither is the `TimeZone` of the database, so that a point in
//! time without a zone is taken for UTC. No names of zones or months, no `now` and no `infinity`.
//! (2026-11)

use crate::{base::class::ValueType, crypto::Typed};

const DAY: i64 = 86_400_000_000;

/// A point on the calendar, in microseconds since the first of January of the year 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::seal) struct Moment(i64);

/// A day, by its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::seal) struct Day {
    pub year: i64,
    pub month: i64,
    pub day: i64,
}

impl Moment {
    /// The beginning of a day that exists.
    pub fn of(year: i64, month: i64, day: i64) -> Option<Self> {
        let exists = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day);
        exists.then(|| Self(days_before(year, month, day) * DAY))
    }

    /// What follows the last moment there is.
    pub fn end() -> Self {
        Self(days_before(10_000, 1, 1) * DAY)
    }

    /// The beginning of a year, be it the one after the last.
    pub fn of_year(year: i64) -> Self {
        Self::of(year, 1, 1).unwrap_or_else(Self::end)
    }

    /// Reads a date. A time of day is checked and does not count, as for a column.
    pub fn date(text: &str) -> Option<Self> {
        read(text).map(|read| Self(read.date))
    }

    /// Reads a date and time. A zone is checked and does not count, as for a column.
    pub fn timestamp(text: &str) -> Option<Self> {
        let read = read(text)?;
        Self(read.date + read.time).checked()
    }

    /// Reads a point in time.
    pub fn timestamptz(text: &str) -> Option<Self> {
        let read = read(text)?;
        Self(read.date + read.time - read.offset.unwrap_or_default()).checked()
    }

    /// Reads a literal of a class of this type.
    pub fn parse(ty: ValueType, text: &str) -> Option<Self> {
        match ty {
            ValueType::Date => Self::date(text),
            ValueType::Timestamp => Self::timestamp(text),
            ValueType::TimestampTz => Self::timestamptz(text),
            ValueType::BigInt
            | ValueType::Boolean
            | ValueType::Decimal
            | ValueType::Integer
            | ValueType::Json
            | ValueType::Numeric { .. }
            | ValueType::SmallInt
            | ValueType::Text
            | ValueType::Uuid
            | ValueType::VarChar(_) => None,
        }
    }

    /// The next one of a type: the day after, or the next microsecond.
    pub fn next(self, ty: ValueType) -> Self {
        Self(self.0 + if ty == ValueType::Date { DAY } else { 1 })
    }

    /// The day it is on, and whether it is the beginning of that day.
    pub fn day(self) -> (Day, bool) {
        let days = self.0.div_euclid(DAY);
        // No year is longer than 366 days, so this is the year or one before.
        let mut year = days / 366 + 1;
        while days_before(year + 1, 1, 1) <= days {
            year += 1;
        }
        let mut month = 1;
        while month < 12 && days_before(year, month + 1, 1) <= days {
            month += 1;
        }
        let day = days - days_before(year, month, 1) + 1;
        (Day { year, month, day }, self.0.rem_euclid(DAY) == 0)
    }

    /// The value of a class of this type.
    pub fn typed(self, ty: ValueType) -> Typed {
        let (Day { year, month, day }, _) = self.day();
        let mut text = format!("{year:04}-{month:02}-{day:02}");
        if ty != ValueType::Date {
            let micros = self.0.rem_euclid(DAY);
            let seconds = micros / 1_000_000;
            let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            text.push_str(&format!("T{hour:02}:{minute:02}:{second:02}"));
            if micros % 1_000_000 != 0 {
                let fraction = format!(".{:06}", micros % 1_000_000);
                text.push_str(fraction.trim_end_matches('0'));
            }
        }
        if ty == ValueType::TimestampTz {
            text.push_str("+00:00");
        }
        Typed::from_text(&text)
    }

    fn checked(self) -> Option<Self> {
        (0..Self::end().0).contains(&self.0).then_some(self)
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days between the first of January of the year 1 and a day.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let past = year - 1;
    let months: i64 = (1..month).map(|month| days_in(year, month)).sum();
    past * 365 + past / 4 - past / 100 + past / 400 + months + day - 1
}

/// All in microseconds.
struct Read {
    date: i64,
    time: i64,
    offset: Option<i64>,
}

fn read(text: &str) -> Option<Read> {
    let end = text.find(|next: char| !matches!(next, '0'..='9' | '-'));
    let (day, rest) = text.split_at(end.unwrap_or(text.len()));
    let Moment(date) = day_of(day)?;
    let rest = rest.trim_start_matches(' ');
    let clock = rest.strip_prefix(['T', 't']).unwrap_or(rest);
    let end = clock.find(|next: char| !matches!(next, '0'..='9' | ':' | '.'));
    let (clock, zone) = clock.split_at(end.unwrap_or(clock.len()));
    let zone = zone.trim_start_matches(' ');
    let offset = if zone.is_empty() { None } else { Some(offset(zone)?) };
    if clock.is_empty() {
        // A `T` with no time after it is no date.
        let sound = !rest.starts_with(['T', 't']);
        return sound.then_some(Read { date, time: 0, offset });
    }
    Some(Read { date, time: time(clock)?, offset })
}

/// `2026-11-24` or `20261124`.
fn day_of(text: &str) -> Option<Moment> {
    if text.len() == 8 && !text.contains('-') {
        let part = |range| number(text.get(range)?, 2, 4);
        return Moment::of(part(0..4)?, part(4..6)?, part(6..8)?);
    }
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let found = Moment::of(number(year, 4, 4)?, number(month, 1, 2)?, number(day, 1, 2)?)?;
    parts.next().is_none().then_some(found)
}

/// `12:30`, `12:30:15`, `12:30:15.5`.
fn time(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hour, minute) = (number(parts.next()?, 1, 2)?, number(parts.next()?, 1, 2)?);
    let (second, fraction) = match parts.next() {
        Some(second) => second.split_once('.').unwrap_or((second, "")),
        None => ("0", ""),
    };
    let micros = number(second, 1, 2)? * 1_000_000 + fraction_of(fraction)?;
    let total = (hour * 60 + minute) * 60_000_000 + micros;
    // A leap second and the end of a day are the beginning of what follows them.
    let exists = minute < 60 && micros <= 60_000_000 && total <= DAY && parts.next().is_none();
    exists.then_some(total)
}

/// Microseconds, rounded to the nearest; of two, to the even one.
fn fraction_of(digits: &str) -> Option<i64> {
    if digits.is_empty() {
        return Some(0);
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (kept, rest) = digits.split_at(digits.len().min(6));
    let micros: i64 = format!("{kept:0<6}").parse().ok()?;
    let half = rest.bytes().next().is_some_and(|byte| byte == b'5')
        && rest.bytes().skip(1).all(|byte| byte == b'0');
    let up = rest.bytes().next().is_some_and(|byte| byte >= b'5') && !(half && micros % 2 == 0);
    Some(micros + i64::from(up))
}

/// `Z`, `UTC`, `+01`, `+0100`, `+01:00`, `+01:00:00`.
fn offset(text: &str) -> Option<i64> {
    if matches!(text.to_ascii_lowercase().as_str(), "z" | "utc" | "gmt") {
        return Some(0);
    }
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes, seconds) = match digits.split_once(':') {
        None if digits.len() > 2 => {
            let value = number(digits, 3, 4)?;
            (value / 100, value % 100, 0)
        }
        None => (number(digits, 1, 2)?, 0, 0),
        Some((hours, rest)) => {
            let (minutes, seconds) = rest.split_once(':').unwrap_or((rest, "0"));
            (number(hours, 1, 2)?, number(minutes, 1, 2)?, number(seconds, 1, 2)?)
        }
    };
    let exists = hours <= 15 && minutes < 60 && seconds < 60;
    exists.then(|| sign * ((hours * 60 + minutes) * 60 + seconds) * 1_000_000)
}

fn number(text: &str, least: usize, most: usize) -> Option<i64> {
    let sound = (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if sound { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(ty: ValueType, text: &str) -> Option<String> {
        let typed = Moment::parse(ty, text)?.typed(ty);
        Some(String::from_utf8(typed.value.expose().to_vec()).unwrap())
    }

    #[test]
    fn every_day_of_four_centuries_is_read_and_spelled_as_itself() {
        let mut moment = Moment::of(1899, 12, 31).unwrap();
        for _ in 0..146_097 {
            let (Day { year, month, day }, begins) = moment.day();
            assert!(begins);
            assert_eq!(Moment::of(year, month, day), Some(moment));
            moment = moment.next(ValueType::Date);
        }
        assert_eq!(moment, Moment::of(2299, 12, 31).unwrap());
        assert_eq!(Moment::of(9999, 12, 31).unwrap().next(ValueType::Date), Moment::end());
        assert_eq!(Moment::of(1, 1, 1), Some(Moment(0)));
    }

    #[test]
    fn points_in_time_are_spelled_in_utc_with_the_digits_they_need() {
        for (given, stored) in [
            ("2026-11-24", "2026-11-24T00:00:00+00:00"),
            ("2026-11-24T12:00:00.120Z", "2026-11-24T12:00:00.12+00:00"),
            ("2026-11-24 12:00+01", "2026-11-24T11:00:00+00:00"),
            ("2026-12-31 23:30:00 -0130", "2027-01-01T01:00:00+00:00"),
            ("2026-11-24T23:59:60Z", "2026-11-25T00:00:00+00:00"),
            ("20261124T1:2:3.0000005Z", "2026-11-24T01:02:03+00:00"),
        ] {
            assert_eq!(spelled(ValueType::TimestampTz, given).as_deref(), Some(stored), "{given}");
        }
        let local = spelled(ValueType::Timestamp, "2026-11-24T12:00:00+05:30");
        assert_eq!(local.as_deref(), Some("2026-11-24T12:00:00"));
        for bad in ["", "2026-11-24T", "2026-11-24T25:00Z", "2026-11-24 12", "0001-01-01T00:00+01"]
        {
            assert_eq!(spelled(ValueType::TimestampTz, bad), None, "{bad}");
        }
    }
}
