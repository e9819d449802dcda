//! `labseal keys list` and `labseal keys status`.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::{by_class, lines};
use crate::{
    base::clock::{Clock as _, SystemClock, rfc3339},
    keys::{KeyVersion, Replica, Status},
};

pub(super) fn list(versions: &[KeyVersion], json: bool) {
    if json {
        let versions: Vec<Value> = versions.iter().map(version).collect();
        anstream::println!("{}", Value::from(versions));
        return;
    }
    let mut table = table(&["ring", "version", "state", "created", "kids"]);
    for version in versions {
        table.add_row([
            version.ring.to_string(),
            version.version.to_string(),
            version.state.to_string(),
            rfc3339(version.created),
            lines(&version.kids),
        ]);
    }
    anstream::println!("{table}");
}

pub(super) fn status(status: &Status, json: bool) {
    let (generation, since) = status.root;
    if json {
        let slots = status.slots.iter();
        let slots = slots
            .map(|slot| json!({"name": slot.name(), "provider": slot.kind(), "key": slot.key()}));
        let object = json!({
            "epoch": status.epoch,
            "root": {
                "generation": generation,
                "since": rfc3339(since),
                "handover": status.handover,
                "slots": slots.collect::<Vec<_>>(),
            },
            "versions": status.versions.iter().map(version).collect::<Vec<_>>(),
            "replicas": status.replicas.iter().map(|row| replica(row, status.epoch)).collect::<Vec<_>>(),
        });
        anstream::println!("{object}");
        return;
    }
    anstream::println!("Key log: {} entries", status.epoch + 1);
    anstream::println!("Root key: {generation}, since {}", rfc3339(since));
    match status.slots.as_slice() {
        [] => anstream::println!("  kept by the provider itself (a store of format 1)"),
        slots => slots.iter().for_each(|slot| {
            anstream::println!("  wrapped by {} key {} ({})", slot.kind(), slot.key(), slot.name());
        }),
    }
    if status.handover {
        anstream::println!(
            "  the way from the root key before is still there; run `labseal keys rotate root` again"
        );
    }
    let now = SystemClock.wall();
    let mut versions = table(&["ring", "version", "state", "age", "values", "note"]);
    for version in &status.versions {
        let age = now.saturating_sub(version.activated.unwrap_or(version.created));
        versions.add_row([
            version.ring.to_string(),
            version.version.to_string(),
            version.state.to_string(),
            spelled(age.as_secs()),
            version.values.map_or("-".to_owned(), |values| format!("< {values}")),
            version
                .due
                .map_or(String::new(), |due| format!("to be destroyed from {}", rfc3339(due))),
        ]);
    }
    anstream::println!("{versions}");
    if status.replicas.is_empty() {
        anstream::println!("No replica runs.");
        return;
    }
    let mut replicas = table(&["replica", "id", "state", "acknowledged", "last seen", "labseal"]);
    for row in &status.replicas {
        replicas.add_row([
            row.name.clone(),
            row.id.get(..8).unwrap_or(&row.id).to_owned(),
            word(row, status.epoch).to_owned(),
            row.epoch.map_or("-".to_owned(), |epoch| format!("entry {epoch}")),
            format!("{} ago", spelled(row.age.as_secs())),
            row.version.clone(),
        ]);
    }
    anstream::println!("{replicas}");
}

fn version(version: &KeyVersion) -> Value {
    json!({
        "ring": version.ring.as_str(),
        "version": version.version,
        "state": version.state.as_str(),
        "created": rfc3339(version.created),
        "activated": version.activated.map(rfc3339),
        "due": version.due.map(rfc3339),
        "values_at_most": version.values,
        "digest": version.digest.to_string(),
        "kids": by_class(&version.kids),
    })
}

fn replica(row: &Replica, epoch: u64) -> Value {
    json!({
        "id": row.id,
        "name": row.name,
        "state": word(row, epoch),
        "acknowledged": row.epoch,
        "age_ms": u64::try_from(row.age.as_millis()).unwrap_or(u64::MAX),
        "lease_ms": u64::try_from(row.lease.as_millis()).unwrap_or(u64::MAX),
        "version": row.version,
    })
}

fn word(row: &Replica, epoch: u64) -> &'static str {
    match (row.is_live(), row.epoch) {
        (_, None) => "unbelieved",
        (false, _) => "gone",
        (true, _) if row.has(epoch) => "live",
        (true, _) => "behind",
    }
}

fn spelled(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.to_vec());
    table
}
