//! A day of the calendar, in UTC: the end of something that the policy allows for a time.

use std::{fmt, str::FromStr, time::Duration};

use super::clock::rfc3339;

/// A day from 1970-01-01 on, counted from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(i64);

/// The text is not a day as `2026-12-31` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a day of the calendar, spelled YYYY-MM-DD")]
pub struct NotADay;

impl Day {
    /// The day of this time since the Unix epoch.
    pub fn of(wall: Duration) -> Self {
        Self((wall.as_secs() / 86_400) as i64)
    }

    /// How many days later `other` is; negative if it is earlier.
    pub fn days_until(self, other: Self) -> i64 {
        other.0 - self.0
    }

    /// Its end, in seconds since the Unix epoch.
    pub fn end(self) -> i64 {
        (self.0 + 1) * 86_400
    }
}

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        let mut parts = text.split('-').map(|part| part.parse::<i64>());
        let (Some(Ok(year)), Some(Ok(month)), Some(Ok(day)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotADay);
        };
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day)
        {
            return Err(NotADay);
        }
        // Howard Hinnant's days_from_civil; what is not a day does not come back as it went in.
        let y = year - i64::from(month <= 2);
        let mp = if month > 2 { month - 3 } else { month + 9 };
        let (era, yoe) = (y.div_euclid(400), y.rem_euclid(400));
        let doy = (153 * mp + 2) / 5 + day - 1;
        let found = Self(era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468);
        if found.to_string() == text { Ok(found) } else { Err(NotADay) }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = rfc3339(Duration::from_secs(self.0.unsigned_abs() * 86_400));
        f.write_str(text.get(..10).unwrap_or(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_read_as_it_is_spelled() {
        for text in ["1970-01-01", "2000-02-29", "2026-12-31", "9999-12-31"] {
            assert_eq!(text.parse::<Day>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "2026",
            "2026-1-1",
            "2026-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-04-31",
            "1969-12-31",
            "2026-01-01-01",
            "2026-01-01T00",
            "+2026-01-01",
            "10000-01-01",
            "2026-01--1",
            "9223372036854775807-01-01",
        ] {
            assert_eq!(text.parse::<Day>(), Err(NotADay), "{text}");
        }
        let (one, other): (Day, Day) =
            ("2026-02-27".parse().unwrap(), "2026-03-01".parse().unwrap());
        assert_eq!(one.days_until(other), 2);
        assert_eq!(Day::of(Duration::from_secs(one.end() as u64 - 1)), one);
        assert_eq!(Day::of(Duration::from_secs(one.end() as u64)), "2026-02-28".parse().unwrap());
    }
}
