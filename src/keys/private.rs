//! Files that nobody else may read: root key, passphrase, key store.
//!
//! A file's own mode and owner are judged, not its folder's: a folder may be shared for good reasons,
//! and what matters is who can read these bytes. [`Exposure::of`] is the one place that judges; the
//! configuration asks it early, and [`read`] again on the open file.
//!
//! # Why
//!
//! systemd gives a service its credentials (`LoadCredential=`) as files of root that only an access
//! list opens to the service's user. Such a list shows as the group's bits, mode 0440, so under
//! `$CREDENTIALS_DIRECTORY` the group may read a file of root. Whoever can set that variable for
//! labseal chooses its configuration as well.

use std::{
    env, fmt,
    fs::{File, Metadata},
    io::{self, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use tempfile::{NamedTempFile, PersistError};

use crate::base::secret::Plaintext;

/// More than any file of ours holds.
const LIMIT: u64 = 64 * 1024;

/// A file that must be private cannot be read, is not private, or cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// It is there already.
    #[error("{path} exists already and is not overwritten")]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// Others may read or change it, or own it.
    #[error("{path} {exposure}; run: {}", exposure.remedy(path))]
    Exposed {
        /// Which.
        path: PathBuf,
        /// How.
        exposure: Exposure,
    },
    /// It cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It holds more than any such file does.
    #[error("{path} is larger than {LIMIT} bytes; it is not what the configuration says it is")]
    Size {
        /// Which.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("{path} cannot be written")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// How a file that should be private is open to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Group or others have access. Holds the permission bits.
    Mode(u32),
    /// It belongs to somebody else.
    Owner {
        /// Whose it is.
        owner: u32,
        /// Who we are.
        us: u32,
    },
}

impl Exposure {
    /// Judges a file: it has to be ours, or root's, and closed to others.
    pub fn of(path: &Path, file: &Metadata) -> Option<Self> {
        let us = nix::unistd::geteuid().as_raw();
        // Fifos and descriptors (process substitution) have a mode too, and are judged by it.
        let mode = file.mode() & 0o7777;
        Self::judge(mode, file.uid(), us, || is_credential(path))
    }

    fn judge(mode: u32, owner: u32, us: u32, is_credential: impl Fn() -> bool) -> Option<Self> {
        if owner != us && owner != 0 {
            return Some(Self::Owner { owner, us });
        }
        let is_closed = mode & 0o077 == 0;
        let is_listed = || owner == 0 && mode & 0o037 == 0 && is_credential();
        (!is_closed && !is_listed()).then_some(Self::Mode(mode))
    }

    /// The command that closes the file.
    pub fn remedy(self, path: &Path) -> String {
        match self {
            Self::Mode(_) => format!("chmod 600 {}", path.display()),
            Self::Owner { us, .. } => format!("chown {us} {}", path.display()),
        }
    }
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(mode) => write!(f, "is open to others (mode {mode:04o})"),
            Self::Owner { owner, .. } => write!(f, "belongs to another user (uid {owner})"),
        }
    }
}

/// Whether the file is one of the credentials that systemd gave to this service.
fn is_credential(path: &Path) -> bool {
    let folder = env::var_os("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty());
    let resolved = |path: &Path| path.canonicalize().ok();
    let Some(folder) = folder.and_then(|folder| resolved(Path::new(&folder))) else { return false };
    resolved(path).is_some_and(|path| path.parent() == Some(&*folder))
}

/// Checks that an open file is private.
pub fn judge(path: &Path, file: &File) -> Result<(), PrivateError> {
    let failed = |source| PrivateError::Read { path: path.to_owned(), source };
    let metadata = file.metadata().map_err(failed)?;
    match Exposure::of(path, &metadata) {
        Some(exposure) => Err(PrivateError::Exposed { path: path.to_owned(), exposure }),
        None => Ok(()),
    }
}

/// Reads a private file.
pub fn read(path: &Path) -> Result<Plaintext, PrivateError> {
    let failed = |source| PrivateError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    judge(path, &file)?;
    // Room for all of it at once: a vector that grows would leave copies behind that nobody wipes.
    let mut bytes = Vec::with_capacity(LIMIT as usize + 1);
    let read = file.take(LIMIT + 1).read_to_end(&mut bytes);
    let bytes = Plaintext::new(bytes);
    read.map_err(failed)?;
    if bytes.len() as u64 > LIMIT {
        return Err(PrivateError::Size { path: path.to_owned() });
    }
    Ok(bytes)
}

/// Makes a private file that did not exist, durable when this returns, whole or not at all.
pub fn create(path: &Path, bytes: &[u8]) -> Result<(), PrivateError> {
    write(path, bytes, |file| file.persist_noclobber(path)).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => PrivateError::Exists { path: path.to_owned() },
        _ => PrivateError::Write { path: path.to_owned(), source },
    })
}

/// Makes a private file or puts it in the place of the one there, durable when this returns.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), PrivateError> {
    write(path, bytes, |file| file.persist(path))
        .map_err(|source| PrivateError::Write { path: path.to_owned(), source })
}

fn write(
    path: &Path,
    bytes: &[u8],
    place: impl FnOnce(NamedTempFile) -> Result<File, PersistError>,
) -> io::Result<()> {
    // Mode 0600 from the start, a name that nobody can have guessed, and gone if this fails.
    let mut file = tempfile::Builder::new().prefix(".labseal-").tempfile_in(folder(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    place(file).map_err(|error| error.error)?;
    sync_folder(path)
}

/// Makes the entry of `path` in its folder durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_created_file_is_private_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert!(matches!(create(&path, b"two"), Err(PrivateError::Exists { .. })));
        assert_eq!(read(&path).unwrap().expose(), b"one");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_its_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create(&path, b"one").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o602] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = read(&path).unwrap_err().to_string();
            assert!(refused.contains("chmod 600"), "{refused}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        read(&path).unwrap();
    }

    #[test]
    fn an_open_folder_around_a_private_file_does_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let path = folder.path().join("secret");
        create(&path, b"one").unwrap();
        read(&path).unwrap();
    }

    #[test]
    fn a_credential_of_systemd_may_be_opened_to_its_service_by_an_access_list() {
        let (root, us, somebody) = (0, 1000, 1001);
        let is_sound = |mode, owner, is_credential: bool| {
            Exposure::judge(mode, owner, us, || is_credential).is_none()
        };
        assert!(is_sound(0o440, root, true));
        assert!(is_sound(0o400, us, true));
        assert!(!is_sound(0o440, root, false));
        assert!(!is_sound(0o440, us, true));
        assert!(!is_sound(0o440, somebody, true));
        for mode in [0o444, 0o441, 0o450, 0o460, 0o404] {
            assert!(!is_sound(mode, root, true), "{mode:o}");
        }
    }
}
