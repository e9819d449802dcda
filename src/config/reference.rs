//! References to files and secrets. The configuration holds these, never a secret.
//!
//! A file that holds a secret must be open to its owner alone ([`Exposure`]). What it holds is read
//! by whoever uses it.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use crate::{
    keys::{named::Named, private::Exposure},
    policy::{
        diagnostic::{Place, Problems},
        document::{Node, text},
    },
};

/// A file that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRef {
    at: Place,
    path: PathBuf,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// In an environment variable.
    Env(String),
    /// In a file of its own.
    File(FileRef),
}

impl FileRef {
    /// Reads a path as it stands.
    pub fn plain(node: &Node, what: &str, problems: &mut Problems) -> Option<Self> {
        let path = text(node, what, problems)?;
        if path.starts_with("file:") {
            problems.error(node.at, format!("{what} is a plain path"), "leave out file:");
            return None;
        }
        Some(Self::resolve(path, node.at, problems))
    }

    /// Reads `file:path`.
    pub fn tagged(node: &Node, what: &str, problems: &mut Problems) -> Option<Self> {
        // The text is not repeated: somebody may have put the key itself there.
        let found = text(node, what, problems)?;
        let path = found.strip_prefix("file:").filter(|path| !path.is_empty());
        if path.is_none() {
            let remedy = "write \"file:path\", relative to this file";
            problems.error(node.at, format!("{what} is not a reference to a file"), remedy);
        }
        Some(Self::resolve(path?, node.at, problems))
    }

    /// Reads `file:path` of a secret. A file that is there and open to others is an error.
    pub fn secret(node: &Node, what: &str, problems: &mut Problems) -> Option<Self> {
        let file = Self::tagged(node, what, problems)?;
        file.judge(problems);
        Some(file)
    }

    /// The path, absolute or relative to the working directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same, for keeps.
    pub fn into_path(self) -> PathBuf {
        self.path
    }

    /// Reports the file if it is not there.
    pub(super) fn exists(&self, problems: &mut Problems) {
        if let Err(error) = File::open(&self.path) {
            let message = format!("{} cannot be read: {error}", self.path.display());
            problems.error(self.at, message, "create it, or correct the path");
        }
    }

    /// Reports the file if it is there and open to others.
    pub(super) fn judge(&self, problems: &mut Problems) {
        let Ok(file) = self.path.metadata() else { return };
        if let Some(exposure) = Exposure::of(&self.path, &file) {
            let message = format!("{} {exposure}", self.path.display());
            problems.error(self.at, message, exposure.remedy(&self.path));
        }
    }

    pub(super) fn resolve(path: &str, at: Place, problems: &Problems) -> Self {
        let folder = problems.file().parent().unwrap_or(Path::new(""));
        Self { at, path: folder.join(path) }
    }
}

impl SecretRef {
    /// The same, for whoever lends what is in it.
    pub fn named(&self) -> Named {
        match self {
            Self::Env(name) => Named::Env(name.clone()),
            Self::File(file) => Named::File(file.path().to_owned()),
        }
    }

    /// Reads `file:path` or `env:NAME`.
    pub(super) fn read(node: &Node, what: &str, problems: &mut Problems) -> Option<Self> {
        let found = text(node, what, problems)?;
        let Some(name) = found.strip_prefix("env:") else {
            if !found.starts_with("file:") {
                let message = format!("{what} is not a reference to a secret");
                let remedy = "write \"file:path\" or \"env:NAME\"; secrets are never in this file";
                problems.error(node.at, message, remedy);
                return None;
            }
            return FileRef::secret(node, what, problems).map(Self::File);
        };
        let sound = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.is_empty() || !name.bytes().all(sound) {
            let message = format!("{what} does not name an environment variable");
            problems.error(node.at, message, "write \"env:NAME\"");
            return None;
        }
        Some(Self::Env(name.to_owned()))
    }
}
