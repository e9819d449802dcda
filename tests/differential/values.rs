//! The values that stand in the tables and in the requests. Each protected one is a canary, except
//! those that have too few letters to be one.

use crate::{
    choices::Choices,
    kit::{Canaries, random},
    lab::{Column, Kind},
};

/// A value as it is spelled somewhere, and whether its column takes it.
#[derive(Clone, Debug)]
pub struct Value {
    /// Its spelling: a literal in a query, or a lexeme in a body.
    pub text: String,
    /// Whether a class of the column's type takes it.
    pub fits: bool,
}

fn fitting(text: impl Into<String>) -> Value {
    Value { text: text.into(), fits: true }
}

fn unfit(text: &str) -> Value {
    Value { text: text.to_owned(), fits: false }
}

/// The values of every kind.
pub struct Pools {
    /// Everything that must not be found.
    pub canaries: Canaries,
    texts: Vec<(&'static str, Vec<String>)>,
    numbers: Vec<String>,
    dates: Vec<(u16, u8, u8)>,
    near: Vec<(u16, u8, u8)>,
}

const TEXTS: [&str; 12] = [
    "mrn",
    "last_name",
    "given",
    "e.mail",
    "notes",
    "remark",
    "phone",
    "label",
    "serial",
    "city",
    "finding",
    "tag",
];

impl Pools {
    /// New ones.
    pub fn plant() -> Self {
        let mut canaries = Canaries::new();
        let mut texts = Vec::new();
        for name in TEXTS {
            let mut plant = |n: usize| canaries.plant(&format!("{name} {n}"));
            let mut pool: Vec<String> = (0..6).map(&mut plant).collect();
            pool.push(pool[0].to_lowercase());
            pool.push(format!("O'Neil, \"{}\" (\\x)", plant(6)));
            pool.push(format!("Åström-Ñuñez {} 山田 👩🏽‍⚕️", plant(7)));
            pool.push(format!(" {}% &+=_*:;#?/ ", plant(8)));
            pool.push(format!("{{{}}}", plant(9)));
            pool.push(format!("{}.eq.1,id.gt.0)", plant(10)));
            pool.push(plant(11).repeat(12));
            pool.push(String::new());
            pool.push("null".to_owned());
            texts.push((name, pool));
        }
        let numbers = (0..5).map(|n| canaries.plant_number(&format!("number {n}"))).collect();
        let dates = (0..5).map(|n| {
            let [a, b, c, d] = random::<4>();
            let year = 5000 + u16::from_be_bytes([a, b]) % 4000;
            let (month, day) = (1 + c % 12, 1 + d % 28);
            canaries.adopt(&format!("date {n}"), &format!("{year:04}-{month:02}-{day:02}"));
            (year, month, day)
        });
        let dates = dates.collect();
        let near = (0..8).map(|n| {
            let [a, b, c] = random::<3>();
            // Every other one is the beginning of a month.
            let day = if n % 2 == 0 { 1 } else { 2 + b % 26 };
            let (year, month) = (7000 + u16::from(a) % 40, 1 + c % 12);
            canaries.adopt(&format!("day {n}"), &format!("{year:04}-{month:02}-{day:02}"));
            (year, month, day)
        });
        let near = near.collect();
        Self { canaries, texts, numbers, dates, near }
    }

    fn texts(&self, column: &Column) -> &[String] {
        let name = if column.name == "surname" { "last_name" } else { column.name };
        let found = self.texts.iter().find(|(pool, _)| *pool == name);
        &found.unwrap_or_else(|| panic!("no values for {name}")).1
    }

    /// Text number `n` of a protected column.
    pub fn text(&self, column: &Column, n: usize) -> String {
        self.texts(column)[n].clone()
    }

