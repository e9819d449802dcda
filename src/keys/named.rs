//! A secret that a command line names and does not hold: everybody on a machine can read the
//! arguments of its processes.

use std::{path::PathBuf, str};

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
    #[error("{place} is empty or not UTF-8")]
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

    /// Lends the secret, without the line end that editors leave.
    pub fn lend<T>(&self, to: impl FnOnce(&str) -> T) -> Result<T, NamedError> {
        let (secret, place) = match self {
            Self::Env(name) => {
                let value = std::env::var_os(name);
                let value = value.ok_or_else(|| NamedError::NoVariable { name: name.clone() })?;
                let bytes = std::os::unix::ffi::OsStringExt::into_vec(value);
                (Plaintext::new(bytes), format!("the environment variable {name}"))
            }
            Self::File(path) => (private::read(path)?, path.display().to_string()),
        };
        let text = str::from_utf8(secret.expose()).unwrap_or_default();
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() { Err(NamedError::Empty { place }) } else { Ok(to(text)) }
    }
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
}
