//! References to files and secrets. The configuration holds these, never a secret.
//!
//! A file that holds a secret is judged by its own mode and owner: readable and writable by its
//! owner alone, who is the user that runs labseal, or root. The folder around it is not judged.

use std::{
    env, fmt,
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;

use crate::{
    base::secret::Plaintext,
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

/// Why a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not set, or not UTF-8.
    #[error("the environment variable {0} is not set")]
    Env(String),
    /// Others may read or write the file, or own it.
    #[error("{} {exposure}", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// How.
        exposure: Exposure,
    },
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How a secret file is open to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Group or others have access.
    Mode(u32),
    /// It belongs to somebody else.
    Owner(u32),
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(mode) => write!(f, "is open to others (mode {mode:04o})"),
            Self::Owner(uid) => write!(f, "belongs to another user (uid {uid})"),
        }
    }
}

impl Exposure {
    /// Judges an open file, so that it cannot be exchanged between judging and reading.
    pub fn of(file: &Metadata) -> Option<Self> {
        let (mode, uid) = (file.mode() & 0o7777, file.uid());
        if uid != 0 && uid != geteuid().as_raw() {
            return Some(Self::Owner(uid));
        }
        (mode & 0o077 != 0).then_some(Self::Mode(mode))
    }
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
        let Some(exposure) = self.path.metadata().ok().and_then(|file| Exposure::of(&file)) else {
            return;
        };
        let shown = self.path.display();
        let remedy = match exposure {
            Exposure::Mode(_) => format!("chmod 600 {shown}"),
            Exposure::Owner(_) => format!("chown it to the user that runs labseal: {shown}"),
        };
        problems.error(self.at, format!("{shown} {exposure}"), remedy);
    }

    pub(super) fn resolve(path: &str, at: Place, problems: &Problems) -> Self {
        let folder = problems.file().parent().unwrap_or(Path::new(""));
        Self { at, path: folder.join(path) }
    }
}

impl SecretRef {
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

    /// The secret, without the newline that ends a file. The file is judged again, as it is opened.
    pub fn reveal(&self) -> Result<Plaintext, SecretError> {
        match self {
            Self::Env(name) => {
                let secret = env::var(name).map_err(|_| SecretError::Env(name.clone()))?;
                Ok(Plaintext::new(secret.into_bytes()))
            }
            Self::File(file) => read_secret(&file.path),
        }
    }
}

/// Reads a secret file, unless it is open to others.
pub fn read_secret(path: &Path) -> Result<Plaintext, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if let Some(exposure) = Exposure::of(&metadata) {
        return Err(SecretError::Exposed { path: path.to_owned(), exposure });
    }
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let room = usize::try_from(metadata.len()).unwrap_or_default().saturating_add(1);
    let mut bytes = Vec::with_capacity(room.min(1 << 20));
    file.by_ref().take(1 << 20).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Ok(Plaintext::new(bytes))
}
