//! `labseal unseal`: the way out. Values are written back in clear, as their columns had them.

use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
    sync::Arc,
};

use anyhow::bail;

use crate::{
    app::jobs::{Files, Only, Request},
    config::Config,
    seal::stored::Aim,
};

use super::{
    check::Unusable,
    keys::{census::Source, reseal},
};

/// Put stored values back in clear: the way out
///
/// Opens every value of an entity and writes it back as its column had it, only if it is still what
/// was read. Ends with a scan, and with 0 only if that counts no envelope. Afterwards the database,
/// its backups and its API hold these values in clear. A field that is still declared sealed in the
/// policy is refused to readers then: give it `migration: {state: plaintext_ok, until: …}` first, and
/// take it out of the policy afterwards.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Of this API
    #[arg(long, value_name = "API")]
    api: String,
    /// Of this entity: schema.table
    #[arg(long, value_name = "ENTITY")]
    entity: String,
    /// Only this field
    #[arg(long, value_name = "FIELD")]
    field: Option<String>,
    /// Write at most so many records in a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Answer both questions with yes, where there is no terminal to ask on
    #[arg(long)]
    yes_i_want_plaintext: bool,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = Arc::new(Config::load(&args.source.config).map_err(Unusable)?);
    if !args.yes_i_want_plaintext {
        confirm(&args)?;
    }
    let files = Files::of(&config)?;
    let (api, entity) = (Some(args.api), Some(args.entity));
    let only = Only { api, entity, field: args.field };
    let request = Request::new(Aim::Unseal, &only, args.rate, false);
    let request = reseal::asked(&files, request, false)?;
    reseal::carry_out(&config, &files, &request, args.source.json)
}

fn confirm(args: &Args) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!(
            "this writes values in clear into the database; there is no terminal to confirm it on: \
             add --yes-i-want-plaintext if that is wanted"
        );
    }
    anstream::eprintln!(
        "This writes the values of {} of API {} into the database in clear. Its backups, its log and \
         everybody who reaches it will have them.",
        args.entity,
        args.api
    );
    for (question, answer) in
        [("the name of the entity", args.entity.as_str()), ("the word plaintext", "plaintext")]
    {
        anstream::eprint!("Type {question} to go on: ");
        std::io::stderr().flush()?;
        let mut typed = String::new();
        std::io::stdin().read_line(&mut typed)?;
        if typed.trim() != answer {
            bail!("not confirmed; nothing was written");
        }
    }
    Ok(())
}
