//! Floods: what costs a client little and a server much ends, or stays within its bounds.

use std::time::Duration;

use crate::{
    front,
    kit::{Front, fake, policy},
    wire::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Expect::Answers, HEADERS, Next, PING,
        PRIORITY, Peer, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, bad, field, frame, good,
        request, setting,
    },
};

/// What a flood may add to what is resident.
const MOST: usize = 48 << 20;

fn resident(front: &Front) -> usize {
    let status = format!("/proc/{}/status", front.labseal.pid());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
}

/// Sends what `piece` makes of each number until it is no longer taken, and says how often it was.
/// Memory stays bounded, and whoever comes next is answered.
fn flood(front: &Front, times: u32, piece: impl Fn(u32) -> Vec<u8>) -> (u32, Peer) {
    let before = resident(front);
    let mut peer = Peer::open(front.labseal.address());
    let mut taken = 0;
    // In larger pieces, so that it is a flood.
    for n in (0..times).step_by(64) {
        let bytes: Vec<u8> = (n..n + 64).flat_map(&piece).collect();
        if !peer.raw(&bytes) {
            break;
        }
        taken = n + 64;
    }
    let added = resident(front).saturating_sub(before);
    assert!(added < MOST, "{added} bytes more");
    let mut next = Peer::open(front.labseal.address());
    next.whole(1, &good());
    next.judge(Answers(1)).unwrap();
    (taken, peer)
}

/// The code that a connection ended with.
fn ended(mut peer: Peer) -> Option<u32> {
    let mut code = None;
    loop {
        match peer.next() {
            Next::Frame(frame) if frame.kind == crate::wire::GOAWAY => code = frame.code(),
            Next::Frame(_) => {}
            Next::Closed => return code,
            Next::Silence => panic!("the connection goes on"),
        }
    }
}

fn number(n: u32) -> u32 {
    2 * n + 1
}

#[test]
fn rapid_reset_ends_the_connection_and_asks_little_of_the_api() {
    let front = front();
    let (_, peer) = flood(&front, 20_000, |n| {
        let reset = frame(RST_STREAM, 0, number(n), &[0, 0, 0, 8]);
        [frame(HEADERS, WHOLE, number(n), &request("GET", "/many")), reset].concat()
    });
    ended(peer);
    let asked = front.got("/many").len();
    assert!(asked < 2_000, "the API was asked {asked} times");
}

#[test]
fn resets_that_the_server_is_made_to_send_end_the_connection() {
    let front = front();
    let (_, peer) = flood(&front, 20_000, |n| {
        let nothing = frame(WINDOW_UPDATE, 0, number(n), &[0; 4]);
        [frame(HEADERS, END_HEADERS, number(n), &request("POST", "/many")), nothing].concat()
    });
    ended(peer);
    let asked = String::from_utf8_lossy(&front.fake.received()).matches("POST /many").count();
    assert!(asked < 4_000, "the API was asked {asked} times");
}

#[test]
fn a_head_without_end_ends_the_connection() {
    let front = front();
    for piece in [field("x", &"y".repeat(120)).repeat(100), Vec::new()] {
        let (_, peer) = flood(&front, 20_000, |n| match n {
            0 => frame(HEADERS, END_STREAM, 1, &bad()),
            _ => frame(CONTINUATION, 0, 1, &piece),
        });
        ended(peer);
    }
    assert!(front.got("/bad").is_empty());
}

#[test]
fn data_without_data_ends_the_connection_or_the_stream() {
    let front = front();
    let (_, peer) = flood(&front, 200_000, |n| match n {
        0 => frame(HEADERS, END_HEADERS, 1, &bad()),
        _ => frame(DATA, 0, 1, b""),
    });
    ended(peer);
    assert!(front.got("/bad").is_empty());
}

#[test]
fn heads_without_fields_are_malformed_and_end_the_connection() {
    let front = front();
    let (_, peer) = flood(&front, 20_000, |n| frame(HEADERS, WHOLE, number(n), b""));
    ended(peer);
}

/// Nobody reads what these have sent back: it may neither pile up nor hold up others.
#[test]
fn what_has_to_be_answered_and_is_not_read_does_not_pile_up() {
    let front = front();
    let ping = frame(PING, 0, 0, b"answer m");
    let settings = frame(SETTINGS, 0, 0, &setting(4, 1 << 16));
    for piece in [ping, settings] {
        flood(&front, 2_000_000, |_| piece.clone());
    }
}

#[test]
fn what_needs_no_answer_costs_no_memory() {
    let front = front();
    let pieces = [
        frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1]),
        frame(PING, ACK, 0, b"answered"),
        frame(0x16, 0, 0, &[0; 100]),
        frame(SETTINGS, ACK, 0, b""),
    ];
    for piece in pieces {
        flood(&front, 100_000, |_| piece.clone());
    }
}

#[test]
fn windows_that_are_opened_by_single_bytes_pass_an_answer_whole() {
    let front = front();
    let mut peer = Peer::open(front.labseal.address());
    peer.frame(SETTINGS, 0, 0, &setting(4, 0));
    peer.whole(1, &good());
    let mut got = Vec::new();
    while got.len() < 5 {
        peer.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
        got.extend(peer.until("DATA", |frame| frame.kind == DATA).unwrap().payload);
    }
    assert_eq!(got, b"[1,2]");
    let (taken, mut peer) = flood(&front, 100_000, |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]));
    assert_eq!(taken, 100_032);
    peer.whole(1, &good());
    peer.judge(Answers(1)).unwrap();
}

#[test]
fn many_answers_that_nobody_takes_hold_little() {
    let front = Front::with(policy::EMPTY, |_| fake::json(&format!("[{}]", "1,".repeat(400_000))));
    let before = resident(&front);
    let mut peers: Vec<_> = (0..4).map(|_| Peer::open(front.labseal.address())).collect();
    for peer in &mut peers {
        for n in 0..100 {
            peer.whole(number(n), &request("GET", "/many"));
        }
    }
    std::thread::sleep(Duration::from_secs(2));
    let added = resident(&front).saturating_sub(before);
    assert!(added < 2 * MOST, "{added} bytes more");
}
