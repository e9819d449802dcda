//! labseal in front of a scripted upstream, and what a refusal must look like.

use std::sync::{Arc, Mutex, Weak};

use super::{
    canary::Canaries,
    client::{Answer, Request},
    fake::{self, Act, Fake},
    http::Message,
    labseal::{Labseal, Setup},
    policy,
};

/// labseal and the upstream behind it.
pub struct Front {
    /// labseal.
    pub labseal: Labseal,
    /// What is behind it.
    pub fake: Fake,
}

impl Front {
    /// The lab's policy in front of an upstream that has nothing and takes everything.
    pub fn start() -> Self {
        Self::with(policy::LAB, quiet)
    }

    /// Any policy, any upstream.
    pub fn with(
        policy: &str,
        reply: impl Fn(&Message) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let fake = Fake::start(reply);
        let labseal = Setup::new(policy, fake.address()).start();
        Self { labseal, fake }
    }

    /// The usual one, shared by the tests that run at the same time.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Front>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        shared.upgrade().unwrap_or_else(|| {
            let front = Arc::new(Self::start());
            *shared = Arc::downgrade(&front);
            front
        })
    }

    /// Sends a request as one of the callers.
    pub fn send(&self, caller: &str, request: Request) -> Answer {
        request.key(self.labseal.key(caller)).send(self.labseal.address())
    }

    /// Sends a request that must be refused with this code, without a trace of the canaries in
    /// the answer or behind labseal.
    pub fn refuse(
        &self,
        caller: &str,
        request: Request,
        code: &str,
        canaries: &Canaries,
    ) -> Answer {
        let sent = String::from_utf8_lossy(&request.bytes()).chars().take(300).collect::<String>();
        let answer = self.send(caller, request);
        let got = (answer.status, answer.header("Labseal-Error"));
        assert_eq!(got.1, Some(code), "{caller} sent:\n{sent}\nand got {got:?} {}", answer.text());
        assert_refused(&answer, code, canaries);
        canaries.assert_none("upstream", &self.fake.received());
        answer
    }

    /// What the upstream got for a target that starts like this.
    pub fn got(&self, target: &str) -> Vec<Message> {
        let mut all = self.fake.requests();
        all.retain(|request| {
            request.start.split(' ').nth(1).is_some_and(|got| got.starts_with(target))
        });
        all
    }
}

/// Fails unless the answer is a refusal of ours: its code and status, PostgREST's shape, what to
/// do about it, and no value.
pub fn assert_refused(answer: &Answer, code: &str, canaries: &Canaries) {
    use ::labseal::base::refusal::Code;
    let text = answer.text();
    assert_eq!(answer.header("Labseal-Error"), Some(code), "{}: {text}", answer.start);
    let known = Code::ALL.iter().find(|known| known.number() == code).expect("a code of ours");
    assert_eq!(answer.status, known.status(), "{code}: {text}");
    let kind = answer.header("Content-Type").unwrap_or_default();
    assert!(kind.starts_with("application/json"), "{code}: {kind}");
    let json = answer.json();
    assert_eq!(json["code"], code, "{text}");
    for member in ["message", "details", "hint"] {
        assert!(json[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {text}");
    }
    assert_eq!(json.as_object().map(|object| object.len()), Some(4), "{text}");
    canaries.assert_none("refusal", &answer.raw);
}

/// An empty table that takes everything.
pub fn quiet(request: &Message) -> Vec<Act> {
    match request.start.starts_with("GET ") {
        true => fake::json("[]"),
        false => {
            let kind = [("Content-Type", "application/json; charset=utf-8")];
            vec![Act::Send(fake::answer("201 Created", &kind, b"[]"))]
        }
    }
}

/// One canary, as `canary`, and the set that has it.
pub fn canary() -> (String, Canaries) {
    let mut canaries = Canaries::new();
    (canaries.plant("value"), canaries)
}

/// Every request is refused with this code.
pub fn all_refused(code: &str, requests: impl Fn(&str) -> Vec<(&'static str, Request)>) {
    let front = Front::shared();
    let (canary, canaries) = canary();
    for (caller, request) in requests(&canary) {
        front.refuse(caller, request, code, &canaries);
    }
}

/// A GET by `lims`.
pub fn get(target: impl AsRef<str>) -> (&'static str, Request) {
    ("lims", Request::get(target.as_ref()))
}

/// A POST of JSON by `lims`.
pub fn post(target: &str, body: impl AsRef<str>) -> (&'static str, Request) {
    ("lims", Request::post(target, body.as_ref()))
}