    /// A literal to test a column against.
    pub fn literal(&self, c: &mut Choices<'_>, column: &Column) -> Value {
        if !column.is_protected() {
            return fitting(*c.pick(plain_literals(column)));
        }
        match column.kind {
            Kind::Text => fitting(c.pick(self.texts(column)).clone()),
            Kind::Date if column.ladder.dated => {
                let (year, month, day) = *c.pick(&self.near);
                match c.below(8) {
                    0..=5 => fitting(format!("{year:04}-{month:02}-{day:02}")),
                    6 => fitting(format!("{year}-{month}-{day} 12:30")),
                    _ => unfit(*c.pick(&["soon", "7012-02-30", ""])),
                }
            }
            Kind::Moment => {
                let (year, month, day) = *c.pick(&self.near);
                match c.below(8) {
                    0 | 1 => fitting(format!("{year}-{month:02}-{day:02}T00:00:00")),
                    2 | 3 => fitting(format!("{year}-{month:02}-{day:02}")),
                    4 => fitting(format!("{year}-{month:02}-{day:02} 10:20:30.25")),
                    5 => fitting(format!("{year}-{month:02}-01 00:00")),
                    6 => fitting(format!("{year}-01-01T00:00:00")),
                    _ => unfit(*c.pick(&["soon", "7012-02-30T00:00:00", ""])),
                }
            }
            Kind::Date => {
                let (year, month, day) = *c.pick(&self.dates);
                match c.below(5) {
                    0 | 1 => fitting(format!("{year:04}-{month:02}-{day:02}")),
                    2 => fitting(format!("{year}-{month}-{day}")),
                    3 => fitting(format!(" {year}-{month:02}-{day} ")),
                    _ => unfit(*c.pick(&["soon", "7312-02-30", "", "1-1"])),
                }
            }
            Kind::Numeric => {
                let n = c.pick(&self.numbers).clone();
                match c.below(8) {
                    0 | 1 => fitting(format!("{n}.50")),
                    2 => fitting(format!("{n}.5")),
                    3 => fitting(format!("{n}5e-1")),
                    4 => fitting(format!("+0{n}.500 ")),
                    5 => fitting(c.pick(&["0".to_owned(), format!("{n}.501")]).clone()),
                    6 => fitting("-0.00"),
                    _ => unfit(*c.pick(&["high", "", "1.2.3", "0x10"])),
                }
            }
            Kind::Integer => {
                let n = c.pick(&self.numbers).clone();
                match c.below(6) {
                    0 | 1 => fitting(n),
                    2 => fitting(format!("00{n}")),
                    3 => fitting(format!(" +{n} ")),
                    4 => fitting("-5"),
                    _ => unfit(*c.pick(&["many", "", "1.5", "1e3"])),
                }
            }
            Kind::Boolean => match c.below(4) {
                0 => fitting("true"),
                1 => fitting("f"),
                2 => fitting("off"),
                _ => unfit("o"),
            },
            Kind::Array | Kind::Json => unreachable!("no class of this kind is declared"),
        }
    }

    /// A literal to test the order of a column against: also one beyond what is stored.
    pub fn bound(&self, c: &mut Choices<'_>, column: &Column) -> Value {
        match column.ladder.dated && c.once_in(8) {
            true => fitting(*c.pick(&["7000-01-01", "6990-05-05", "7050-12-31", "7060-01-01"])),
            false => self.literal(c, column),
        }
    }

    /// A pattern for a column of text: the beginning of a value, and something behind it.
    pub fn pattern(&self, c: &mut Choices<'_>, column: &Column) -> String {
        let text = self.literal(c, column).text;
        let wanted = (column.ladder.prefix + 4).saturating_sub(1) - c.below(4);
        let kept = if c.once_in(6) { text.chars().count() } else { wanted };
        let mut head: String = text.chars().take(kept).collect();
        match c.below(5) {
            3 => head = head.to_lowercase(),
            4 => head = head.to_uppercase(),
            _ => {}
        }
        if c.once_in(3) {
            let special = |c: char| matches!(c, '%' | '_' | '\\');
            let escaped = |c: char| if special(c) { format!("\\{c}") } else { c.to_string() };
            head = head.chars().map(escaped).collect();
        }
        let last: String = text.chars().rev().take(2).collect::<Vec<_>>().iter().rev().collect();
        let behind = ["*".to_owned(), "%".to_owned(), "_*".to_owned(), format!("*{last}")];
        match c.below(8) {
            n @ 0..=3 => format!("{head}{}", behind[n]),
            4 => format!("{head}%%"),
            5 => format!("{head}{}", "_".repeat(text.chars().count().saturating_sub(kept))),
            6 => format!("*{head}%"),
            _ => format!("{head}*"),
        }
    }

