//! HTTP/2 from outside, section by section of RFC 9113 and RFC 7541: frames as bytes, and what a
//! server must make of them.

#[path = "../kit/mod.rs"]
mod kit;

mod fields;
mod floods;
mod frames;
mod hpack;
mod slow;
mod streams;
mod types;
mod wire;

use kit::{Front, fake, policy};
use wire::{Case, Expect, Peer};

/// An API that has something short to say, behind a labseal that lets everything pass.
fn front() -> Front {
    Front::with(policy::EMPTY, |_| fake::json("[1,2]"))
}

/// Plays each case on a connection of its own. After each, nothing has reached the API that must
/// not, and whoever comes next is answered.
fn play(cases: &[Case]) {
    let front = front();
    let to = front.labseal.address();
    let (mut failed, mut known) = (Vec::new(), 0);
    for Case(name, play, expect) in cases {
        let mut peer = Peer::open(to);
        play(&mut peer);
        if let Err(why) = peer.judge(*expect) {
            failed.push(format!("{name}: expected {expect:?}, got {why}"));
        }
        let reached = front.got("/bad").len();
        if reached > known {
            failed.push(format!("{name}: reached the API"));
            known = reached;
        }
        let mut next = Peer::open(to);
        next.whole(1, &wire::good());
        if let Err(why) = next.judge(Expect::Answers(1)) {
            failed.push(format!("{name}: and then {why}"));
        }
    }
    let (count, of) = (failed.len(), cases.len());
    assert!(failed.is_empty(), "{count} of {of} failed:\n{}", failed.join("\n"));
}
