//! labseal beside what would be used instead of it, under the same load in the same run.
//!
//! `benches/kit/run` installs what it needs and runs this. In every round each target takes its turn:
//! first as fast as it goes over sixteen connections, then at half the rate that it reached. CPU is
//! what the operating system charges to the processes of the target. Ratios are taken within a
//! round, and the median of the rounds is reported, with the spread.

#[path = "../../tests/kit/mod.rs"]
mod kit;
mod load;
mod meter;
mod report;
mod targets;
mod upstream;

use std::{path::PathBuf, thread, time::Duration};

use clap::Parser as _;
use indicatif::{ProgressBar, ProgressStyle};

use report::{Figures, Report};
use targets::{Fleet, Target};
use upstream::Role;

/// Compare labseal with proxies and with what a team would write itself
#[derive(clap::Parser)]
#[command(name = "benches/kit/run")]
struct Args {
    /// Three rounds of a second, to see that everything works
    #[arg(long)]
    quick: bool,
    /// How often every target takes its turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long one load lasts
    #[arg(long, default_value_t = 4.0, value_name = "SECONDS")]
    seconds: f64,
    /// Only these targets, and nginx-plain, to which the others are compared
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Write the figures there
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw them there
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// `cargo bench` passes this
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    if let Some(role) = std::env::var_os("LABSEAL_KIT_ROLE") {
        let role = Role::ALL.into_iter().find(|(word, _)| role == **word);
        return upstream::serve(role.expect("a role").1);
    }
    let args = Args::parse();
    // Under `cargo test --benches` it is enough that it builds.
    if !args.bench {
        return;
    }
    let (rounds, seconds) = if args.quick { (3, 1.0) } else { (args.rounds, args.seconds) };
    let time = Duration::from_secs_f64(seconds);
    let mut fleet = Fleet::start();
    if !args.only.is_empty() {
        let is_asked = |target: &Target| args.only.iter().any(|name| name == target.name);
        fleet.targets.retain(|target| is_asked(target) || target.name == report::BASE);
    }
    let idle: Vec<_> = fleet.targets.iter().map(|target| meter::resident(&target.pids)).collect();
    let mut report = Report::new(&fleet, idle);
    let bar = ProgressBar::new((rounds * fleet.targets.len()) as u64);
    bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg} eta {eta}").unwrap());
    for _ in 0..rounds {
        for (at, target) in fleet.targets.iter().enumerate() {
            bar.set_message(target.name);
            report.add(at, measure(target, time));
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    anstream::println!("{}", report.table());
    if let Some(file) = args.json {
        std::fs::write(file, report.json()).expect("the JSON is written");
    }
    if let Some(file) = args.svg {
        std::fs::write(file, report.svg()).expect("the drawing is written");
    }
}

/// One turn of one target.
fn measure(target: &Target, time: Duration) -> Figures {
    // What was started by the load before has ended by then.
    load::closed(&target.aim, time / 8);
    let before = meter::cpu(&target.pids);
    let fast = load::closed(&target.aim, time);
    let cpu = meter::cpu(&target.pids) - before;
    thread::sleep(Duration::from_millis(50));
    let half = load::open(&target.aim, fast.rate() / 2.0, time);
    let micros = |part| half.quantile(part).as_secs_f64() * 1e6;
    Figures {
        cpu_us_per_request: cpu.as_secs_f64() * 1e6 / fast.requests as f64,
        requests_per_second: fast.rate(),
        p50_us: micros(0.5),
        p99_us: micros(0.99),
        p999_us: micros(0.999),
        rss_mib: meter::resident(&target.pids),
    }
}
