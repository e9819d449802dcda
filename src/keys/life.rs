//! The life of a key version: its states, and what may be done to it in each.
//!
//! ```text
//!              activate          a later one is activated
//! pre_active ───────────▶ active ───────────▶ decrypt_only ◀──resume── suspended
//!      │                                        │   │  └────suspend──────▲
//!      │ compromise                  compromise │   │ retire             │ suspend, resume
//!      └──────────────▶ compromised ◀───────────┘   ▼                    ▼
//!                            │  └───────────────────────────────── (compromised)
//!                            └──retire──▶ retired ──schedule──▶ due ──destroy──▶ destroyed
//!                                            ◀───── undo ────────┘
//! ```
//!
//! Resume and unretire lead back to where the version came from. Nothing but activation leads to or
//! from `active`: a key that seals is replaced first, so that there always is one.

use std::{fmt, time::Duration};

use super::ring::Ring;

/// What a key version may be used for (NIST SP 800-57 part 1, section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Seals and opens. One per ring.
    Active,
    /// Opens, so that its values can be sealed anew; others may have it.
    Compromised,
    /// Opens.
    DecryptOnly,
    /// Gone for ever; its kids stay known.
    Destroyed,
    /// Stored, known to all, not yet sealed with.
    PreActive,
    /// Opens nothing, since nothing is left under it.
    Retired,
    /// Opens nothing for now.
    Suspended,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::PreActive,
        Self::Active,
        Self::DecryptOnly,
        Self::Suspended,
        Self::Compromised,
        Self::Retired,
        Self::Destroyed,
    ];

    /// The word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Compromised => "compromised",
            Self::DecryptOnly => "decrypt_only",
            Self::Destroyed => "destroyed",
            Self::PreActive => "pre_active",
            Self::Retired => "retired",
            Self::Suspended => "suspended",
        }
    }

    /// Whether values under it are opened.
    pub fn opens(self) -> bool {
        match self {
            Self::Active | Self::Compromised | Self::DecryptOnly | Self::PreActive => true,
            Self::Destroyed | Self::Retired | Self::Suspended => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What can be done to a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Turn {
    /// It becomes the one that seals.
    Activate,
    /// Others may have it.
    Compromise,
    /// It is erased.
    Destroy,
    /// It opens again.
    Resume,
    /// Nothing is left under it.
    Retire,
    /// It may be destroyed from a time on.
    Schedule(Duration),
    /// It opens nothing for now.
    Suspend,
    /// It is not to be destroyed after all.
    Undo,
    /// Something is left under it after all.
    Unretire,
}

impl Turn {
    /// The word of the log and of the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Activate => "activate",
            Self::Compromise => "compromise",
            Self::Destroy => "destroy",
            Self::Resume => "resume",
            Self::Retire => "retire",
            Self::Schedule(_) => "schedule",
            Self::Suspend => "suspend",
            Self::Undo => "undo",
            Self::Unretire => "unretire",
        }
    }
}

/// Where a version stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it may be used for.
    pub state: State,
    /// What it was before it was suspended or retired.
    pub before: State,
    /// From when on it may be destroyed; retired versions alone have it.
    pub due: Option<Duration>,
}

/// A version in this state cannot be turned like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "version {version} of the {ring} ring is {state}, so `{}` is refused: {remedy}",
    turn.as_str()
)]
pub struct Refused {
    /// The ring.
    pub ring: Ring,
    /// The version.
    pub version: u32,
    /// Its state.
    pub state: State,
    /// What was to be done.
    pub turn: Turn,
    /// What to do instead.
    pub remedy: &'static str,
}

impl Standing {
    /// A version that was just added.
    pub fn new() -> Self {
        Self { state: State::PreActive, before: State::PreActive, due: None }
    }

    /// Where it stands after `turn`, at `time`; or what to do instead.
    pub fn turned(self, turn: Turn, time: Duration) -> Result<Self, &'static str> {
        let to = |state| Ok(Self { state, before: self.state, due: None });
        let back = Ok(Self { state: self.before, before: self.before, due: None });
        match (self.state, turn) {
            (State::PreActive, Turn::Activate) => to(State::Active),
            (State::Active, Turn::Activate) => Err("it seals already"),
            (State::Active, _) => {
                Err("rotate first, so that another version is the one that seals")
            }
            (State::Destroyed, _) => Err("a destroyed key never comes back"),
            (_, Turn::Activate) => {
                Err("only a version that has never sealed can be activated; rotate instead")
            }
            (State::PreActive | State::DecryptOnly, Turn::Compromise) => to(State::Compromised),
            (State::DecryptOnly | State::Compromised, Turn::Suspend) => to(State::Suspended),
            (State::DecryptOnly | State::Compromised, Turn::Retire) => to(State::Retired),
            (State::Suspended, Turn::Resume) | (State::Retired, Turn::Unretire) => back,
            (State::Retired, Turn::Schedule(due)) => Ok(Self { due: Some(due), ..self }),
            (State::Retired, Turn::Undo) => match self.due {
                Some(_) => Ok(Self { due: None, ..self }),
                None => Err("it is not scheduled to be destroyed"),
            },
            (State::Retired, Turn::Destroy) => match self.due {
                Some(due) if due <= time => to(State::Destroyed),
                Some(_) => Err("the time for which it is scheduled has not come"),
                None => Err("schedule it first"),
            },
            (State::PreActive, Turn::Suspend | Turn::Retire) => {
                Err("it has never sealed; mark it compromised, or rotate to activate it")
            }
            (State::Compromised, Turn::Compromise) => Err("it is marked already"),
            (State::Suspended, Turn::Suspend) => Err("it is suspended already"),
            (State::Suspended, Turn::Compromise | Turn::Retire) => Err("resume it first"),
            (State::Retired, Turn::Retire) => Err("it is retired already"),
            (State::Retired, Turn::Compromise | Turn::Suspend) => Err("unretire it first"),
            (_, Turn::Resume) => Err("it is not suspended"),
            (_, Turn::Unretire) => Err("it is not retired"),
            (_, Turn::Undo) => Err("it is not scheduled to be destroyed"),
            (_, Turn::Schedule(_) | Turn::Destroy) => {
                Err("retire it first, which needs that no value is left under it")
            }
        }
    }
}

impl Default for Standing {
    fn default() -> Self {
        Self::new()
    }
}
