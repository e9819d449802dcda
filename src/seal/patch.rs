//! JSON Patch (RFC 6902): a list of changes, each at a place that a JSON Pointer names.
//!
//! A change is understood before its value is looked at, so a patch is held whole, within a window.
//! A value that is added or put in place is sealed where the pointer leads, be that a protected field
//! or something that holds one. What would have to look into a stored value is refused.
//!
//! # Why
//! - `move` and `copy` take an envelope with them. They pass between places of one class, and are
//!   refused wherever only one end is protected, or the ends differ.
//! - A caller who cannot see a value may put another in its place, as in any update, but may not
//!   remove it, nor replace what holds it. (2026-11)

mod changes;

use std::sync::Arc;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use self::changes::{Member, lexeme, may_be_index, offset, text_of, unescape};
use super::{
    json, scan,
    sealing::{self, Sealing},
    splice::Splice,
    strays, tally,
    tree::{ELSEWHERE, Named, Tree},
    value,
    visit::{Lexeme, Stop, Visit},
    windows::MAX_WINDOW,
};
use crate::{
    base::{
        class::Mode,
        near,
        refusal::{Code, Refusal},
    },
    policy::plan::{Guard, Holds, Rights, SealRule, Write},
};

/// A patch on its way.
pub(super) struct Patch {
    tree: Tree<SealRule>,
    pub visit: Sealing,
    rights: Arc<Rights>,
    held: Zeroizing<Vec<u8>>,
}

/// Where a pointer leads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// To a declared field, or to what holds some.
    At(u32),
    /// Into the value of a field of this rule.
    Below(u32),
    /// To nothing that is declared.
    Elsewhere,
}

impl Patch {
    /// A patch of which nothing has come.
    pub fn new(tree: Tree<SealRule>, visit: Sealing, rights: Arc<Rights>) -> Box<Self> {
        Box::new(Self { tree, visit, rights, held: Zeroizing::default() })
    }

    /// Takes the next bytes.
    pub fn push(&mut self, input: &[u8]) -> Result<(), Refusal> {
        if self.held.len() + input.len() > MAX_WINDOW {
            return Err(Code::RecordTooLarge.into());
        }
        self.held.extend_from_slice(input);
        Ok(())
    }

    /// The most bytes that were held.
    pub fn high_water(&self) -> usize {
        self.held.len()
    }

