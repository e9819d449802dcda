//! Medians, ratios and spread, as a table, as JSON and as a drawing.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::json;

use super::targets::Fleet;

/// What the others are compared to.
pub const BASE: &str = "nginx-plain";

/// Of one turn.
#[derive(Clone, Copy)]
pub struct Figures {
    /// CPU of the target's processes, per answered request.
    pub cpu_us_per_request: f64,
    /// As fast as it goes.
    pub requests_per_second: f64,
    /// At half of that.
    pub p50_us: f64,
    /// The same.
    pub p99_us: f64,
    /// The same.
    pub p999_us: f64,
    /// After the load.
    pub rss_mib: f64,
}

/// All turns of all targets.
pub struct Report {
    names: Vec<&'static str>,
    idle: Vec<f64>,
    turns: Vec<Vec<Figures>>,
}

impl Report {
    /// With no turns yet; `idle` is what each had resident before any load, in MiB.
    pub fn new(fleet: &Fleet, idle: Vec<f64>) -> Self {
        let names: Vec<_> = fleet.targets.iter().map(|target| target.name).collect();
        let turns = names.iter().map(|_| Vec::new()).collect();
        Self { names, idle, turns }
    }

    /// Adds a turn.
    pub fn add(&mut self, at: usize, figures: Figures) {
        self.turns[at].push(figures);
    }

    fn median(&self, at: usize, of: impl Fn(&Figures) -> f64) -> f64 {
        middle(self.turns[at].iter().map(of).collect()).1
    }

    /// CPU per request against the base, round by round: least, median, most.
    fn ratio(&self, at: usize) -> (f64, f64, f64) {
        let base = self.names.iter().position(|name| *name == BASE).expect("the base runs");
        let pairs = self.turns[at].iter().zip(&self.turns[base]);
        middle(pairs.map(|(one, base)| one.cpu_us_per_request / base.cpu_us_per_request).collect())
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header([
            "target",
            "CPU µs/request",
            "÷ nginx",
            "least–most",
            "requests/s",
            "p50 µs",
            "p99 µs",
            "p99.9 µs",
            "idle MiB",
            "MiB",
        ]);
        for (at, name) in self.names.iter().enumerate() {
            let (least, ratio, most) = self.ratio(at);
            table.add_row([
                (*name).to_owned(),
                format!("{:.1}", self.median(at, |turn| turn.cpu_us_per_request)),
                format!("{ratio:.2}"),
                format!("{least:.2}–{most:.2}"),
                format!("{:.0}", self.median(at, |turn| turn.requests_per_second)),
                format!("{:.0}", self.median(at, |turn| turn.p50_us)),
                format!("{:.0}", self.median(at, |turn| turn.p99_us)),
                format!("{:.0}", self.median(at, |turn| turn.p999_us)),
                format!("{:.1}", self.idle[at]),
                format!("{:.1}", self.median(at, |turn| turn.rss_mib)),
            ]);
        }
        table.column_iter_mut().skip(1).for_each(|c| c.set_cell_alignment(CellAlignment::Right));
        table.to_string()
    }

    /// For scripts: medians, one object per target.
    pub fn json(&self) -> String {
        let all: Vec<_> = (0..self.names.len())
            .map(|at| {
                let (least, ratio, most) = self.ratio(at);
                json!({
                    "name": self.names[at],
                    "cpu_us_per_request": self.median(at, |turn| turn.cpu_us_per_request),
                    "cpu_ratio": {"least": least, "median": ratio, "most": most},
                    "requests_per_second": self.median(at, |turn| turn.requests_per_second),
                    "p50_us": self.median(at, |turn| turn.p50_us),
                    "p99_us": self.median(at, |turn| turn.p99_us),
                    "p999_us": self.median(at, |turn| turn.p999_us),
                    "rss_mib": self.median(at, |turn| turn.rss_mib),
                    "idle_rss_mib": self.idle[at],
                })
            })
            .collect();
        format!("{:#}\n", serde_json::Value::from(all))
    }

    /// CPU per request as bars on a logarithmic scale, with the spread of the rounds.
    pub fn svg(&self) -> String {
        const LEFT: f64 = 190.0;
        const WIDTH: f64 = 560.0;
        const ROW: f64 = 22.0;
        let of = |at: usize| -> (f64, f64, f64) {
            middle(self.turns[at].iter().map(|turn| turn.cpu_us_per_request).collect())
        };
        let all: Vec<_> = (0..self.names.len()).map(|at| (self.names[at], of(at))).collect();
        let most = all.iter().map(|(_, (_, _, most))| *most).fold(10.0, f64::max);
        let x = |micros: f64| LEFT + WIDTH * micros.max(1.0).log10() / most.log10();
        let height = ROW * (all.len() + 2) as f64;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0} {height:.0}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<title>CPU per request in µs, logarithmic</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
            LEFT + WIDTH + 90.0
        );
        for power in 0..=most.log10() as i32 {
            let micros = 10f64.powi(power);
            let _ = writeln!(
                svg,
                "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"0\" y2=\"{1:.0}\" stroke=\"#ddd\"/>\
                 <text x=\"{0:.1}\" y=\"{2:.0}\" text-anchor=\"middle\">{micros} µs</text>",
                x(micros),
                height - ROW,
                height - 6.0
            );
        }
        for (row, (name, (least, median, most))) in all.iter().enumerate() {
            let y = ROW * row as f64 + 8.0;
            let colour = if name.starts_with("labseal") || name.contains("-labseal") {
                "#2b6cb0"
            } else {
                "#a0aec0"
            };
            let (end, text, middle) = (LEFT - 8.0, y + 11.0, y + 7.0);
            let (length, from, to) = (x(*median) - LEFT, x(*least), x(*most));
            let _ = writeln!(
                svg,
                "<text x=\"{end:.0}\" y=\"{text:.0}\" text-anchor=\"end\">{name}</text>\
                 <rect x=\"{LEFT}\" y=\"{y:.0}\" width=\"{length:.1}\" height=\"14\" fill=\"{colour}\"/>\
                 <line x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{middle:.0}\" y2=\"{middle:.0}\" stroke=\"black\"/>"
            );
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.0}\">{median:.1}</text>",
                x(*most) + 6.0,
                y + 11.0
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// Least, median and most.
fn middle(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |at: usize| values.get(at).copied().unwrap_or(f64::NAN);
    let half = values.len() / 2;
    let median = if values.len() % 2 == 1 {
        at(half)
    } else {
        (at(half.saturating_sub(1)) + at(half)) / 2.0
    };
    (at(0), median, at(values.len().saturating_sub(1)))
}
