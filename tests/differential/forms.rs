//! Bodies as CSV and as forms, and the cells of CSV.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    ask::{Body, list},
    choices::Choices,
    lab::Column,
    values::Value,
};

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// CSV with these bytes at the ends of lines, and every cell quoted or not.
    Csv(&'static str, bool),
    /// A form.
    Form,
}

/// What a form may hold in clear.
const CLEAR: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.').remove(b'~');

impl Format {
    /// Any that can hold the records of a body.
    pub fn of(c: &mut Choices<'_>, body: &Body) -> Self {
        let keys = |n: usize| body.rows[n].iter().map(|(key, ..)| key);
        let header = !body.rows.is_empty() && body.behind.is_empty();
        let table =
            header && keys(0).count() > 0 && (1..body.rows.len()).all(|n| keys(0).eq(keys(n)));
        match c.below(6) {
            4 if table => Self::Csv(*c.pick(&["\n", "\r\n"]), c.once_in(3)),
            5 if table && body.rows.len() == 1 => Self::Form,
            _ => Self::Json,
        }
    }

    /// The media type.
    pub fn media(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv(..) => "text/csv",
            Self::Form => "application/x-www-form-urlencoded",
        }
    }
}

/// What stands in a cell for a value of JSON; none is null.
fn plain(lexeme: &str) -> Option<String> {
    match serde_json::from_str(lexeme) {
        Ok(serde_json::Value::String(text)) => Some(text),
        Ok(serde_json::Value::Null) => None,
        Ok(_) | Err(_) => Some(lexeme.to_owned()),
    }
}

impl Body {
    /// The text in its format.
    pub fn written(&self) -> String {
        match self.format {
            Format::Json => self.spelled(),
            Format::Csv(end, quoted) => self.csv(end, quoted),
            Format::Form => {
                let pairs = self.rows[0].iter().filter_map(|(key, _, value)| {
                    let encoded = |text: &str| utf8_percent_encode(text, CLEAR).to_string();
                    let value = encoded(&plain(&value.text)?).replace("%20", "+");
                    Some(format!("{}={value}", encoded(key)))
                });
                pairs.collect::<Vec<_>>().join("&")
            }
        }
    }

    /// The text as JSON.
    fn spelled(&self) -> String {
        let member = |(key, _, value): &(String, Option<&Column>, Value)| {
            format!("{}:{}", serde_json::Value::from(key.as_str()), value.text)
        };
        let rows = list(&self.rows, |row| format!("{{{}}}", list(row, member)));
        match self.bulk {
            true => format!("[{rows}]{}", self.behind),
            false => format!("{rows}{}", self.behind),
        }
    }

    fn csv(&self, end: &str, quoted: bool) -> String {
        let alone = self.rows[0].len() == 1;
        let cell = |text: &str| match quoted
            || alone && text.is_empty()
            || text.contains(['"', ',', '\n', '\r'])
        {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text.to_owned(),
        };
        let header = self.rows[0].iter().map(|(key, ..)| cell(key));
        let mut lines = vec![header.collect::<Vec<_>>().join(",")];
        lines.extend(self.rows.iter().map(|row| {
            let cells = row.iter().map(|(_, _, value)| match plain(&value.text) {
                Some(text) => cell(&text),
                None => "NULL".to_owned(),
            });
            cells.collect::<Vec<_>>().join(",")
        }));
        lines.iter().map(|line| format!("{line}{end}")).collect()
    }
}

/// The cells of CSV as PostgREST writes it, without the quotes; of each it is kept whether it had
/// any, since a bare empty one is null.
pub fn cells(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '\\' if quoted && chars.peek() == Some(&'\\') => cell.extend(chars.next()),
            '"' => {
                if !quoted && cell.is_empty() && chars.peek() == Some(&'"') {
                    cell.push_str("(the empty text)");
                }
                quoted = !quoted;
            }
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            _ => cell.push(c),
        }
    }
    row.push(cell);
    rows.push(row);
    rows
}
