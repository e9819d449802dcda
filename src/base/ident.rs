//! Names with a type: one newtype for each kind of thing that has a name.
//!
//! All are cheap to clone and safe to log: they come from the configuration, the policy or a closed
//! list, never from a value that passed through. The exception is [`FieldName`], which a dialect
//! also makes from column names in a request; a refusal shows such a name only if it is declared.

use std::{fmt, str::FromStr, sync::Arc};

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    )*};
}

names! {
    /// One upstream database API, as named in both files.
    ApiName;
    /// Who is asking, as named under `callers:`; `anonymous` where no rule matched.
    CallerName;
    /// The immutable `id:` of a class. Part of every key; never reused.
    ClassId;
    /// The name of a class, which may change.
    ClassName;
    /// A table, collection or route of an API, fully qualified: `public.patients`, `POST /patients`.
    EntityName;
    /// A place in a record: a column name, a JSONPath, `path:mrn`, `query:name`.
    FieldName;
    /// A function of an API, fully qualified: `public.find_patient`.
    FunctionName;
    /// The tenant: part of every key and AAD.
    Tenant;
}

/// The five bytes in an envelope that name (key version, class).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid(pub [u8; 5]);

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not ten hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("a kid is ten hexadecimal digits")]
pub struct NotAKid;

impl FromStr for Kid {
    type Err = NotAKid;

    fn from_str(text: &str) -> Result<Self, NotAKid> {
        let mut kid = [0; 5];
        if text.len() != 10 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotAKid);
        }
        for (i, byte) in kid.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| NotAKid)?;
        }
        Ok(Self(kid))
    }
}

/// Names one exchange in logs, audit and our own error answers. Random, so that it says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

impl RequestId {
    /// One that no other exchange has.
    pub fn random() -> Self {
        use std::hash::{BuildHasher as _, Hasher as _, RandomState};
        // The standard library's hash keys come from the operating system once per thread, which is
        // random enough for a name and costs no system call per exchange.
        Self(RandomState::new().build_hasher().finish())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kid_survives_its_text_form() {
        let kid = Kid([0, 1, 0xab, 0xff, 9]);
        assert_eq!(kid.to_string(), "0001abff09");
        assert_eq!(kid.to_string().parse::<Kid>().unwrap(), kid);
        assert!("0001abff0".parse::<Kid>().is_err());
        assert!("0001abff0é".parse::<Kid>().is_err());
    }
}
