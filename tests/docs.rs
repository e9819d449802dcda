//! The documents agree with the code.

use std::{collections::BTreeSet, fs, path::PathBuf};

use labseal::base::refusal::Code;

fn doc(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    fs::read_to_string(path).unwrap()
}

#[test]
fn every_refusal_is_explained_with_its_own_words_and_no_other_is() {
    let doc = doc("errors.md");
    let rows: Vec<Vec<&str>> = doc
        .lines()
        .filter(|line| line.starts_with("| LS"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let told: Vec<_> = rows.iter().map(|row| row[0]).collect();
    let known: Vec<_> = Code::ALL.iter().map(|code| code.number()).collect();
    assert_eq!(told, known, "one row each, in order");
    for (row, code) in rows.iter().zip(Code::ALL) {
        assert_eq!(row.len(), 6, "{row:?}");
        assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        let said = (row[1].to_owned(), row[2], row[4]);
        assert_eq!(said, (code.status().to_string(), code.title(), code.remedy()));
    }
}

#[test]
fn tests_that_the_http_checklist_names_are_there() {
    let mut sources = String::new();
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                None if path.is_dir() => folders.push(path),
                Some(kind) if kind == "rs" => sources += &fs::read_to_string(path).unwrap(),
                _ => {}
            }
        }
    }
    let doc = doc("http.md");
    let (_, list) = doc.split_once("## The checklist").unwrap();
    let named: Vec<_> =
        list.split('`').skip(1).step_by(2).filter(|name| name.contains('_')).collect();
    assert!(named.len() >= 35, "{}", named.len());
    for name in named {
        assert!(sources.contains(&format!("fn {name}()")), "{name}");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut links = BTreeSet::new();
    for name in ["audit.md", "errors.md", "operate.md", "policy.md"] {
        let text = doc(name);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let local = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
        links.extend(local.map(|target| target.split('#').next().unwrap_or_default().to_owned()));
    }
    assert!(!links.is_empty());
    for link in links {
        assert!(folder.join(&link).exists(), "{link}");
    }
}
