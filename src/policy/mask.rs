//! Masks: the partial view of a value.
//!
//! A mask shows at most a third of the characters of a value. What is hidden is always [`HIDDEN`],
//! however long it was, so that a mask says nothing of the length, and what comes back with it can
//! be recognised.
//!
//! # Why
//! Characters are Unicode scalar values, not bytes and not grapheme clusters: they are what the
//! users of `keep_last: 4` count in record numbers, and a cut cluster shows less, not more. The `@`
//! before a shown domain and the hyphen after a shown year are punctuation and not counted. A year
//! counts as one of the three parts of a date. (2026-11)

/// What stands for everything hidden.
pub const HIDDEN: &str = "••••";

/// One of the closed list of masks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mask {
    /// The year of a date.
    DateYear,
    /// The domain of an e-mail address.
    EmailDomain,
    /// A fixed text.
    Fixed(String),
    /// The first characters.
    KeepFirst(usize),
    /// The last characters.
    KeepLast(usize),
    /// JSON null.
    Null,
}

impl Mask {
    /// The partial view of `text`; `None` is JSON null. Whatever has not the form that the mask is
    /// for is hidden whole.
    pub fn apply(&self, text: &[u8]) -> Option<String> {
        // Values that are not UTF-8 have no characters to count.
        let shown = std::str::from_utf8(text).unwrap_or_default();
        let third = shown.chars().count() / 3;
        Some(match self {
            Self::DateYear => match year(shown) {
                Some(year) => format!("{year}-{HIDDEN}"),
                None => HIDDEN.to_owned(),
            },
            Self::EmailDomain => match shown.rsplit_once('@') {
                Some((_, domain)) if !domain.is_empty() && domain.chars().count() <= third => {
                    format!("{HIDDEN}@{domain}")
                }
                _ => HIDDEN.to_owned(),
            },
            Self::Fixed(fixed) => fixed.clone(),
            Self::KeepFirst(n) => {
                let kept: String = shown.chars().take(third.min(*n)).collect();
                kept + HIDDEN
            }
            Self::KeepLast(n) => {
                let hidden = shown.chars().count() - third.min(*n);
                let kept: String = shown.chars().skip(hidden).collect();
                HIDDEN.to_owned() + &kept
            }
            Self::Null => return None,
        })
    }

    /// Whether `incoming` looks like what this mask, or any other, gave out: it must never be stored
    /// in place of a value that its writer cannot see.
    pub fn is_shape(&self, incoming: &str) -> bool {
        incoming.contains(HIDDEN)
            || match self {
                Self::Fixed(fixed) => incoming == fixed,
                Self::DateYear
                | Self::EmailDomain
                | Self::KeepFirst(_)
                | Self::KeepLast(_)
                | Self::Null => false,
            }
    }
}

/// The year of `YYYY-MM-DD`, be it followed by `T` and a time.
fn year(text: &str) -> Option<&str> {
    let mut parts = text.split('T').next()?.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |part: &str, n| part.len() == n && part.bytes().all(|b| b.is_ascii_digit());
    let date = digits(year, 4) && digits(month, 2) && digits(day, 2) && parts.next().is_none();
    date.then_some(year)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(mask: &Mask, text: &str) -> String {
        mask.apply(text.as_bytes()).unwrap()
    }

    #[test]
    fn each_mask_shows_its_part() {
        assert_eq!(masked(&Mask::KeepFirst(1), "Svensson"), "S••••");
        assert_eq!(masked(&Mask::KeepLast(4), "MRN-2026-0001"), "••••0001");
        assert_eq!(masked(&Mask::EmailDomain, "anna.svensson@lab.se"), "••••@lab.se");
        assert_eq!(masked(&Mask::DateYear, "1984-03-09"), "1984-••••");
        assert_eq!(masked(&Mask::DateYear, "1984-03-09T11:00:00+00:00"), "1984-••••");
        assert_eq!(masked(&Mask::Fixed("[withheld]".into()), "HIV"), "[withheld]");
        assert_eq!(Mask::Null.apply(b"HIV"), None);
    }

    #[test]
    fn short_values_and_other_forms_are_hidden_whole() {
        assert_eq!(masked(&Mask::KeepFirst(3), "Li"), HIDDEN);
        assert_eq!(masked(&Mask::KeepLast(3), ""), HIDDEN);
        assert_eq!(masked(&Mask::EmailDomain, "a@hospital.example.org"), HIDDEN);
        assert_eq!(masked(&Mask::EmailDomain, "not an address"), HIDDEN);
        assert_eq!(masked(&Mask::DateYear, "09/03/1984"), HIDDEN);
        assert_eq!(Mask::KeepFirst(9).apply(&[0xff; 99]).unwrap(), HIDDEN);
    }

    #[test]
    fn what_a_mask_gave_out_is_recognised_when_it_comes_back() {
        let fixed = Mask::Fixed("[withheld]".into());
        assert!(fixed.is_shape("[withheld]") && fixed.is_shape("K••••"));
        assert!(!fixed.is_shape("withheld") && !Mask::KeepFirst(1).is_shape("[withheld]"));
    }

    proptest! {
        #[test]
        fn a_mask_never_shows_more_than_a_third(text in ".{0,40}", n in 0usize..50) {
            prop_assume!(!text.contains('•'));
            for mask in [Mask::KeepFirst(n), Mask::KeepLast(n), Mask::EmailDomain] {
                let shown = masked(&mask, &text);
                prop_assert!(shown.contains(HIDDEN) && mask.is_shape(&shown));
                let shown = shown.replace(HIDDEN, "");
                let shown = match mask { Mask::EmailDomain => shown.trim_start_matches('@'), _ => &shown };
                prop_assert!(shown.chars().count() * 3 <= text.chars().count());
            }
        }
    }
}
