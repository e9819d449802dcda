//! Thousands of requests to a real PostgREST, each sent twice: as it is, and through labseal.
//!
//! Either both answers are the same, or labseal refuses where `docs/postgrest.md` says so, with the
//! code that it says. After each round of requests both databases hold the same, and no value that
//! the policy protects is anywhere behind labseal.
//!
//! The requests come from a generator that walks the grammar (`generate`, `writes`) by numbers
//! (`choices`); what labseal must refuse is written down in `predict`. A failing round prints its
//! seed and its smallest form. `LABSEAL_DIFFERENTIAL_SEED` repeats one, and
//! `LABSEAL_DIFFERENTIAL_CASES` says how many requests to send.

// Tests may.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::explicit_auto_deref)]

#[path = "../kit/mod.rs"]
mod kit;

mod ask;
mod bound;
mod choices;
mod compare;
mod forms;
mod generate;
mod lab;
mod patterns;
mod predict;
mod refined;
mod schema;
mod search;
mod values;
mod writes;

use std::collections::BTreeMap;

use ask::Ask;
use choices::{Choices, Dice, shrink};
use kit::{Answer, Request};
use lab::{Pair, TABLES};
use values::Pools;

/// Requests from one restored state.
const ROUND: usize = 25;
/// What must have been answered, apart from equality in JSON.
const KINDS: [&str; 11] = [
    "bound",
    "refined bound",
    "pattern",
    "refined pattern",
    "ordered here",
    "body as CSV",
    "body as a form",
    "answer as CSV",
    "function",
    "bound record",
    "column and relation",
];
/// How many failing rounds are reported before giving up.
const ENOUGH: usize = 6;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// What was seen, so that a run which only saw refusals does not pass.
#[derive(Default)]
struct Seen {
    statuses: BTreeMap<String, usize>,
    refusals: BTreeMap<String, usize>,
    kinds: BTreeMap<&'static str, usize>,
}

struct Bench {
    pair: Pair,
    pools: Pools,
    key: String,
    seen: Seen,
}

impl Bench {
    fn start() -> Self {
        let pair = Pair::start();
        let key = pair.labseal.key("lims").to_owned();
        let bench = Self { pair, pools: Pools::plant(), key, seen: Seen::default() };
        bench.fill();
        for api in [bench.pair.direct.address(), bench.pair.behind.address()] {
            assert_eq!(Request::post("/rpc/keep", "{}").send(api).status, 204);
        }
        bench
    }

    fn sealed(&self, request: &Request) -> Answer {
        request.clone().key(&self.key).send(self.pair.labseal.address())
    }

    /// Writes the same records both ways.
    fn fill(&self) {
        let mut dice = Dice::new(5);
        for table in TABLES.iter().filter(|table| table.writable && table.name != "roster") {
            for n in 0..14 {
                let decisions = dice.decisions();
                let record = writes::record(&mut Choices::new(&decisions), &self.pools, table, n);
                let Some(record) = record else { continue };
                let request = Request::post(&format!("/{}", table.name), &record)
                    .header("Content-Profile", table.schema);
                let direct = request.send(self.pair.direct.address());
                assert_eq!(direct.status, 201, "{record}: {}", direct.text());
                let sealed = self.sealed(&request);
                assert_eq!(sealed.status, 201, "{record}: {}", sealed.text());
            }
        }
    }

    fn restore(&self) {
        for api in [self.pair.direct.address(), self.pair.behind.address()] {
            let answer = Request::post("/rpc/restore", "{}").send(api);
            assert_eq!(answer.status, 204, "{}", answer.text());
        }
    }

    fn ask(&self, decisions: &[u16]) -> Ask {
        let c = &mut Choices::new(decisions);
        match c.below(24) {
            0..=9 => generate::read(c, &self.pools),
            10..=16 => writes::write(c, &self.pools),
            17 | 18 => writes::call(c, &self.pools),
            20..=23 => search::search(c, &self.pools),
            _ => writes::slip(c),
        }
    }

    /// Sends a request; says what is wrong with what comes back.
    fn send(&mut self, ask: &Ask) -> Result<(), String> {
        let predicted = predict::refusals(ask);
        let request = ask.request();
        let sealed = self.sealed(&request);
        let refused = sealed.header("Labseal-Error").map(str::to_owned);
        let perhaps = predicted.contains(predict::PERHAPS) && refused.is_none();
        match (predicted.is_empty() || perhaps, &refused) {
            (false, Some(code)) if predicted.contains(&**code) => {
                *self.seen.refusals.entry(code.clone()).or_default() += 1;
                Ok(())
            }
            (false, _) => {
                let got = refused.as_deref().unwrap_or("no refusal");
                Err(format!("{got} instead of {predicted:?}: {} {}", sealed.start, sealed.text()))
            }
            (true, _) => {
                let direct = request.send(self.pair.direct.address());
                let status = format!("{} {}", ask.method, direct.status);
                *self.seen.statuses.entry(status).or_default() += 1;
                for kind in refined::kinds(ask).into_iter().filter(|_| direct.status < 300) {
                    *self.seen.kinds.entry(kind).or_default() += 1;
                }
                let found = compare::differences(ask, &direct, &sealed);
                if found.is_empty() { Ok(()) } else { Err(found.join("\n  ")) }
            }
        }
    }

