//! The house rules that no compiler checks: floors, file sizes, headers, where secrets and ciphers
//! may be named, and words that name nothing.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What each floor may import, from the top down. A file under `src/` belongs to the floor of its
/// first path component.
const FLOORS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("lib", &[]),
    (
        "cli",
        &[
            "app", "config", "proxy", "seal", "policy", "keys", "dialect", "audit", "crypto",
            "auth", "model", "base",
        ],
    ),
    (
        "app",
        &["config", "proxy", "seal", "policy", "keys", "dialect", "audit", "auth", "model", "base"],
    ),
    ("config", &["proxy", "policy", "keys", "audit", "auth", "base"]),
    ("proxy", &["base", "model", "auth", "policy", "keys", "seal", "dialect", "audit"]),
    ("seal", &["base", "model", "crypto", "keys", "policy"]),
    ("policy", &["base", "model", "auth"]),
    ("keys", &["base", "crypto"]),
    ("dialect", &["base", "model"]),
    ("audit", &["base", "model"]),
    ("crypto", &["base"]),
    ("auth", &["base"]),
    ("model", &["base"]),
    ("base", &[]),
];

/// Crates that name a cipher, a hash, a MAC, a key derivation or a way to share keys.
const CIPHERS: [&str; 9] =
    ["aes", "aes_gcm_siv", "argon2", "aws_lc_rs", "blahaj", "hkdf", "hmac", "polyval", "sha2"];

/// Words that say nothing about the thing they name.
const EMPTY_WORDS: [&str; 6] = ["Manager", "Helper", "Util", "Common", "Info", "Context"];

const MOST_LINES: usize = 500;

struct Source {
    path: PathBuf,
    text: String,
    /// The text without comment lines.
    code: String,
}

fn sources(folder: &str) -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<Source>) {
        let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let kept = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                let code = kept.collect::<Vec<_>>().join("\n");
                found.push(Source { path, text, code });
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    found
}

fn src() -> Vec<Source> {
    let found = sources("src");
    assert!(found.len() >= 15, "only {} files under src/", found.len());
    found
}

impl Source {
    /// The path under the package's folder.
    fn name(&self) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        self.path.strip_prefix(root).unwrap().display().to_string()
    }

    /// The floor of a file under `src/`.
    fn floor(&self) -> String {
        let name = self.name();
        let inside = name.strip_prefix("src/").unwrap();
        inside.split('/').next().unwrap().trim_end_matches(".rs").to_owned()
    }

    /// How deep its module is under the crate's root.
    fn depth(&self) -> usize {
        let name = self.name();
        let inside = name.strip_prefix("src/").unwrap().trim_end_matches(".rs");
        inside.split('/').filter(|part| !["mod", "lib", "main"].contains(part)).count()
    }

    /// Every floor it names: after `crate::`, and where `super::` reaches the crate's root.
    fn imports(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let root = format!("{}::", vec!["super"; self.depth()].join("::"));
        let prefixes = ["crate::", "labseal::"];
        let prefixes = prefixes.into_iter().chain((self.depth() > 0).then_some(&*root));
        for prefix in prefixes {
            for (at, _) in self.code.match_indices(prefix) {
                let before = self.code[..at].chars().next_back().unwrap_or(' ');
                if !(before.is_alphanumeric() || before == '_' || before == ':') {
                    found.extend(names(&self.code[at + prefix.len()..]));
                }
            }
        }
        found
    }
}

