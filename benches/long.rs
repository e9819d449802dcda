//! A GiB in one list, and in one record per line, read and written: what labseal has resident meanwhile, and how fast it passes.
//!
//! `cargo bench --bench long` prints lines for `benches/long.md`, where results are kept, and fails if
//! more than 64 MiB were resident. Client, labseal and API share the machine, and client and API
//! compare or count every byte, so the rate is a floor.

#[path = "../tests/kit/mod.rs"]
mod kit;

use kit::long::{Passage, Series, read, write};

const GIB: usize = 1 << 30;

fn main() {
    // Under `cargo test --benches` it is enough that it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let passages = [
        ("JSON list, read", read(Series::List, GIB)),
        ("JSON list, bulk write", write(Series::List, GIB)),
        ("NDJSON, read", read(Series::Lines, GIB)),
        ("NDJSON, bulk write", write(Series::Lines, GIB)),
    ];
    for (what, passage) in passages {
        let Passage { bytes, peak, time } = passage;
        let rate = bytes as f64 / 1e6 / time.as_secs_f64();
        let (mib, peak) = (bytes >> 20, peak as f64 / f64::from(1 << 20));
        anstream::println!("| {what} | {mib} | {peak:.1} | {rate:.0} |");
        passage.assert_bounded();
    }
}
