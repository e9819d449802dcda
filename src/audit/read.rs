//! The last entries of a log, for people. Proves nothing: that is [`mod@super::verify`]'s part.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    path::Path,
};

use super::{folder, line::MAX_LINE};

/// The last `count` entries, oldest first, as they stand. Lines that are no JSON are left out.
pub fn last(path: &Path, count: usize) -> io::Result<Vec<serde_json::Value>> {
    let mut kept = VecDeque::new();
    for number in folder::numbers(path)?.into_iter().rev() {
        if kept.len() >= count {
            break;
        }
        let room = count - kept.len();
        let mut entries = VecDeque::new();
        let mut reader = BufReader::new(File::open(path.join(folder::name(number)))?);
        let mut text = Vec::new();
        loop {
            text.clear();
            line(&mut reader, &mut text)?;
            if text.is_empty() {
                break;
            }
            if let Ok(entry) = serde_json::from_slice(&text) {
                entries.push_back(entry);
                if entries.len() > room {
                    entries.pop_front();
                }
            }
        }
        entries.append(&mut kept);
        kept = entries;
    }
    Ok(kept.into())
}

/// Adds the rest of the line to `text`, with its line feed if it has one yet.
pub(super) fn line(reader: &mut BufReader<File>, text: &mut Vec<u8>) -> io::Result<()> {
    let room = (MAX_LINE as u64 + 1).saturating_sub(text.len() as u64);
    reader.take(room).read_until(b'\n', text)?;
    Ok(())
}
