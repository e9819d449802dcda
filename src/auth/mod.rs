//! Who is asking, proven. Nothing else can make a [`Caller`].

use crate::base::ident::CallerName;

/// A caller whose identity was proven, or `anonymous`.
#[derive(Clone, Debug)]
pub struct Caller {
    name: CallerName,
    via: Via,
}

/// How a caller was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// A long random key in a header.
    ApiKey,
    /// A client certificate.
    Certificate,
    /// Not at all.
    Nothing,
    /// The user id of the peer of a Unix socket.
    UnixPeer,
}

impl Caller {
    /// The name under `callers:`, or `anonymous`.
    pub fn name(&self) -> &CallerName {
        &self.name
    }

    /// How the caller was recognised.
    pub fn via(&self) -> Via {
        self.via
    }
}
