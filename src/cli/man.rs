//! `labseal completions` and `labseal man`: what shells and `man` read, made from the definitions of
//! the commands, so that they cannot fall behind.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// What `labseal completions` takes.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// What `labseal man` takes.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Write one page per command into this folder, instead of the first page to standard output
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Prints a completion script.
pub fn completions(args: CompletionsArgs, command: &mut Command) -> anyhow::Result<ExitCode> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, name, &mut script);
    print(&script)
}

/// Prints the page of `labseal`, or writes the pages of all commands.
pub fn run(args: ManArgs, command: Command) -> anyhow::Result<ExitCode> {
    let Some(folder) = args.out else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page)?;
        return print(&page);
    };
    std::fs::create_dir_all(&folder)
        .and_then(|()| clap_mangen::generate_to(command, &folder))
        .with_context(|| format!("cannot write manual pages to {}", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes to standard output. A reader that has seen enough, such as `head`, is no failure.
fn print(bytes: &[u8]) -> anyhow::Result<ExitCode> {
    match std::io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_gets_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let command = Command::new("labseal").subcommand(Command::new("demo"));
        run(ManArgs { out: Some(folder.path().join("man1")) }, command).unwrap();
        let page = |name| std::fs::read_to_string(folder.path().join("man1").join(name)).unwrap();
        assert!(page("labseal.1").contains(".TH labseal 1"));
        assert!(page("labseal-demo.1").contains("demo"));
    }
}
