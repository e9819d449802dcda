//! The command line: clap definitions and one file per command family.
//!
//! Exit codes are the same everywhere: 0 done, 1 a problem in files or state, 2 wrong usage.

pub mod audit;
pub mod check;
pub mod demo;
pub mod init;
pub mod inspect;
pub mod keys;
pub mod live;
pub mod man;
pub mod recover;
pub mod run;
pub mod unseal;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use self::check::Unusable;

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
    /// Verify or show the audit log
    Audit(audit::Args),
    /// Check configuration and policy, and say what would leak
    Check(check::Args),
    /// Print a completion script for a shell
    Completions(man::CompletionsArgs),
    /// Show the whole thing on made-up patients, with an embedded database API
    Demo(demo::Args),
    /// Create the key store and the root key
    Init(init::Args),
    /// Say what an envelope tells about itself; never opens it
    Inspect(inspect::Args),
    /// Show, rotate and escrow keys, and count and move what is stored under each
    Keys(keys::Args),
    /// Write manual pages
    Man(man::ManArgs),
    /// Open the envelopes in a dump or an export of the database, offline
    Recover(recover::Args),
    /// Serve
    Run(run::Args),
    /// Put stored values back in clear: the way out
    Unseal(unseal::Args),
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Audit(args) => audit::run(args),
        Command::Check(args) => check::run(args),
        Command::Completions(args) => man::completions(args, &mut Cli::command()),
        Command::Demo(args) => demo::run(args),
        Command::Init(args) => init::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Keys(args) => keys::run(args),
        Command::Man(args) => man::run(args, Cli::command()),
        Command::Recover(args) => recover::run(args),
        Command::Run(args) => run::run(args),
        Command::Unseal(args) => unseal::run(args),
    };
    outcome.unwrap_or_else(|error| {
        match error.downcast_ref::<Unusable>() {
            Some(files) => anstream::eprintln!("{files}"),
            None => anstream::eprintln!("error: {error:#}"),
        }
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
