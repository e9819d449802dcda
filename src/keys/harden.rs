//! Keeps key memory where it is: no swap, no core dumps, no debugger of the same user.
//!
//! # Why
//!
//! 2026-11: the whole process is locked, not single pages: plaintext passes through buffers of many
//! libraries, and locking by address needs unsafe code. Pages are locked as they are first touched
//! (`MCL_ONFAULT`), so that stacks and arenas which are never used cost nothing.

use nix::{
    sys::{
        mman::{MlockAllFlags, mlockall},
        prctl,
        resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit},
    },
    unistd::geteuid,
};

/// A protection that this process does not have. It runs all the same; readiness shows it.
#[derive(Debug, thiserror::Error)]
pub enum Unprotected {
    /// A crash may write keys to disk.
    #[error("core dumps cannot be switched off; set LimitCORE=0")]
    CoreDumps(#[source] nix::Error),
    /// Keys may be swapped out.
    #[error("memory cannot be locked; set LimitMEMLOCK=infinity or grant CAP_IPC_LOCK")]
    Swap(#[source] Option<nix::Error>),
    /// Another process of the same user may read ours.
    #[error("tracing by other processes cannot be switched off")]
    Tracing(#[source] nix::Error),
}

/// Takes all protections that can be had, and names those that cannot.
pub fn harden() -> Vec<Unprotected> {
    let mut missing = Vec::new();
    missing.extend(setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(Unprotected::CoreDumps).err());
    missing.extend(prctl::set_dumpable(false).map_err(Unprotected::Tracing).err());
    missing.extend(lock().err());
    missing
}

/// Locks all memory, present and future.
fn lock() -> Result<(), Unprotected> {
    // Under a limit the lock itself may succeed, and a later allocation, thread stacks and reserved
    // arenas included, would be what fails and takes the process down.
    let (soft, _) = getrlimit(Resource::RLIMIT_MEMLOCK).map_err(|e| Unprotected::Swap(Some(e)))?;
    if soft != RLIM_INFINITY && !geteuid().is_root() {
        return Err(Unprotected::Swap(None));
    }
    let on_fault = MlockAllFlags::from_bits_retain(nix::libc::MCL_ONFAULT);
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault)
        .map_err(|error| Unprotected::Swap(Some(error)))
}
