//! Callers by the user at the other end of a Unix socket, as the kernel says it.

use nix::unistd::User;

/// The credentials of a peer (`SO_PEERCRED`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnixPeer {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
}

/// The id of a user of this machine, or `None` if there is no such user. Asked once, at load: a user
/// made later is known after the next reload.
pub fn uid_of(user: &str) -> Option<u32> {
    User::from_name(user).ok().flatten().map(|user| user.uid.as_raw())
}
