//! What was found, as a table with statements below it, or as JSON.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::{Finding, Live};

/// Prints findings and, below, the statements that mend them, to be read or given to `psql`.
pub fn print(live: &Live) {
    for api in &live.silent {
        anstream::println!("API {api}: nothing to ask, since it does not describe its columns");
    }
    if !live.findings.is_empty() {
        anstream::println!("{}", table(&live.findings));
        for finding in &live.findings {
            anstream::println!("{}", statements(finding));
        }
    }
    let asked: Vec<_> = live.asked.iter().map(ToString::to_string).collect();
    match (asked.is_empty(), live.findings.is_empty()) {
        (true, _) => anstream::println!("no API was asked"),
        (false, true) => anstream::println!("what was asked of {} fits", asked.join(", ")),
        (false, false) => {}
    }
    if !live.catalogue {
        anstream::println!("not checked: {}. {NOT_CHECKED}", UNCHECKED.join(", "));
    }
}

/// What no API says of its columns.
const UNCHECKED: [&str; 3] =
    ["unique indexes", "indexes for tests", "collations of searchable columns"];

const NOT_CHECKED: &str = "Give --database env:NAME, or let an administrator run what --sql prints";

fn table(findings: &[Finding]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["", "API", "column", "finding"]);
    for finding in findings {
        let Finding { api, message, .. } = finding;
        let place = if finding.entity.is_some() { finding.place() } else { String::new() };
        table.add_row([severity(finding), api.as_str(), &on_a_line(&place), &on_a_line(message)]);
    }
    table
}

fn statements(finding: &Finding) -> String {
    let mut text = format!("-- {}: {}", on_a_line(&finding.place()), finding.hint);
    for statement in &finding.ddl {
        text.push('\n');
        text.push_str(statement);
    }
    text
}

/// Words of others as they may stand on a line: what is no character to be seen could end a comment
/// or command a terminal, and what is very long is no name.
fn on_a_line(text: &str) -> String {
    const MOST: usize = 400;
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(MOST).collect()
}

fn severity(finding: &Finding) -> &'static str {
    if finding.kind.is_error() { "error" } else { "warning" }
}

/// The member `live` of `check --json`.
pub fn as_json(live: &Live, sql: &str) -> Value {
    let findings: Vec<_> = live.findings.iter().map(finding_json).collect();
    let asked: Vec<_> = live.asked.iter().map(ToString::to_string).collect();
    let silent: Vec<_> = live.silent.iter().map(ToString::to_string).collect();
    let unchecked = if live.catalogue { &[][..] } else { &UNCHECKED[..] };
    let mut object = json!({
        "asked": asked,
        "not_asked": silent,
        "not_checked": unchecked,
        "findings": findings,
    });
    if !live.catalogue {
        object["sql"] = Value::from(sql);
    }
    object
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "api": finding.api.as_str(),
        "entity": finding.entity.as_ref().map(|name| name.as_str()),
        "column": finding.column.as_ref().map(|name| name.as_str()),
        "kind": finding.kind.as_str(),
        "severity": severity(finding),
        "message": finding.message,
        "ddl": finding.ddl,
        "hint": finding.hint,
        "policy_line": finding.line,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ident::{ApiName, EntityName};
    use crate::cli::live::finding::Kind;

    #[test]
    fn words_of_others_neither_end_a_comment_nor_command_a_terminal() {
        let entity = EntityName::new("lab.a\nDROP TABLE b; --\u{1b}[2J");
        let message = format!("the column is \u{1b}]0;x\u{7}{}", "y".repeat(1 << 20));
        let finding =
            Finding::of_entity(&ApiName::new("db"), &entity, 1, Kind::Typed, message).hint("so");
        assert_eq!(statements(&finding).lines().count(), 1);
        let shown = table(&[finding]).to_string();
        assert!(shown.len() < 10_000 && !shown.contains('\u{1b}') && !shown.contains('\u{7}'));
    }
}
