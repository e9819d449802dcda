//! Proofs that a body went through its whole pass, and what stands in for a value that failed.

use crate::policy::Plan;

/// What stands in place of a declared value that failed its integrity check, where the class says
/// `on_integrity: mark`. A request that brings it back is refused.
pub const MARKER: &str = "‹labseal: integrity check failed›";

/// What stands in place of an envelope that may not be shown.
pub(super) const SEALED: &str = "[sealed]";

/// Proof that a request body was sealed and searched to its end, or that nothing had to be.
#[derive(Debug)]
#[must_use]
pub struct Sealed(());

impl Sealed {
    /// For a request to an API that passes everything; `None` for any other.
    pub fn nothing(plan: &Plan) -> Option<Self> {
        plan.passes().then_some(Self(()))
    }
}

/// Proof that an answer body was opened to its end.
#[derive(Debug)]
#[must_use]
pub struct Unsealed(());

/// Which way a [`Transform`](super::Transform) goes, by the proof that its end gives.
pub trait Direction: private::Made {}

impl Direction for Sealed {}
impl Direction for Unsealed {}

/// Nobody outside of `seal` can name this module, and so nobody else can make a proof.
pub(super) mod private {
    pub trait Made: Sized {
        fn made() -> Self;
    }

    impl Made for super::Sealed {
        fn made() -> Self {
            Self(())
        }
    }

    impl Made for super::Unsealed {
        fn made() -> Self {
            Self(())
        }
    }
}