    /// A lexeme for a column in a JSON body, other than null.
    pub fn lexeme(&self, c: &mut Choices<'_>, column: &Column) -> Value {
        if !column.is_protected() {
            return fitting(*c.pick(plain_lexemes(column)));
        }
        let string = |value: &Value| Value {
            text: serde_json::Value::from(value.text.as_str()).to_string(),
            fits: value.fits,
        };
        let value = self.literal(c, column);
        match (column.kind, c.below(6)) {
            (Kind::Text, 1) => fitting(format!("{}.10", self.numbers[0])),
            (Kind::Text, 2) => fitting(format!("\"\\u0041\\n\\\"\\/{}\"", self.texts(column)[1])),
            (Kind::Text, 3) => match c.below(4) {
                0 => fitting("true"),
                1 => fitting("1E2"),
                2 => fitting("-0"),
                _ => unfit("\"\\u0000\""),
            },
            (Kind::Boolean, 1) => fitting(*c.pick(&["true", "false", "\" YES \"", "\"1\""])),
            (Kind::Boolean, 2) => unfit(*c.pick(&["2", "\"maybe\"", "1.0"])),
            (Kind::Integer, 1) => fitting(c.pick(&self.numbers).clone()),
            (Kind::Numeric, 1) => fitting(format!("{}.125", c.pick(&self.numbers))),
            (Kind::Numeric, 2) => fitting(format!("-{}5E-1", c.pick(&self.numbers))),
            (Kind::Numeric, 3) => unfit(*c.pick(&["1e99", "true", "\"1,5\""])),
            (Kind::Date | Kind::Moment, 1) if column.ladder.dated => {
                unfit(*c.pick(&["\"6999-12-31\"", "\"7051-01-01\"", "7012"]))
            }
            _ => string(&value),
        }
    }
}

fn plain_literals(column: &Column) -> &'static [&'static str] {
    match column.name {
        "active" => &["true", "false", "maybe"],
        "bed" | "priority" => &["1", "2", "0", "3", " 7", "2000", "x", ""],
        "id" => &["1", "2", "3", "5", "8", "12", "99", "x"],
        "code" => &["CBC", "BMP", "Na+", "a,b"],
        "meta" => &["{\"k\": 1}", "{}", "null", "{", "\"s\""],
        "placed" => &["2026-01-02", "2026-2-3", "never"],
        "tags" => &["{a,b}", "{}", "{\"x y\"}", "a"],
        _ => &["A", "B", "C-1", "ward, (x)", "null", "", "a%_*\\", "\"q\"", "ö&=+ "],
    }
}

fn plain_lexemes(column: &Column) -> &'static [&'static str] {
    match column.name {
        "active" => &["true", "false", "\"t\"", "\"maybe\""],
        "bed" => &["1", "2", "\"3\"", "2000", "\"x\"", "1.5"],
        "priority" => &["1", "2", "\"3\"", "4", "10", "\"x\""],
        "id" => &["1", "2", "20", "21", "22", "23", "24", "25", "\"26\""],
        "code" => &["\"CBC\"", "\"BMP\"", "\"Na+ \\u00e9\"", "17"],
        "meta" => &["{\"k\": 1.10}", "[1, {\"a\":null}]", "\"text\"", "null"],
        "placed" => &["\"2026-01-02\"", "\"2026-2-3\"", "\"never\""],
        "tags" => &["[\"a\",\"b\"]", "[]", "\"{x}\"", "[\"b, c\"]"],
        _ => &["\"A\"", "\"B\"", "\"C-1\"", "\"ward, (x)\"", "\"\"", "12", "\"\\ud83d\\ude00\""],
    }
}