    /// Seals the patch and appends it to `out`.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let body = std::mem::take(&mut self.held);
        let mut splice = Splice::default();
        changes::each(&body, |members| self.change(&body, members, &mut splice))
            .map_err(|stop| self.visit.explain(stop))?;
        splice.carry_out(&body, 0, out, |bytes| self.visit.stays(bytes))
    }

    fn change(
        &mut self,
        body: &[u8],
        members: Vec<Member<'_>>,
        splice: &mut Splice,
    ) -> Result<(), Stop> {
        let (mut op, mut path, mut from, mut given) = (None, None, None, None);
        for (key, value) in members {
            strays::search(key.as_bytes(), &self.visit.keys)?;
            let slot = match key.as_str() {
                "from" => &mut from,
                "op" => &mut op,
                "path" => &mut path,
                "value" => &mut given,
                other => {
                    if ["from", "op", "path", "value"].iter().any(|w| near::is_near(w, other)) {
                        return Err(Stop::Near);
                    }
                    self.scan(body, value, ELSEWHERE, splice)?;
                    continue;
                }
            };
            if slot.replace(value).is_some() {
                return Err(Stop::Duplicate(None));
            }
        }
        let op = text_of(op)?;
        let path = text_of(path)?;
        strays::search(path.as_bytes(), &self.visit.keys)?;
        let place = self.resolve(&path)?;
        match op.as_str() {
            "add" => self.put("add", place, body, given, splice),
            "copy" => self.carry("copy", place, from),
            "move" => self.carry("move", place, from),
            "remove" => self.remove(place),
            "replace" => self.put("replace", place, body, given, splice),
            "test" => self.test(place, body, given, splice),
            _ => Err(Stop::Malformed),
        }
    }

    /// A value at a place.
    fn put(
        &mut self,
        op: &'static str,
        place: Place,
        body: &[u8],
        value: Option<&RawValue>,
        splice: &mut Splice,
    ) -> Result<(), Stop> {
        let value = value.ok_or(Stop::Malformed)?;
        match place {
            Place::Elsewhere => self.scan(body, value, ELSEWHERE, splice),
            Place::Below(rule) => Err(self.unsupported(rule, op)),
            Place::At(node) => {
                if self.tree.node(node).rule.is_none() {
                    self.may_lose(node)?;
                }
                self.scan(body, value, node, splice)
            }
        }
    }

    fn remove(&mut self, place: Place) -> Result<(), Stop> {
        match place {
            Place::At(node) => self.may_lose(node).and_then(|()| self.may_write(node)),
            Place::Below(rule) => Err(self.unsupported(rule, "remove")),
            Place::Elsewhere => Ok(()),
        }
    }

    /// A value taken from one place to another.
    fn carry(&mut self, op: &'static str, to: Place, from: Option<&RawValue>) -> Result<(), Stop> {
        let from = text_of(from)?;
        strays::search(from.as_bytes(), &self.visit.keys)?;
        let from = self.resolve(&from)?;
        let (one, other) = match (from, to) {
            (Place::Elsewhere, Place::Elsewhere) => return Ok(()),
            (Place::At(one), Place::At(other)) => (one, other),
            (Place::Below(rule), _) | (_, Place::Below(rule)) => {
                return Err(self.unsupported(rule, op));
            }
            (Place::At(node), Place::Elsewhere) | (Place::Elsewhere, Place::At(node)) => {
                return Err(self.unsupported_at(node, op));
            }
        };
        let class = |node| {
            let rule = self.rule(self.tree.node(node).rule?)?;
            Some(&rule.class.params.id)
        };
        let are_alike = one == other || class(one).is_some_and(|id| Some(id) == class(other));
        if !are_alike {
            return Err(self.unsupported_at(one, op));
        }
        for node in [one, other] {
            self.may_lose(node)?;
            self.may_write(node)?;
        }
        Ok(())
    }

    /// A comparison with a stored value: what may be tested for equality in a filter, may be here.
    fn test(
        &mut self,
        place: Place,
        body: &[u8],
        value: Option<&RawValue>,
        splice: &mut Splice,
    ) -> Result<(), Stop> {
        let raw = value.ok_or(Stop::Malformed)?;
        let node = match place {
            Place::At(node) => node,
            Place::Below(rule) => return Err(self.unsupported(rule, "test")),
            Place::Elsewhere => return self.scan(body, raw, ELSEWHERE, splice),
        };
        let index = self.tree.node(node).rule;
        let Some(rule) = index.and_then(|index| self.rule(index)).cloned() else {
            return Err(self.unsupported_at(node, "test"));
        };
        let value = lexeme(raw);
        if let Lexeme::Null = value {
            return Ok(());
        }
        let class = &rule.class.params;
        let refuse = |code| Err(sealing::refused(&rule, code).by("test").into());
        if class.mode != Mode::Deterministic {
            return refuse(Code::UnsupportedOperator);
        }
        // Either form may be stored, and a patch can test for one.
        if rule.holds == Holds::Mixed {
            return refuse(Code::MixedTest);
        }
        if !self.rights.by_class.get(&class.id).is_some_and(|rights| rights.may_filter) {
            return refuse(Code::FilterNotGranted);
        }
        let Ok(typed) = value::sought_in_json(class.ty, value) else {
            return refuse(Code::WrongType);
        };
        if strays::kid_of_ours(value::to_text(&typed).expose(), &self.visit.keys).is_some() {
            return refuse(Code::PutBackNotAllowed);
        }
        if typed.value.len() > sealing::longest(&rule.class) {
            return refuse(Code::ValueTooLarge);
        }
        let stored = self.visit.keys.exact(&class.id, &typed);
        let stored = stored.map_err(|error| sealing::cannot(&rule, error))?;
        // Under two live keys either may be stored, and a patch can test for one.
        let [stored] = stored.as_slice() else { return refuse(Code::UnsupportedOperator) };
        let start = offset(body, raw)?;
        let _ = splice.make(|made| {
            json::escape(stored.as_bytes(), made);
            Ok(super::visit::Act::Replace)
        })?;
        splice.replace(start, start + raw.get().len());
        self.visit.tally.kids.extend(crate::crypto::envelope::kid_at(stored.as_bytes()));
        self.visit.written.note(stored, &class.id, value::to_text(&typed));
        tally::count(&mut self.visit.tally.filtered, &rule.class.name);
        Ok(())
    }

    fn scan(
        &mut self,
        body: &[u8],
        value: &RawValue,
        node: u32,
        splice: &mut Splice,
    ) -> Result<(), Stop> {
        let start = offset(body, value)?;
        scan::text(value.get().as_bytes(), start, node, &self.tree, &mut self.visit, splice)
    }

    /// Follows a pointer (RFC 6901).
    fn resolve(&mut self, pointer: &str) -> Result<Place, Stop> {
        let mut node = self.tree.root();
        let mut tokens = pointer.split('/');
        if tokens.next() != Some("") {
            return Err(Stop::Malformed);
        }
        for token in tokens {
            let token = unescape(token)?;
            let flat = self.tree.node(node);
            if let Some(rule) = flat.rule {
                return Ok(Place::Below(rule));
            }
            let named = self.tree.named(flat, token.as_bytes());
            // A token is a key, unless it may be an index of the list that may be here.
            let is_key = flat.elements.is_none() || !may_be_index(&token);
            if let (Named::Otherwise, true) = (named, is_key)
                && let Some(closed) = self.tree.unlisted(flat, token.as_bytes())
            {
                self.visit.unlisted(closed)?;
            }
            node = match (named, flat.elements) {
                (Named::Member { child, .. }, _) => child,
                (Named::Near, _) => return Err(Stop::Near),
                // Where there may be an object too, what no server takes for an index is its key.
                (Named::Otherwise, Some(_)) if flat.member_count() > 0 && !may_be_index(&token) => {
                    ELSEWHERE
                }
                (Named::Otherwise, Some(element)) => element,
                (Named::Otherwise, None) => ELSEWHERE,
            };
            if node == ELSEWHERE {
                return Ok(Place::Elsewhere);
            }
        }
        Ok(if node == ELSEWHERE { Place::Elsewhere } else { Place::At(node) })
    }

    fn rule(&self, index: u32) -> Option<&SealRule> {
        self.tree.rules().get(index as usize)
    }

    fn rules_under(&self, node: u32) -> impl Iterator<Item = &SealRule> {
        self.tree.rules_under(node).into_iter().filter_map(|index| self.rule(index))
    }

    fn may_write(&self, node: u32) -> Result<(), Stop> {
        for rule in self.rules_under(node) {
            if let Write::Denied { line } = rule.write {
                let refusal = Refusal::new(Code::WriteNotGranted);
                return Err(refusal.on(&rule.field).at_line(line).into());
            }
        }
        Ok(())
    }

    /// Refuses what would remove a value that the caller cannot see.
    fn may_lose(&self, node: u32) -> Result<(), Stop> {
        match self.rules_under(node).find(|rule| rule.guard == Guard::Unseen) {
            Some(rule) => Err(sealing::refused(rule, Code::MaskedWriteback).into()),
            None => Ok(()),
        }
    }

    fn unsupported(&self, rule: u32, op: &'static str) -> Stop {
        match self.rule(rule) {
            Some(rule) => sealing::refused(rule, Code::UnsupportedOperator).by(op).into(),
            None => Refusal::new(Code::UnsupportedOperator).by(op).into(),
        }
    }

    fn unsupported_at(&self, node: u32, op: &'static str) -> Stop {
        match self.rules_under(node).next() {
            Some(rule) => sealing::refused(rule, Code::UnsupportedOperator).by(op).into(),
            None => Refusal::new(Code::UnsupportedOperator).by(op).into(),
        }
    }
}