/// The first names of what follows `crate::`: one name, or those of a list in braces.
fn names(rest: &str) -> Vec<String> {
    let word = |text: &str| {
        let text = text.trim_start();
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    };
    let Some(list) = rest.strip_prefix('{') else {
        return vec![word(rest)];
    };
    let (mut depth, mut start, mut found) = (1, true, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => start = true,
            c if start && !c.is_whitespace() => {
                start = false;
                found.push(word(&list[at..]));
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

#[test]
fn lists_of_imports_are_read_to_their_end() {
    assert_eq!(names("base::x;"), ["base"]);
    assert_eq!(names("{\n  base::{a, b},\n  model::C,\n}; use"), ["base", "model"]);
}

#[test]
fn imports_point_down_the_floors() {
    let known: BTreeSet<_> = FLOORS.iter().map(|(floor, _)| *floor).collect();
    let mut wrong = Vec::new();
    for source in src() {
        let floor = source.floor();
        let rule = FLOORS.iter().find(|(name, _)| *name == floor);
        let (_, allowed) = rule.unwrap_or_else(|| panic!("{} is on no floor", source.name()));
        for import in source.imports() {
            let inside = import == floor || !known.contains(&*import);
            if !inside && !allowed.contains(&&*import) && floor != "main" {
                wrong.push(format!("{} imports {import}", source.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_is_longer_than_one_can_read() {
    let mut walked = 0;
    let mut long = Vec::new();
    for folder in ["src", "tests", "benches"] {
        if !Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).exists() {
            continue;
        }
        for source in sources(folder) {
            walked += 1;
            let lines = source.text.lines().count();
            if lines > MOST_LINES {
                long.push(format!("{}: {lines} lines", source.name()));
            }
        }
    }
    assert!(walked >= 30, "only {walked} files");
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn every_module_says_what_it_is_for() {
    let all = src().into_iter().chain(sources("tests"));
    let silent: Vec<_> =
        all.filter(|source| !source.text.starts_with("//!")).map(|s| s.name()).collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn secrets_are_exposed_only_where_they_are_worked_on() {
    let allowed = ["crypto", "keys", "seal", "auth"];
    let wrong: Vec<_> = src()
        .into_iter()
        .filter(|source| source.code.contains(".expose()"))
        .filter(|source| !allowed.contains(&&*source.floor()))
        .map(|source| source.name())
        .filter(|name| name != "src/base/secret.rs")
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_crypto_names_a_cipher() {
    let mut wrong = Vec::new();
    for source in src() {
        if source.floor() == "crypto" || source.name() == "src/base/digest.rs" {
            continue;
        }
        for cipher in CIPHERS {
            let path = format!("{cipher}::");
            for (at, _) in source.code.match_indices(&path) {
                let before = source.code[..at].chars().next_back().unwrap_or(' ');
                // TLS names its provider, and chooses no cipher of ours by it.
                let provider = source.code[..at].ends_with("crypto::");
                if !(before.is_alphanumeric() || before == '_' || provider) {
                    wrong.push(format!("{} names {cipher}", source.name()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_type_or_file_is_named_by_a_word_that_says_nothing() {
    let mut wrong = Vec::new();
    let mut types = 0;
    for source in src().into_iter().chain(sources("tests")) {
        let stem = source.path.file_stem().unwrap().to_string_lossy().to_lowercase();
        if EMPTY_WORDS.iter().any(|word| stem.split('_').any(|part| *part == word.to_lowercase())) {
            wrong.push(source.name());
        }
        for line in source.code.lines() {
            let mut words = line
                .split_whitespace()
                .skip_while(|word| !["struct", "enum", "trait", "type", "union"].contains(word));
            let (Some(_), Some(name)) = (words.next(), words.next()) else { continue };
            types += 1;
            let name: String = name.chars().take_while(|c| c.is_alphanumeric()).collect();
            for word in EMPTY_WORDS {
                // A word of the name ends where the next capital, or an s, begins.
                let rest =
                    name.split_once(word).map(|(_, rest)| rest.strip_prefix('s').unwrap_or(rest));
                if rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_lowercase())) {
                    wrong.push(format!("{}: {name}", source.name()));
                }
            }
        }
        if source.code.contains(concat!("fn ", "get_")) {
            wrong.push(format!("{}: a function named get_", source.name()));
        }
    }
    assert!(types >= 30, "only {types} types");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
