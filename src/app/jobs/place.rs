//! Where a job is kept: what was asked for and how far it is, in two private files next to the key
//! store, and a lock that one process at a time holds.
//!
//! The request is written by the command line alone and the checkpoint by whoever works, so that
//! neither overwrites what the other said. Neither holds a value: the key of the last record is as it
//! is stored, which is an envelope if the column is protected.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    app::custody,
    base::ident::RequestId,
    config::Config,
    keys::private::{self, Exposure},
    seal::stored::Aim,
};

use super::target::Only;

/// The files of the one job that there can be.
#[derive(Clone, Debug)]
pub struct Files {
    request: PathBuf,
    checkpoint: PathBuf,
    lock: PathBuf,
}

/// What is to become of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// It waits.
    Pause,
    /// It goes on.
    Run,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Version of the grammar.
    pub v: u8,
    /// Names the job.
    pub id: String,
    /// Whether values are put back in clear.
    pub unseal: bool,
    /// Of this API alone.
    pub api: Option<String>,
    /// Of this entity alone.
    pub entity: Option<String>,
    /// Of this field alone.
    pub field: Option<String>,
    /// Records in a second, at most.
    pub rate: Option<u32>,
    /// Whether the service carries it out.
    pub detached: bool,
    /// What is to become of it.
    pub wanted: Wanted,
}

/// How a job stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A scan has counted nothing that is left.
    Done,
    /// It ended before that.
    Failed,
    /// It waits to be resumed.
    Paused,
    /// It is worked on, or was when its process ended.
    #[default]
    Running,
}

impl State {
    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Paused => "paused",
            Self::Running => "running",
        }
    }

    /// Whether nothing more is to be done.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

/// How far a job is. More fields than eight: each is one line of `status`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Version of the grammar.
    pub v: u8,
    /// Names the job.
    pub id: String,
    /// How it stands.
    pub state: State,
    /// How often everything was gone through before.
    pub passes: u32,
    /// API and entity that are gone through, and the key of the last record that is done.
    pub at: Option<(String, String, Vec<String>)>,
    /// API and entity of what was gone through in this pass.
    pub finished: Vec<(String, String)>,
    /// Records there are, and how many were read, written, overtaken and refused.
    pub records: u64,
    /// Records that were read in this pass.
    pub read: u64,
    /// Records that were written.
    pub written: u64,
    /// Values that were written.
    pub moved: u64,
    /// Records that somebody else wrote in between.
    pub conflicts: u64,
    /// Records that the API refused to write.
    pub failed: u64,
    /// Records in a second, lately.
    pub rate: u64,
    /// What the last scan counted as left.
    pub left: Option<u64>,
    /// Why it failed, or cannot go on for now.
    pub said: Option<String>,
    /// Milliseconds since the epoch.
    pub updated: u64,
}

/// Only its holder works on the job.
pub struct Held(#[expect(dead_code, reason = "unlocks when dropped")] Flock<File>);

impl Request {
    /// A new one.
    pub fn new(aim: Aim, only: &Only, rate: Option<u32>, detached: bool) -> Self {
        let Only { api, entity, field } = only.clone();
        Self {
            v: 1,
            id: RequestId::random().to_string(),
            unseal: aim == Aim::Unseal,
            api,
            entity,
            field,
            rate,
            detached,
            wanted: Wanted::Run,
        }
    }

    /// What is to become of the values.
    pub fn aim(&self) -> Aim {
        if self.unseal { Aim::Unseal } else { Aim::Reseal }
    }

    /// Which part of everything.
    pub fn only(&self) -> Only {
        let (api, entity, field) = (self.api.clone(), self.entity.clone(), self.field.clone());
        Only { api, entity, field }
    }

    /// Whether both are for the same values.
    pub fn is_for(&self, other: &Self) -> bool {
        self.unseal == other.unseal && self.only() == other.only()
    }
}

impl Checkpoint {
    /// The beginning of a job.
    pub fn new(id: &str) -> Self {
        Self { v: 1, id: id.to_owned(), ..Self::default() }
    }
}

impl Files {
    /// Next to the key store, or to the mark of a store that is elsewhere.
    pub fn of(config: &Config) -> anyhow::Result<Self> {
        let seen = custody::store_address(config)?.seen();
        let seen = seen.context("the key store is kept nowhere, so no job can be")?;
        let place = |extension: &str| seen.with_extension(extension);
        let (request, checkpoint) = (place("job"), place("job-state"));
        Ok(Self { request, checkpoint, lock: place("job-lock") })
    }

    /// What was asked for last.
    pub fn request(&self) -> anyhow::Result<Option<Request>> {
        load(&self.request)
    }

    /// Asks.
    pub fn ask(&self, request: &Request) -> anyhow::Result<()> {
        store(&self.request, request)
    }

    /// How far the job is; nothing if it has not begun.
    pub fn checkpoint(&self, request: &Request) -> anyhow::Result<Option<Checkpoint>> {
        let found: Option<Checkpoint> = load(&self.checkpoint)?;
        Ok(found.filter(|found| found.id == request.id))
    }

    /// Says how far the job is, durably.
    pub fn reached(&self, checkpoint: &Checkpoint) -> anyhow::Result<()> {
        store(&self.checkpoint, checkpoint)
    }

    /// Takes the job, unless somebody has it for longer than it takes to ask who has it. Blocks.
    pub fn take(&self) -> anyhow::Result<Option<Held>> {
        for _ in 0..40 {
            if let Some(held) = self.hold()? {
                return Ok(Some(held));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(None)
    }

    /// Takes the job, unless somebody has it.
    pub fn hold(&self) -> anyhow::Result<Option<Held>> {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(&self.lock);
        let file = file.with_context(|| format!("{} cannot be opened", self.lock.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(Held(lock))),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, error)) => bail!("{} cannot be locked: {error}", self.lock.display()),
        }
    }
}

fn load<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{}", path.display())),
    };
    if let Some(exposure) = Exposure::of(path, &path.metadata()?) {
        bail!("{} {exposure}; run: {}", path.display(), exposure.remedy(path));
    }
    let remedy = || format!("{} cannot be read as a job; remove it to begin anew", path.display());
    serde_json::from_str(&text).with_context(remedy)
}

fn store(path: &Path, what: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec(what)?;
    text.push(b'\n');
    Ok(private::replace(path, &text)?)
}
