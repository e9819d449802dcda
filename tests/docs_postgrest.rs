//! The table of operators in `docs/postgrest.md` is what the code does with each of them.
//! `LABSEAL_BLESS=1` writes it anew.

use std::{collections::HashMap, env, fs, path::PathBuf, sync::Arc};

use http::{HeaderMap, HeaderValue, Method};
use labseal::{
    auth::Facts,
    base::{
        class::{ClassParams, Rung},
        clock::SystemClock,
        digest::Digest,
        ident::Tenant,
        secret::SecretKey,
    },
    dialect::{
        DIALECTS, Head,
        postgrest::{Kind, OPERATORS},
    },
    keys::{Keys, StoreAddress, memory::MemoryProvider},
    model::{Alternative, Replacement, Test, UseKind},
    policy::Policy,
    seal,
};

const POLICY: &str = r#"apiVersion: labseal/v1
kind: Policy
classes:
  d: {id: d, mode: deterministic}
  s: {id: s, mode: searchable, match: [ieq, eq]}
  r: {id: r, mode: random}
callers:
  lims: {api_key: {header: X-Key, sha256_file: hash}}
grants:
  lims: {"*": {read: clear, filter: allow, write: allow}}
apis:
  - name: db
    dialect: postgrest
    entities:
      public.d: {fields: {mrn: {class: d}}}
      public.s: {fields: {mrn: {class: s}}}
      public.r: {fields: {mrn: {class: r}}}
      public.d2: {fields: {mrn: {class: d, migration: {state: dual, until: 2099-12-31}}}}
      public.s2: {fields: {mrn: {class: s, migration: {state: dual, until: 2099-12-31}}}}
"#;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const BEGIN: &str = "<!-- operators: generated from src/dialect/postgrest/operators.rs -->\n";
const END: &str = "<!-- operators: end -->\n";

struct Lab {
    policy: Policy,
    keys: Keys,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hash = Digest::of(&[KEY.as_bytes()]);
        fs::write(folder.path().join("hash"), hash.to_string()).unwrap();
        let path = folder.path().join("policy.yaml");
        fs::write(&path, POLICY).unwrap();
        let policy = Policy::load(&path).unwrap().0;
        let provider = MemoryProvider::new(SecretKey::new([7; 32]));
        let store = StoreAddress::Memory(Default::default());
        let clock = Arc::new(SystemClock);
        let keys = Keys::create(&store, &provider, &Tenant::new("main"), clock).unwrap();
        let params: Vec<ClassParams> = policy.classes().iter().map(|c| c.params.clone()).collect();
        keys.register(&params).unwrap();
        Self { policy, keys }
    }

    /// What happens to a test of the column `mrn` of a table.
    fn cell(&self, table: &str, test: &str) -> String {
        let api = &self.policy.apis()[0];
        let (_, build) = DIALECTS.iter().find(|(name, _)| *name == api.dialect()).unwrap();
        let dialect = build(api.surface()).unwrap();
        let target = format!("/{table}?mrn={test}");
        let mut headers = HeaderMap::new();
        headers.insert("x-key", HeaderValue::from_static(KEY));
        let caller = self.policy.rules().identify(&Facts {
            headers: &headers,
            certificate: None,
            unix_peer: None,
        });
        let head = Head { method: &Method::GET, target: &target, headers: &headers };
        let operation = dialect.classify(head).unwrap();
        let planned = api.plan(&operation, &caller.unwrap()).and_then(|plan| {
            let rewritten = seal::readdress(&plan, &operation, &self.keys.snapshot())?;
            let replaced = rewritten.replacements;
            let sent = dialect.readdress(head, &replaced)?.target;
            Ok((replaced, sent))
        });
        let (replaced, sent) = match planned {
            Ok(found) => found,
            Err(refusal) => return format!("refused, {}", refusal.code.number()),
        };
        let query = sent.split_once('?').unwrap().1;
        match replaced.iter().flatten().next() {
            Some(replacement) if sent != target => symbols(replacement, query),
            _ => "passes".to_owned(),
        }
    }
}

