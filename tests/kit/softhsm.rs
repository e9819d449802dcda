//! SoftHSM: a token in files, behind the same interface as one of hardware.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::process::{self, User};

/// The PIN of every token here.
pub const PIN: &str = "4711-not-1234";

/// The module.
pub const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// Some tokens, which processes see that have [`SoftHsm::variable`] in their environment.
pub struct SoftHsm {
    folder: TempDir,
}

impl SoftHsm {
    /// With one token.
    pub fn new(token: &str) -> Self {
        let folder = TempDir::with_prefix("labseal-hsm-").expect("a temporary folder");
        let tokens = folder.path().join("tokens");
        std::fs::create_dir(&tokens).expect("a folder");
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            tokens.display()
        );
        std::fs::write(folder.path().join("softhsm2.conf"), text).expect("the file is written");
        let this = Self { folder };
        this.token(token);
        this
    }

    /// Makes another token.
    pub fn token(&self, label: &str) {
        let mut tool = process::command(User::Same, "softhsm2-util");
        tool.args(["--init-token", "--free", "--label", label, "--so-pin", "so-12345678"]);
        tool.args(["--pin", PIN]);
        let (name, value) = self.variable();
        tool.env(name, value);
        process::run(tool);
    }

    /// What tells a process of these tokens.
    pub fn variable(&self) -> (&'static str, String) {
        let file = self.folder.path().join("softhsm2.conf");
        ("SOFTHSM2_CONF", file.display().to_string())
    }

    /// Where the files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Takes all tokens away, as when the cable is pulled.
pub fn take_away(folder: &Path) {
    std::fs::rename(folder.join("tokens"), folder.join("away")).expect("the tokens are there");
    std::fs::create_dir(folder.join("tokens")).expect("a folder");
}

/// Puts them back.
pub fn put_back(folder: &Path) {
    std::fs::remove_dir(folder.join("tokens")).expect("an empty folder");
    std::fs::rename(folder.join("away"), folder.join("tokens")).expect("the tokens were away");
}

/// A module around SoftHSM that chooses the IV itself, as many tokens do.
pub fn stubborn(folder: &Path) -> PathBuf {
    let module = folder.join("stubborn.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kit/stubborn.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&module).arg(source);
    compiler.arg(format!("-DMODULE=\"{MODULE}\"")).arg("-ldl");
    process::run(compiler);
    module
}
