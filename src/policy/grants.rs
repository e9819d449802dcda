//! The section `grants:`: what each caller may do with each class. Unlisted is denied.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    auth::ANONYMOUS,
    base::ident::{CallerName, ClassId},
};

use super::{
    callers::Callers,
    classes::Classes,
    diagnostic::{Place, Problems},
    document::{Fields, Node, reader::pairs, word},
    plan::{Class, ClassRights, Right, Rights},
};

/// What every caller may do.
#[derive(Debug)]
pub(super) struct Grants {
    by_caller: BTreeMap<CallerName, Granted>,
    nothing: Granted,
}

/// What one caller may do.
#[derive(Clone, Debug)]
pub(super) struct Granted {
    /// On every class of the policy.
    pub(super) rights: Arc<Rights>,
    /// The line that decided, by class.
    lines: HashMap<ClassId, usize>,
    /// The line of the caller's grants, or of the section.
    line: usize,
}

impl Granted {
    /// The policy line that decided what the caller may do with `class`.
    pub(super) fn line(&self, class: &ClassId) -> usize {
        self.lines.get(class).copied().unwrap_or(self.line)
    }
}

/// One entry: what may be done with a class, or with all that are not named.
#[derive(Clone, Copy)]
struct Entry {
    read: Right,
    filter: bool,
    write: bool,
    line: usize,
}

impl Grants {
    /// Reads the section, if it is there.
    pub(super) fn read(
        node: Option<&Node>,
        classes: &Classes,
        callers: &Callers,
        problems: &mut Problems,
    ) -> Self {
        let line = node.map_or(1, |node| node.at.line);
        let mut by_caller = BTreeMap::new();
        let entries = node.and_then(|node| pairs(node, "grants", problems)).unwrap_or_default();
        for (key, node) in entries {
            let caller = callers.find(&key.text, key.at, problems);
            let granted = granted(key.at, node, classes, problems);
            if let (Some(caller), Some(granted)) = (caller, granted) {
                if caller.as_str() == ANONYMOUS && granted.allows_something() {
                    let message = "anonymous is granted something: that is anybody who can connect";
                    problems.warning(key.at, message, "grant it to a caller that has a proof");
                }
                by_caller.insert(caller, granted);
            }
        }
        for (caller, at) in callers.declared() {
            if !entries.iter().any(|(key, _)| key.text == caller.as_str()) {
                let message = format!("caller `{caller}` has no grants, so it may do nothing");
                problems.warning(*at, message, "add it under grants:, or leave it out");
            }
        }
        Self { by_caller, nothing: compile(&BTreeMap::new(), None, line, classes.sound()) }
    }

    /// Whether some caller may test values of a class.
    pub(super) fn someone_filters(&self, class: &ClassId) -> bool {
        let may = |granted: &Granted| {
            granted.rights.by_class.get(class).is_some_and(|rights| rights.may_filter)
        };
        self.by_caller.values().any(may)
    }

    /// What `caller` may do.
    pub(super) fn of(&self, caller: &CallerName) -> &Granted {
        self.by_caller.get(caller).unwrap_or(&self.nothing)
    }
}

impl Granted {
    fn allows_something(&self) -> bool {
        self.rights.by_class.values().any(|right| {
            right.may_filter || right.may_write || !matches!(right.read, Right::Deny | Right::Omit)
        })
    }
}

fn granted(at: Place, node: &Node, classes: &Classes, problems: &mut Problems) -> Option<Granted> {
    let mut named = BTreeMap::new();
    let mut rest = None;
    for (key, node) in pairs(node, "the grants of a caller", problems)? {
        let entry = entry(key.at, node, problems);
        if key.text == "*" {
            rest = entry;
        } else if let Some(class) = classes.find(&key.text, key.at, problems) {
            named.extend(entry.map(|entry| (class.params.id.clone(), entry)));
        }
    }
    Some(compile(&named, rest, at.line, classes.sound()))
}

/// Spells out what a caller may do with every class: a named class replaces `*` whole.
fn compile(
    named: &BTreeMap<ClassId, Entry>,
    rest: Option<Entry>,
    line: usize,
    classes: &[Arc<Class>],
) -> Granted {
    let nothing = Entry { read: Right::Deny, filter: false, write: false, line };
    let mut lines = HashMap::new();
    let mut by_class = HashMap::new();
    for class in classes {
        let id = &class.params.id;
        let entry = named.get(id).copied().or(rest).unwrap_or(nothing);
        let rights = ClassRights {
            class: class.clone(),
            read: entry.read,
            may_filter: entry.filter,
            may_write: entry.write,
        };
        lines.insert(id.clone(), entry.line);
        by_class.insert(id.clone(), rights);
    }
    Granted { rights: Arc::new(Rights { by_class }), lines, line }
}

const READ: &[(&str, Right)] = &[
    ("clear", Right::Clear),
    ("masked", Right::Masked),
    ("sealed", Right::Sealed),
    ("null", Right::Null),
    ("omit", Right::Omit),
    ("deny", Right::Deny),
];

const ALLOW: &[(&str, bool)] = &[("allow", true), ("deny", false)];

fn entry(at: Place, node: &Node, problems: &mut Problems) -> Option<Entry> {
    let mut fields = Fields::of(node, "a grant", problems)?;
    fields.later(&["masked_writeback", "until"]);
    let read = match fields.optional("read") {
        Some(node) => word(node, "read", READ, &[], problems),
        None => Some(Right::Deny),
    };
    let mut allowed = |key, problems: &mut Problems| match fields.optional(key) {
        Some(node) => word(node, key, ALLOW, &[], problems),
        None => Some(false),
    };
    let filter = allowed("filter", problems);
    let write = allowed("write", problems);
    fields.finish(problems);
    Some(Entry { read: read?, filter: filter?, write: write?, line: at.line })
}
