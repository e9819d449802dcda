//! Entry: hands the command line to [`labseal::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    labseal::cli::main()
}
