//! A secret that a configuration or a command line names and does not hold: everybody on a machine can
//! read the arguments of its processes, and a configuration gets copied. This is the one place that
//! reads secrets from where they are.

use std::{fmt, os::unix::ffi::OsStringExt as _, path::PathBuf, str};

use crate::base::secret::Plaintext;

use super::private::{self, PrivateError};

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// In an environment variable.
    Env(String),
    /// In a private file.
    File(PathBuf),
}

/// The secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum NamedError {
    /// Nothing of use is in it.
    #[error("{place} is empty")]
    Empty {
        /// Where it should be.
        place: String,
    },
    /// The variable is not set.
    #[error("the environment variable {name} is not set")]
    NoVariable {
        /// Which.
        name: String,
    },
    /// What has to be text is not.
    #[error("{place} is not UTF-8")]
    NotText {
        /// Where it is.
        place: String,
    },
    /// The file cannot be used.
    #[error(transparent)]
    Private(#[from] PrivateError),
}

impl Named {
    /// Reads `env:NAME` or `file:PATH`. Anything else may be the secret itself, so nothing is said
    /// of it.
    pub fn parse(text: &str) -> Option<Self> {
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if let Some(name) = text.strip_prefix("env:") {
            let sound = !name.is_empty() && name.bytes().all(is_word);
            return sound.then(|| Self::Env(name.to_owned()));
        }
        let path = text.strip_prefix("file:").filter(|path| !path.is_empty());
        path.map(|path| Self::File(path.into()))
    }

    /// The secret, without the line end that editors leave.
    pub fn read(&self) -> Result<Plaintext, NamedError> {
        let found = match self {
            Self::Env(name) => {
                let value = std::env::var_os(name);
                let value = value.ok_or_else(|| NamedError::NoVariable { name: name.clone() })?;
                Plaintext::new(value.into_vec())
            }
            Self::File(path) => private::read(path)?,
        };
        line(&found).ok_or_else(|| NamedError::Empty { place: self.to_string() })
    }

    /// Lends a secret that is text.
    pub fn lend<T>(&self, to: impl FnOnce(&str) -> T) -> Result<T, NamedError> {
        let secret = self.read()?;
        let text = str::from_utf8(secret.expose());
        text.map(to).map_err(|_| NamedError::NotText { place: self.to_string() })
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// A secret that is named, or that somebody typed.
#[derive(Clone)]
pub enum Passphrase {
    /// Somebody typed it.
    Given(Plaintext),
    /// It is read when it is needed.
    Named(Named),
}

impl Passphrase {
    /// The passphrase itself, without the line end that editors leave.
    pub fn read(&self) -> Result<Plaintext, NamedError> {
        match self {
            Self::Given(text) => {
                line(text).ok_or_else(|| NamedError::Empty { place: "what was typed".to_owned() })
            }
            Self::Named(named) => named.read(),
        }
    }
}

/// The text without one line end, if there is any.
fn line(text: &Plaintext) -> Option<Plaintext> {
    let bytes = text.expose();
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    if bytes.is_empty() { None } else { Some(Plaintext::new(bytes.to_vec())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_references_are_read() {
        assert_eq!(Named::parse("env:LAB_DB"), Some(Named::Env("LAB_DB".into())));
        assert_eq!(Named::parse("file:/a b"), Some(Named::File("/a b".into())));
        for text in ["", "env:", "file:", "env:A=B", "env:a b", "postgres://u:p@h/d", "FILE:/a"] {
            assert_eq!(Named::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_secret_is_lent_without_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        private::create(&path, b"Bearer abc\r\n").unwrap();
        let named = Named::File(path.clone());
        assert_eq!(named.lend(str::to_owned).unwrap(), "Bearer abc");
        private::replace(&path, b"\n").unwrap();
        assert!(matches!(named.lend(str::len), Err(NamedError::Empty { .. })));
    }

    #[test]
    fn one_line_end_after_a_passphrase_is_not_part_of_it() {
        for (given, read) in
            [("p\n", "p"), ("p\r\n", "p"), ("p", "p"), ("p\n\n", "p\n"), (" p ", " p ")]
        {
            let passphrase = Passphrase::Given(given.into()).read().unwrap();
            assert_eq!(passphrase.expose(), read.as_bytes());
        }
        let empty = Passphrase::Given("\n".into()).read();
        assert!(matches!(empty, Err(NamedError::Empty { .. })));
    }
}
