//! The protections of key memory. A binary of its own: they are the whole process's.

// Tests may.
#![allow(clippy::unwrap_used)]

use labseal::keys::harden::{Unprotected, harden};

#[test]
fn a_hardened_process_dumps_no_core_and_swaps_nothing_unless_it_says_so() {
    let missing = harden();
    assert!(missing.iter().all(|missing| matches!(missing, Unprotected::Swap(_))), "{missing:?}");
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"));
    assert!(!nix::sys::prctl::get_dumpable().unwrap());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let locked = status.lines().find(|line| line.starts_with("VmLck:")).unwrap();
    let is_locked = locked.split_whitespace().nth(1) != Some("0");
    assert_eq!(is_locked, missing.is_empty(), "{locked}");
    // Memory that comes later is locked too, and can still be had.
    assert_eq!(vec![1u8; 64 << 20].iter().map(|byte| u64::from(*byte)).sum::<u64>(), 64 << 20);
}
