//! How many records a second `labseal keys reseal` brings under a new key version: 200,000 patients
//! of three protected fields, PostgREST and PostgreSQL on the same machine.
//!
//! `cargo bench --bench reseal` prints a line for `benches/reseal.md`, where results are kept; `cargo
//! bench --bench reseal -- 20000` takes fewer. Each record is one PATCH of two values, conditional on
//! both, so what limits is the API; the processor time of each part is printed beside the rate.

#[path = "../tests/kit/mod.rs"]
mod kit;

use std::{path::Path, time::Duration};

use kit::{
    Postgres,
    store::{Patients, SEALED, TABLES},
};

/// The kit has statements logged, to search them; that would be measured as well.
const QUIET: &str = "do $$ begin execute format('alter database %I set log_statement = none', \
     current_database()); end $$;";

fn main() {
    // Under `cargo test --benches` it is enough that it builds.
    let arguments: Vec<_> = std::env::args().collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let count = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(200_000);
    let server = Postgres::start();
    let mut patients = Patients::with(&server, &format!("{QUIET}{TABLES}"), SEALED, 500);
    patients.labseal.run();
    for from in (0..count).step_by(5_000) {
        patients.add(from..count.min(from + 5_000));
    }
    patients.labseal.stop();
    patients.labseal.must(&["keys", "rotate"]);
    patients.database.sql("vacuum analyze lab.patients");

    let (start, before) = (kit::now(), spent());
    let (said, code) = patients.json(&["keys", "reseal", "start"]);
    let (took, after) = (start.elapsed(), spent());
    assert_eq!((code, &said["left"]), (Some(0), &0.into()), "{said}");
    assert_eq!(said["moved"], 2 * count);
    let rate = patients.status()["records_per_second"].clone();
    let whole = count as f64 / took.as_secs_f64();
    let each = |at: usize| (after[at] - before[at]).as_secs_f64() * 1e6 / count as f64;
    anstream::println!(
        "| {count} | {rate} | {whole:.0} | {:.0} | {:.0} | {:.0} |",
        each(0),
        each(1),
        each(2)
    );
}

/// Processor time of the commands of labseal that have ended, of PostgREST, and of PostgreSQL.
fn spent() -> [Duration; 3] {
    let mut spent = [Duration::ZERO; 3];
    let own = stat(Path::new("/proc/self/stat")).expect("a process has itself");
    spent[0] = own.children;
    for entry in std::fs::read_dir("/proc").expect("Linux").flatten() {
        let Some(of) = stat(&entry.path().join("stat")) else { continue };
        match of.name.as_str() {
            "postgrest" => spent[1] += of.own,
            "postgres" => spent[2] += of.own + of.children,
            _ => {}
        }
    }
    spent
}

struct Stat {
    name: String,
    own: Duration,
    children: Duration,
}

fn stat(path: &Path) -> Option<Stat> {
    let text = std::fs::read_to_string(path).ok()?;
    let (head, rest) = text.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // Ticks are hundredths of a second on every Linux that is in use.
    let time = |at: usize| {
        let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Duration::from_millis(10 * (ticks(at)? + ticks(at + 1)?)))
    };
    Some(Stat { name: name.to_owned(), own: time(11)?, children: time(13)? })
}
