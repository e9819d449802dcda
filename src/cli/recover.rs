//! `labseal recover`: opens the envelopes in a dump or an export, without any server.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use serde_json::json;

use crate::{
    app::custody,
    base::clock::SystemClock,
    config::Config,
    keys::Snapshot,
    seal::dump::{Dump, Format, Opened},
};

use super::check::Unusable;

/// Open the envelopes in a dump or an export of the database, offline
///
/// Needs the key store and the root key with its passphrase, no database and no API. Everything but
/// the envelopes is copied as it is. What does not open stays as it is and is counted, and the exit
/// code is 1 then. Values that are bound to a record (`bind:`) do not open, because a dump does not
/// say which record a text belongs to: load the dump and read them through labseal.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file; only its keys are used
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The dump or export
    #[arg(long = "in", value_name = "DUMP")]
    input: PathBuf,
    /// Where to write it with the values in clear: a new file, for its owner alone
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How values are quoted there
    #[arg(long, value_enum)]
    format: Quoting,
    /// Print the counts as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Quoting {
    /// Comma, semicolon or tab separated values
    Csv,
    /// JSON, or JSON lines
    Json,
    /// SQL as pg_dump writes it: COPY blocks and INSERT statements
    Sql,
    /// Any other text: values are written as they are
    Text,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.config).map_err(Unusable)?;
    let input = File::open(&args.input);
    let input = input.with_context(|| format!("{} cannot be read", args.input.display()))?;
    let keys = custody::open_keys(&config, Arc::new(SystemClock))?;
    let format = match args.format {
        Quoting::Csv => Format::Csv,
        Quoting::Json => Format::Json,
        Quoting::Sql => Format::Sql,
        Quoting::Text => Format::Text,
    };
    let mut options = OpenOptions::new();
    let output = options.write(true).create_new(true).mode(0o600).open(&args.out);
    let output = output.with_context(|| {
        format!("{} cannot be made; it is not overwritten if it is there", args.out.display())
    })?;
    let copied = copy(input, output, &keys.snapshot(), format);
    let Opened { opened, bound, failed, unknown } = match copied {
        Ok(counts) => counts,
        Err(error) => {
            discard(&args.out);
            return Err(error);
        }
    };
    match args.json {
        true => anstream::println!(
            "{}",
            json!({"opened": opened, "bound": bound, "failed": failed, "unknown": unknown})
        ),
        false => anstream::println!(
            "{opened} values were opened; {bound} are bound to a record, {failed} do not open, \
             {unknown} are under keys that are not in the key store."
        ),
    }
    if bound + failed + unknown > 0 {
        bail!("not everything opened; {} holds the rest as it was", args.out.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// A line at a time: the longest line is what is held.
fn copy(input: File, output: File, keys: &Snapshot, format: Format) -> anyhow::Result<Opened> {
    let mut input = BufReader::with_capacity(1 << 20, input);
    let mut output = BufWriter::with_capacity(1 << 20, output);
    let mut dump = Dump::new(format, keys);
    let (mut line, mut made) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        made.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        dump.line(&line, &mut made);
        output.write_all(&made)?;
    }
    output.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    Ok(dump.opened())
}

fn discard(path: &Path) {
    // What was written so far is in clear, and of no use.
    let _ = std::fs::remove_file(path);
}
