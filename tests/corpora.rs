//! The inputs of the fuzz targets, in every run: seeds, and whatever once broke a property.

#[path = "fuzz/properties.rs"]
mod properties;

use std::{collections::BTreeMap, fs, path::Path};

/// Fails if what must hold does not hold for these bytes.
type Property = fn(&[u8]);

/// How many inputs there are at least. A folder that is not found must not look like success.
const LEAST: [(&str, usize, Property); 5] = [
    ("csv", 15, properties::csv),
    ("envelope", 10, properties::envelope),
    ("json", 20, properties::json),
    ("ndjson", 8, properties::ndjson),
    ("postgrest", 30, properties::postgrest),
];

#[test]
fn every_property_holds_for_every_input_of_its_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut tried = BTreeMap::new();
    for (target, _, property) in LEAST {
        for entry in fs::read_dir(corpus.join(target)).unwrap() {
            let path = entry.unwrap().path();
            let input = fs::read(&path).unwrap();
            // Names the input that fails, below what the property says of it.
            let held = std::panic::catch_unwind(|| property(&input));
            assert!(held.is_ok(), "{}", path.display());
            *tried.entry(target).or_insert(0) += 1;
        }
    }
    let folders = fs::read_dir(&corpus).unwrap().count();
    assert_eq!(folders, LEAST.len(), "a folder was not tried");
    for (target, least, _) in LEAST {
        assert!(tried[target] >= least, "{target}: only {} inputs", tried[target]);
    }
}
