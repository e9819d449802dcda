//! The checkpoint: how far the log had come, kept beside it so that a cut tail shows.
//!
//! `head.json` is one object, `{"v":1,"seq":…,"hash":"…","time":"…"}`, replaced as a whole by
//! renaming. It is written when a log is begun, about each second in which something was recorded,
//! and when the log is closed; never ahead of the log itself. So the log must reach at least this
//! line, and the line must have this hash.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use serde::Deserialize;

use crate::base::{clock::rfc3339, digest::Digest};

use super::line::Link;

/// The name of the file.
pub const NAME: &str = "head.json";

const NEXT: &str = "head.json.next";

/// Reads the checkpoint; `None` where there is none.
pub fn read(folder: &Path) -> io::Result<Option<Link>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Raw<'a> {
        v: u32,
        seq: u64,
        hash: &'a str,
        #[serde(rename = "time")]
        _time: &'a str,
    }
    let text = match fs::read(folder.join(NAME)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let raw: Raw<'_> = serde_json::from_slice(&text)?;
    match (raw.v, Digest::parse(raw.hash)) {
        (1, Some(hash)) => Ok(Some(Link { seq: raw.seq, hash })),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "not a checkpoint")),
    }
}

/// Replaces the checkpoint. What it names must be on the disk already.
pub(super) fn write(folder: &Path, link: Link, time: Duration) -> io::Result<()> {
    let next = folder.join(NEXT);
    let text = format!(
        "{{\"v\":1,\"seq\":{},\"hash\":\"{}\",\"time\":\"{}\"}}\n",
        link.seq,
        link.hash,
        rfc3339(time)
    );
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    fs::rename(&next, folder.join(NAME))?;
    File::open(folder)?.sync_all()
}
