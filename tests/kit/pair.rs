//! Two stands with the same records: columns of their own types behind PostgREST, and text behind
//! labseal and PostgREST.

use super::{
    client::{Answer, Request},
    labseal::{Labseal, Setup},
    postgres::Postgres,
    stand::Direct,
};

/// Both.
pub struct Pair {
    /// What the columns would be.
    pub plain: Direct,
    /// What they are where they are sealed.
    pub sealed: Direct,
    /// In front of the latter.
    pub labseal: Labseal,
}

impl Pair {
    /// A schema `lab` as it would be, the same with text, and the policy that seals it.
    pub fn start(plain: &str, sealed: &str, policy: &str) -> Self {
        let server = Postgres::shared();
        let (plain, sealed) = (Direct::of(&server, plain), Direct::of(&server, sealed));
        let labseal = Setup::new(policy, sealed.address()).start();
        Self { plain, sealed, labseal }
    }

    /// The same request on both ways: direct, sealed.
    pub fn both(&self, request: &Request) -> (Answer, Answer) {
        (request.clone().send(self.plain.address()), self.sealed(request))
    }

    /// Through labseal alone.
    pub fn sealed(&self, request: &Request) -> Answer {
        request.clone().key(self.labseal.key("lims")).send(self.labseal.address())
    }

    /// The code of the refusal, where labseal refuses; otherwise both answers must be the same.
    pub fn same(&self, request: &Request) -> Option<String> {
        let (plain, sealed) = self.both(request);
        if let Some(code) = sealed.header("Labseal-Error") {
            return Some(code.to_owned());
        }
        let asked = String::from_utf8_lossy(&request.bytes()).into_owned();
        assert_eq!(plain.status, sealed.status, "{asked}\n-{}\n+{}", plain.text(), sealed.text());
        assert_eq!(plain.text(), sealed.text(), "{asked}");
        None
    }
}