    /// Whether both databases hold the same.
    fn same_tables(&self) -> Result<(), String> {
        for table in TABLES.iter().filter(|table| table.name != "roster") {
            let key = if table.name == "contacts" { "room" } else { table.columns[0].name };
            let target = format!("/{}?order={key}", table.name);
            let request = Request::get(&target).header("Accept-Profile", table.schema);
            let direct = request.send(self.pair.direct.address());
            let sealed = self.sealed(&request);
            let mut whole = Ask::new("GET", ask::Target::Table(table));
            whole.sparing = true;
            let found = compare::differences(&whole, &direct, &sealed);
            if !found.is_empty() {
                return Err(format!(
                    "afterwards {} is not the same:\n  {}",
                    table.name,
                    found.join("\n  ")
                ));
            }
        }
        Ok(())
    }

    /// Sends a round of requests from the restored state; gives where it fails.
    fn round(&mut self, round: &[Vec<u16>]) -> Result<(), (usize, String)> {
        self.restore();
        for (n, decisions) in round.iter().enumerate() {
            let ask = self.ask(decisions);
            self.send(&ask).map_err(|wrong| (n, wrong))?;
        }
        self.same_tables().map_err(|wrong| (round.len(), wrong))
    }

    /// The smallest failing form of a failing round, in words.
    fn explain(&mut self, mut round: Vec<Vec<u16>>, at: usize) -> String {
        round.truncate(at + 1);
        let mut n = 0;
        while n < round.len() {
            let mut fewer = round.clone();
            fewer.remove(n);
            match !fewer.is_empty() && self.round(&fewer).is_err() {
                true => round = fewer,
                false => n += 1,
            }
        }
        for n in (0..round.len()).rev() {
            let whole = round.clone();
            round[n] = shrink(round[n].clone(), 250, |smaller| {
                let mut smaller_round = whole.clone();
                smaller_round[n] = smaller.to_vec();
                self.round(&smaller_round).is_err()
            });
        }
        let wrong = self.round(&round).err().map_or_else(|| "it passes now".to_owned(), |(_, w)| w);
        let sent = round.iter().map(|decisions| {
            let bytes = self.ask(decisions).request().bytes();
            String::from_utf8_lossy(&bytes).trim_end().replace("\r\n", "\n    ")
        });
        format!("{}\n  {wrong}", sent.collect::<Vec<_>>().join("\n  then\n    "))
    }
}

#[test]
fn postgrest_answers_the_same_through_labseal_or_is_refused_as_the_docs_say() {
    let cases = setting("LABSEAL_DIFFERENTIAL_CASES", 2_500) as usize;
    let seed = setting("LABSEAL_DIFFERENTIAL_SEED", 1);
    let mut bench = Bench::start();
    let mut failures = Vec::new();
    let rounds = cases.div_ceil(ROUND).max(1);
    for n in 0..rounds {
        let mut dice = Dice::new(seed + n as u64);
        let round: Vec<_> = (0..ROUND).map(|_| dice.decisions()).collect();
        if let Err((at, _)) = bench.round(&round) {
            let told = bench.explain(round, at);
            failures.push(format!("seed {}:\n    {told}", seed + n as u64));
            if failures.len() == ENOUGH {
                break;
            }
        }
    }
    let seen = &bench.seen;
    assert!(
        failures.is_empty(),
        "{} of {rounds} rounds failed\n\n{}\n\n{:?}\n{:?}",
        failures.len(),
        failures.join("\n\n"),
        seen.statuses,
        seen.refusals,
    );
    if cases >= 1_000 {
        let count = |start: &str| {
            let of = seen.statuses.iter().filter(|(status, _)| status.starts_with(start));
            of.map(|(_, count)| count).sum::<usize>()
        };
        for (start, least) in
            [("GET 2", cases / 8), ("POST 2", 9), ("PATCH 2", 9), ("PUT 2", 3), ("DELETE 2", 3)]
        {
            assert!(count(start) >= least, "only {} of {start}: {:?}", count(start), seen.statuses);
        }
        assert!(seen.refusals.len() >= 11, "{:?}", seen.refusals);
        for kind in KINDS {
            let count = seen.kinds.get(kind).copied().unwrap_or_default();
            assert!(count >= 3, "only {count} of {kind}: {:?}", seen.kinds);
        }
    }
    bench.pair.assert_no_leak(&bench.pools.canaries);
}
