//! The command line: clap definitions and one file per command family.
//!
//! Exit codes are the same everywhere: 0 done, 1 a problem in files or state, 2 wrong usage.

pub mod demo;
pub mod man;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

/// Transparent encryption sidecar for the HTTP API of a database.
///
/// labseal stands between an unmodified application and its database API. It seals sensitive fields
/// on the way in, opens them on the way out for callers who may see them, and masks or withholds
/// them for callers who may not. The database holds envelopes only.
#[derive(Debug, Parser)]
#[command(name = "labseal", version, max_term_width = 100, after_help = FIRST_STEPS)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const FIRST_STEPS: &str = "\
First steps:
  labseal demo                         see it work, with nothing but this binary
  labseal check --config labseal.yaml  find problems in your files
  labseal init --config labseal.yaml   create the key store and the root key, once
  labseal run --config labseal.yaml    serve";

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a completion script for a shell
    Completions(man::CompletionsArgs),
    /// Write manual pages
    Man(man::ManArgs),
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Completions(args) => man::completions(args, &mut Cli::command()),
        Command::Man(args) => man::run(args, Cli::command()),
    };
    outcome.unwrap_or_else(|error| {
        anstream::eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
