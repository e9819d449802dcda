//! What is wrong with a file, where, and what to do about it.
//!
//! Loading collects every problem of a file before it gives up, so that one look at the output is
//! enough. A diagnostic quotes names and words of the file; it never quotes what could be a secret
//! put in the wrong place.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A place in a file, counted from one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// Whether a file with this problem can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but somebody should look.
    Warning,
}

impl Severity {
    /// The word of the output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One problem of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file.
    pub file: PathBuf,
    /// The line, from one.
    pub line: usize,
    /// The column, from one.
    pub column: usize,
    /// Whether the file can be used all the same.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, severity, message, remedy } = self;
        let word = severity.as_str();
        write!(f, "{}:{line}:{column}: {word}: {message}\n  {remedy}", file.display())
    }
}

/// The problems found in one file so far.
#[derive(Debug)]
pub struct Problems {
    file: Arc<Path>,
    found: Vec<Diagnostic>,
}

impl Problems {
    /// Starts with none.
    pub fn new(file: &Path) -> Self {
        Self { file: file.into(), found: Vec::new() }
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Adds what makes the file unusable.
    pub fn error(&mut self, at: Place, message: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Error, at, message.into(), remedy.into());
    }

    /// Adds what somebody should look at.
    pub fn warning(&mut self, at: Place, message: impl Into<String>, remedy: impl Into<String>) {
        self.add(Severity::Warning, at, message.into(), remedy.into());
    }

    /// Whether the file is unusable.
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// How many of them make the file unusable: more afterwards than before means that a part failed.
    pub fn errors(&self) -> usize {
        self.found.iter().filter(|one| one.severity == Severity::Error).count()
    }

    /// Everything found, in the order of the file.
    pub fn into_found(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|one| (one.line, one.column));
        self.found
    }

    fn add(&mut self, severity: Severity, at: Place, message: String, remedy: String) {
        let Place { line, column } = at;
        let file = self.file.to_path_buf();
        self.found.push(Diagnostic { file, line, column, severity, message, remedy });
    }
}

/// `value` if nothing makes the file unusable, with the warnings; else every problem.
pub(crate) fn settle<T>(
    value: Option<T>,
    problems: Problems,
) -> Result<(T, Vec<Diagnostic>), Vec<Diagnostic>> {
    let failed = problems.has_errors();
    let mut found = problems.into_found();
    match value {
        Some(value) if !failed => Ok((value, found)),
        _ => {
            if !failed {
                // Nothing is lost without a word: whoever gives no value must have said why.
                found.push(Diagnostic {
                    file: PathBuf::new(),
                    line: 1,
                    column: 1,
                    severity: Severity::Error,
                    message: "the file cannot be used".into(),
                    remedy: "report this: it should have said why".into(),
                });
            }
            Err(found)
        }
    }
}
