//! Policy: from YAML to a decision about one operation.
//!
//! `policy.yaml` is read section by section ([`Policy::load`]) into types that cannot express an
//! illegal rule, and then asked for a [`Plan`] per request ([`ApiPolicy::plan`], in `decide`). The
//! policy sees no wire, no keys and no cipher.

mod apis;
mod callers;
mod classes;
mod columns;
mod decide;
pub mod diagnostic;
pub mod document;
mod entities;
mod functions;
mod grants;
mod ladder;
pub mod leakage;
pub mod mask;
mod migration;
mod mixed;
mod names;
pub mod plan;
mod records;
mod routes;
mod sort;
mod types;

pub use apis::{ApiPolicy, Upgrades};
pub use columns::Column;
pub use diagnostic::{Diagnostic, Severity};
pub use migration::{Migrating, Migration};
pub use plan::Plan;

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    auth::Rules,
    base::{digest::Digest, ident::ApiName},
};

use callers::Callers;
use classes::Classes;
use diagnostic::{Place, Problems, settle};
use document::{Fields, Node};
use grants::Grants;
use plan::Class;

/// A compiled policy.
#[derive(Debug)]
pub struct Policy {
    file: PathBuf,
    digest: Digest,
    classes: Vec<Arc<Class>>,
    apis: Vec<ApiPolicy>,
    rules: Rules,
}

impl Policy {
    /// Reads a policy file and the hashes of API keys that it names. Gives the warnings beside the
    /// policy, or every problem.
    pub fn load(path: &Path) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut problems = Problems::new(path);
        let policy = read_text(path, &mut problems).and_then(|text| compile(&text, &mut problems));
        settle(policy, problems)
    }

    /// The file it was read from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// SHA-256 of the file's bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Every class, in file order.
    pub fn classes(&self) -> &[Arc<Class>] {
        &self.classes
    }

    /// Every API, in file order.
    pub fn apis(&self) -> &[ApiPolicy] {
        &self.apis
    }

    /// The API of this name.
    pub fn api(&self, name: &ApiName) -> Option<&ApiPolicy> {
        self.apis.iter().find(|api| api.name == *name)
    }

    /// What recognises callers.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }
}

/// The text of a file, or a problem at its first line.
pub(crate) fn read_text(path: &Path, problems: &mut Problems) -> Option<String> {
    let start = Place { line: 1, column: 1 };
    match fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => Some(text),
        Ok(Err(_)) => {
            problems.error(start, "the file is not UTF-8", "save it as UTF-8");
            None
        }
        Err(error) => {
            let message = format!("the file cannot be read: {error}");
            problems.error(start, message, "check the path and its permissions");
            None
        }
    }
}

/// Reads `apiVersion` and `kind`, which every file begins with.
pub(crate) fn head(fields: &mut Fields<'_>, kind: &'static str, problems: &mut Problems) {
    let version = fields.required("apiVersion", "add apiVersion: labseal/v1", problems);
    if let Some(node) = version {
        document::word(node, "apiVersion", &[("labseal/v1", ())], &[], problems);
    }
    let remedy = format!("add kind: {kind}");
    if let Some(node) = fields.required("kind", &remedy, problems) {
        document::word(node, "kind", &[(kind, ())], &[], problems);
    }
}

fn compile(text: &str, problems: &mut Problems) -> Option<Policy> {
    let root = document::parse(text, problems)?;
    let mut fields = Fields::of(&root, "a policy", problems)?;
    fields.later(&["break_glass", "defaults", "imports", "metadata"]);
    head(&mut fields, "Policy", problems);
    let classes = fields.optional("classes");
    let callers = fields.optional("callers");
    let grants = fields.optional("grants");
    let apis = fields.required("apis", "add apis:, with a name and a dialect each", problems);
    fields.finish(problems);

    let classes = classes.map(|node| Classes::read(node, problems)).unwrap_or_default();
    let callers = callers.map(|node| Callers::read(node, problems)).unwrap_or_default();
    let grants = Arc::new(Grants::read(grants, &classes, &callers, problems));
    let apis = read_apis(apis?, &classes, &grants, problems);
    if !problems.has_errors() {
        // What has problems may be what uses the class.
        warn_of_unused(&classes, &apis, problems);
    }
    Some(Policy {
        file: problems.file().to_path_buf(),
        digest: Digest::of(&[text.as_bytes()]),
        classes: classes.sound().to_vec(),
        apis,
        rules: callers.into_rules(),
    })
}

fn read_apis(
    node: &Node,
    classes: &Classes,
    grants: &Arc<Grants>,
    problems: &mut Problems,
) -> Vec<ApiPolicy> {
    let apis = apis::read(node, classes, grants, problems);
    for api in apis.iter().filter(|api| api.is_open()) {
        let at = Place { line: api.dialect_line, column: 1 };
        let message = format!("API `{}` declares nothing, so everything passes unsealed", api.name);
        problems.warning(at, message, "declare entities: or routes:");
    }
    apis
}

fn warn_of_unused(classes: &Classes, apis: &[ApiPolicy], problems: &mut Problems) {
    let fields = apis.iter().flat_map(|api| api.fields.values());
    let used: HashSet<_> = fields.map(|field| &field.class.params.id).collect();
    for class in classes.sound().iter().filter(|class| !used.contains(&class.params.id)) {
        let at = Place { line: class.line, column: 1 };
        let message = format!("no field is of class `{}`", class.name);
        problems.warning(at, message, "use it, or leave it out");
    }
}