/// A rewritten query with short words for stored texts, and the rung that they stand on.
fn symbols(replacement: &Replacement, query: &str) -> String {
    let mut words: HashMap<String, String> = HashMap::new();
    let mut name = |text: &String, letter: char| {
        let number = words.values().filter(|word| word.starts_with(letter)).count() + 1;
        words.entry(text.clone()).or_insert_with(|| format!("{letter}{number}"));
    };
    let mut rung = String::new();
    match replacement {
        Replacement::Either(found) => {
            for one in found {
                match one {
                    Alternative::Envelope(text) => name(text, 'E'),
                    Alternative::Range(low, high) => {
                        name(low, 'P');
                        name(high, 'Q');
                    }
                    Alternative::Bound { .. }
                    | Alternative::Like { .. }
                    | Alternative::Same { .. } => {}
                }
            }
        }
        Replacement::Exact(texts) => texts.iter().flatten().for_each(|text| name(text, 'E')),
        Replacement::Ranges(ranges) => {
            for (low, high) in ranges.iter().flatten() {
                name(low, 'P');
                name(high, 'Q');
                rung = match (low.len() - 5) / 12 {
                    0 => String::new(),
                    rungs => format!(" on `{}`", [Rung::Ieq, Rung::Eq][rungs - 1]),
                };
            }
        }
        Replacement::Removed => {}
    }
    let mut text = query.to_owned();
    for (stored, word) in words {
        text = text.replace(&stored, &word);
    }
    // Quotes, and nothing else in the samples, are percent-encoded.
    let text = text.replace("%22", "\"").replace("%25", "%");
    format!("`{text}`{rung}")
}

/// What the API learns from a test that is answered.
fn shows(test: &Test, cells: &[String]) -> &'static str {
    let answered = cells.iter().any(|cell| !cell.starts_with("refused"));
    match test {
        Test::IsNull => "where a null is",
        _ if !answered => "nothing",
        Test::In(literals) if literals.is_empty() => "nothing",
        Test::Pattern { .. } | Test::Bound { .. } => "equality at that rung",
        Test::Equal(_) | Test::In(_) | Test::Other => "equality",
    }
}

fn table() -> String {
    let lab = Lab::new();
    let mut text = String::from(
        "| test | `deterministic` | `searchable`, `match: [ieq, eq]` | `random` | shows the API | \
         `deterministic` in migration | `searchable` in migration |\n|---|---|---|---|---|---|---|\n",
    );
    let mut rows = 0;
    for operator in OPERATORS {
        for sample in operator.samples {
            let cells = ["d", "s", "r"].map(|table| lab.cell(table, sample));
            let (_, build) = DIALECTS.iter().find(|(name, _)| *name == "postgrest").unwrap();
            let dialect = build(lab.policy.apis()[0].surface()).unwrap();
            let target = format!("/d?mrn={sample}");
            let headers = HeaderMap::new();
            let head = Head { method: &Method::GET, target: &target, headers: &headers };
            let found = dialect.classify(head).unwrap();
            let UseKind::Filter(filter) = &found.uses[0].kind else { panic!("{sample}") };
            let mut shows = shows(&filter.test, &cells).to_owned();
            if let Kind::Closed(why) = operator.kind {
                shows = format!("nothing: {why}");
            }
            // What is answered of envelopes is asked of values in clear too, and the other way round.
            let mixed = ["d2", "s2"].map(|table| lab.cell(table, sample));
            let (cells, mixed) = (cells.join(" | "), mixed.join(" | "));
            text.push_str(&format!("| `mrn={sample}` | {cells} | {shows} | {mixed} |\n"));
            rows += 1;
        }
    }
    assert!(rows >= OPERATORS.len() && OPERATORS.len() >= 25, "{rows} rows");
    text
}

#[test]
fn the_table_of_operators_is_what_the_code_does() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/postgrest.md");
    let doc = fs::read_to_string(&path).unwrap();
    let (before, rest) = doc.split_once(BEGIN).expect("the document has the begin marker");
    let (written, after) = rest.split_once(END).expect("the document has the end marker");
    let generated = table();
    if env::var_os("LABSEAL_BLESS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{generated}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(written, generated, "LABSEAL_BLESS=1 cargo test --test docs_postgrest");
}
