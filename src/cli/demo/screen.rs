//! What the demo prints: numbered steps, what they show, and what each of them proves.
//!
//! Colours are for terminals; `anstream` leaves them out elsewhere and where `NO_COLOR` is set. No
//! line is wider than 96 columns.

use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};

const TITLE: Style = AnsiColor::Cyan.on_default().bold();
const PROVED: Style = AnsiColor::Green.on_default().bold();
const FAILED: Style = AnsiColor::Red.on_default().bold();
const QUIET: Style = Style::new().dimmed();
const WIDTH: usize = 92;

/// The terminal, and the count of what was proved on it.
#[derive(Debug, Default)]
pub struct Screen {
    steps: usize,
    proved: usize,
    failed: usize,
}

impl Screen {
    /// Says what is running.
    pub fn open(&self, places: &[(&str, String)]) {
        self.heading("labseal demo: a made-up lab, and the real sidecar in front of its database");
        for (name, place) in places {
            anstream::println!("   {name:<27}{place}");
        }
    }

    /// A heading that is no step.
    pub fn heading(&self, text: &str) {
        anstream::println!("\n{TITLE}{text}{TITLE:#}");
    }

    /// Begins a step.
    pub fn step(&mut self, title: &str) {
        self.steps += 1;
        anstream::println!("\n{TITLE}{}  {title}{TITLE:#}", self.steps);
    }

    /// Says something about what follows.
    pub fn say(&self, text: &str) {
        anstream::println!("   {QUIET}{text}{QUIET:#}");
    }

    /// Shows something as it is, shortened to one line.
    pub fn show(&self, text: &str) {
        anstream::println!("   {}", shortened(text, WIDTH));
    }

    /// Shows a line of something that is to be copied, whole.
    pub fn whole(&self, text: &str) {
        anstream::println!("   {text}");
    }

    /// Shows JSON whole, on as many lines as it needs, each ending after a member.
    pub fn json(&self, text: &str) {
        let mut line = String::new();
        for part in text.split_inclusive(",") {
            if line.chars().count() + part.chars().count() > WIDTH {
                anstream::println!("   {line}");
                line = "   ".to_owned();
            }
            line.push_str(part);
        }
        anstream::println!("   {line}");
    }

    /// Shows rows under a head, in columns; the widest gives way if there is no room for all.
    pub fn table(&self, head: &[&str], rows: &[Vec<String>]) {
        let mut rooms = vec![0; head.len()];
        for row in rows {
            for (room, cell) in rooms.iter_mut().zip(row) {
                *room = cell.chars().count().max(*room);
            }
        }
        let gaps = 2 * head.len();
        while let Some(excess) = (rooms.iter().sum::<usize>() + gaps).checked_sub(WIDTH + 1) {
            let Some(widest) = rooms.iter_mut().max() else { break };
            *widest = widest.saturating_sub(excess + 1).max(WIDTH / 4).min(*widest - 1);
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(head.iter().copied());
        for row in rows {
            table.add_row(row.iter().zip(&rooms).map(|(cell, room)| shortened(cell, *room)));
        }
        for (at, line) in table.lines().enumerate() {
            match at {
                0 => anstream::println!("  {QUIET}{}{QUIET:#}", line.trim_end()),
                _ => anstream::println!("  {}", line.trim_end()),
            }
        }
    }

    /// Says what was shown, and whether it was.
    pub fn prove(&mut self, claim: &str, holds: bool) {
        let (style, mark) = match holds {
            true => (PROVED, '✓'),
            false => (FAILED, '✗'),
        };
        match holds {
            true => self.proved += 1,
            false => self.failed += 1,
        }
        anstream::println!("   {style}{mark}{style:#} {claim}");
    }

    /// Sums up, and says whether everything showed what it should.
    pub fn finish(&self) -> bool {
        let all = self.proved + self.failed;
        let (style, proved) = (if self.failed == 0 { PROVED } else { FAILED }, self.proved);
        anstream::println!("\n{style}{proved} of {all} checks passed{style:#}");
        self.failed == 0 && all > 0
    }
}

/// The text in at most so many characters: its beginning, and a little of its end.
pub fn shortened(text: &str, room: usize) -> String {
    let count = text.chars().count();
    if count <= room {
        return text.to_owned();
    }
    let tail = room / 6;
    let head: String = text.chars().take(room - tail - 1).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{head}…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortening_keeps_both_ends_and_the_room() {
        assert_eq!(shortened("short", 5), "short");
        assert_eq!(shortened("ls1rABCDEFGHIJKLMNOP", 12), "ls1rABCDE…OP");
        assert_eq!(shortened("山田測試山田測試", 6).chars().count(), 6);
    }

    #[test]
    fn one_failed_check_fails_the_whole_and_so_does_having_none() {
        let mut screen = Screen::default();
        assert!(!screen.finish());
        screen.prove("holds", true);
        assert!(screen.finish());
        screen.prove("does not", false);
        assert!(!screen.finish());
    }
}
