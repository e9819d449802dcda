//! `application/x-www-form-urlencoded`: `name=value` pairs between `&`, one record in all. Read in
//! requests alone.
//!
//! # Why
//! A bare `;` is refused: PostgREST takes it for `&`, and others do not. Browsers and form encoders
//! write `%3B`. (2026-11)

use zeroize::Zeroizing;

use super::{
    spelling::Spelling,
    splice::Splice,
    tree::{Named, Tree},
    visit::{Lexeme, Stop, Visit},
};

/// The state of a scan between two pieces of input. Positions count from the start of the body.
#[derive(Default)]
pub(super) struct Pairs {
    /// Places of the members met so far.
    seen: Vec<u32>,
    at: usize,
    safe: usize,
}

impl Pairs {
    pub fn safe(&self) -> usize {
        self.safe
    }

    pub fn run<R: Clone, V: Visit>(
        &mut self,
        input: &[u8],
        base: usize,
        is_last: bool,
        tree: &Tree<R>,
        visit: &mut V,
        splice: &mut Splice,
    ) -> Result<(), Stop> {
        loop {
            let rest = input.get(self.at - base..).unwrap_or_default();
            let Some(end) = memchr::memchr(b'&', rest).map(|found| self.at + found) else { break };
            let pair = input.get(self.safe - base..end - base).unwrap_or_default();
            self.pair(pair, self.safe, tree, visit, splice)?;
            self.at = end + 1;
            self.safe = self.at;
        }
        self.at = base + input.len();
        if is_last {
            let pair = input.get(self.safe - base..).unwrap_or_default();
            self.pair(pair, self.safe, tree, visit, splice)?;
            self.safe = self.at;
            tree.node(tree.root()).demand(|place| self.seen.contains(&place))?;
        }
        Ok(())
    }

    fn pair<R: Clone, V: Visit>(
        &mut self,
        pair: &[u8],
        start: usize,
        tree: &Tree<R>,
        visit: &mut V,
        splice: &mut Splice,
    ) -> Result<(), Stop> {
        if pair.is_empty() {
            return Ok(());
        }
        let sign = memchr::memchr(b'=', pair);
        let (name, value) = pair.split_at(sign.unwrap_or(pair.len()));
        // JSON is often sent as a form by mistake, and servers exist that take it.
        let is_other = memchr::memchr3(b'{', b'"', b'<', name).is_some();
        if is_other || memchr::memchr2(b';', 0, pair).is_some() {
            return Err(Stop::Malformed);
        }
        let name = decode(name);
        let name = std::str::from_utf8(&name).map_err(|_| Stop::Malformed)?;
        if name.contains('\0') {
            return Err(Stop::Malformed);
        }
        let child = match tree.field(name) {
            Named::Member { place, child } => {
                if self.seen.contains(&place) {
                    return Err(Stop::Duplicate(tree.node(child).rule));
                }
                self.seen.push(place);
                child
            }
            Named::Near => return Err(Stop::Near),
            Named::Otherwise => {
                if let Some(closed) = tree.unlisted(tree.node(tree.root()), name.as_bytes()) {
                    visit.unlisted(closed)?;
                }
                return Ok(visit.spelled(pair)?);
            }
        };
        let rule = tree.node(child).rule.ok_or(Stop::Shape)?;
        let end = start + pair.len();
        let text = decode(value.get(1..).unwrap_or_default());
        let act = splice.make(|made| {
            // A name alone has the empty text as its value.
            if sign.is_none() {
                made.push(b'=');
            }
            visit.leaf(rule, Lexeme::Text(&text), Spelling::Text, made)
        })?;
        splice.carry(act, sign.map_or(end, |sign| start + sign + 1), end);
        Ok(())
    }
}

/// Decodes as the form decoders of servers do: `+` is a space, a `%` that no two digits follow is
/// itself.
fn decode(raw: &[u8]) -> Zeroizing<Vec<u8>> {
    let spaced: Zeroizing<Vec<u8>> =
        Zeroizing::new(raw.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect());
    Zeroizing::new(percent_encoding::percent_decode(&spaced).collect())
}
