//! A body on its way: pieces in, finished windows out.

use std::{marker::PhantomData, sync::Arc};

use zeroize::Zeroizing;

use super::{
    csv::Rows,
    form::{self, Form},
    opening::Opening,
    pairs::Pairs,
    parts::Parts,
    patch::Patch,
    proof::{Direction, Sealed, Unsealed},
    record::Records,
    refine::Refine,
    reorder,
    scan::Scanner,
    sealing::Sealing,
    strays::Stream,
    tally::Tally,
    tree::{Absence, Tree},
    watch::{Refined, Watch},
    windows::{MAX_WINDOW, Reader, Windows},
    written::Written,
};
use crate::{
    base::refusal::{Code, Refusal},
    crypto::wiped,
    keys::Snapshot,
    model::Node,
    policy::{
        Plan,
        plan::{AnswerPlan, Guard, OpenRule, RequestPlan, SealRule},
    },
};

/// One body being sealed or opened, window by window.
///
/// After a refusal nothing more comes out of it, and no proof.
#[must_use]
pub struct Transform<D = Sealed> {
    body: Body,
    direction: PhantomData<D>,
}

/// What the end of a pass gives.
#[must_use]
#[derive(Debug)]
pub struct Finished<D> {
    /// What was done.
    pub tally: Tally,
    /// What was written to the API; empty for an answer.
    pub written: Written,
    /// How many records of an answer stayed, if they were refined.
    pub refined: Refined,
    /// That it was done to the end.
    pub proof: D,
}

enum Body {
    /// No body belongs there; some clients send an empty object, though.
    Empty,
    Open(Box<Windows<OpenRule, Opening>>),
    Pass,
    Patch(Box<Patch>),
    /// Every byte is refused; none came yet.
    Refuse(Code),
    /// It was refused.
    Refused,
    Seal(Box<Windows<SealRule, Sealing>>),
    Search(Box<Stream>, Arc<Snapshot>),
    /// Opened, and held until the last record has come, since it may be the first of the order.
    Sort(Box<Windows<OpenRule, Opening>>, Zeroizing<Vec<u8>>),
}

/// What a body without any value consists of.
const EMPTY: &[u8] = b"{}[] \t\r\n";

impl Transform<Sealed> {
    /// The body of a request.
    pub fn sealing(plan: &Plan, keys: Arc<Snapshot>, form: Form) -> Self {
        let body = match (&plan.request, form) {
            (RequestPlan::Nothing, _) => Body::Empty,
            (RequestPlan::Pass, _) => Body::Pass,
            (RequestPlan::Scan(node), _) if node.is_empty() => Body::Search(Box::default(), keys),
            (RequestPlan::Scan(node), form) => {
                sealed(plan, node, form, keys).unwrap_or(Body::Refuse(Code::UnsupportedContentType))
            }
        };
        Self { body, direction: PhantomData }
    }
}

/// The pass that seals a body in which something is declared; `None` if it cannot be found there.
fn sealed(plan: &Plan, node: &Node<SealRule>, form: Form, keys: Arc<Snapshot>) -> Option<Body> {
    let whole = |node: &Node<SealRule>| Tree::new(node, Absence::Loses, |rule| rule.required);
    let sealing = |tree: &Tree<SealRule>| Sealing {
        rules: tree.rules().into(),
        keys,
        records: Records::new(plan),
        tally: Tally::default(),
        written: Written::default(),
    };
    // Only a JSON text is read ahead for the key of a record.
    let is_read_ahead = match form {
        Form::Json | Form::JsonSequence | Form::MergePatch | Form::Ndjson => true,
        Form::Bytes | Form::Csv(_) | Form::JsonPatch | Form::Multipart(_) | Form::Urlencoded => {
            false
        }
    };
    if !is_read_ahead && !node.records().is_empty() {
        return None;
    }
    let (tree, reader) = match form {
        Form::Bytes => return None,
        Form::Csv(cells) => (whole(&form::flat_record(node)?), Reader::Csv(Rows::new(cells))),
        Form::Json => {
            let tree = whole(node);
            let scanner = Scanner::new(tree.root());
            (tree, Reader::Json(scanner))
        }
        Form::JsonPatch => {
            let tree = whole(node);
            let sealing = sealing(&tree);
            return Some(Body::Patch(Patch::new(tree, sealing, plan.rights.clone())));
        }
        Form::JsonSequence => (whole(&form::record(node)), Reader::Sequence(Default::default())),
        Form::MergePatch => {
            let tree = Tree::new(node, Absence::Keeps, |rule| rule.guard == Guard::Unseen);
            let scanner = Scanner::new(tree.root());
            (tree, Reader::Json(scanner))
        }
        Form::Multipart(boundary) => {
            (whole(&form::flat_record(node)?), Reader::Parts(Parts::new(&boundary)))
        }
        Form::Ndjson => (whole(&form::record(node)), Reader::Lines(Default::default())),
        Form::Urlencoded => (whole(&form::flat_record(node)?), Reader::Pairs(Pairs::default())),
    };
    let sealing = sealing(&tree);
    Some(Body::Seal(Windows::new(reader, tree, sealing)))
}

impl Transform<Unsealed> {
    /// The body of an answer that succeeded.
    pub fn opening(plan: &Plan, keys: Arc<Snapshot>, form: Form) -> Self {
        let body = match (&plan.answer, form) {
            (AnswerPlan::Pass, _) => Body::Pass,
            (AnswerPlan::Scan(node), form) => match reader(node, form) {
                Some((tree, reader)) => {
                    let rules = tree.rules().into();
                    let (rights, tally) = (plan.rights.clone(), Tally::default());
                    let opening = Opening {
                        rules,
                        rights,
                        keys,
                        records: Records::new(plan),
                        tally,
                        last_kid: None,
                        key_state: None,
                        watch: Watch::default(),
                    };
                    Body::Open(Windows::new(reader, tree, opening))
                }
                None if node.is_empty() => Body::Pass,
                None => Body::Refuse(Code::UpstreamUnreadable),
            },
        };
        Self { body, direction: PhantomData }
    }

    /// The same, with what is still to be done with its records. Refused if it cannot be done.
    pub fn refined(self, refine: &Refine) -> Result<Self, Refusal> {
        if refine.is_empty() {
            return Ok(self);
        }
        let body = match self.body {
            Body::Open(mut windows) if windows.is_one_text() => {
                windows.visit.watch = Watch::new(refine, &windows.tree)?;
                if !windows.visit.watch.is_idle() {
                    windows.be_exact();
                }
                match windows.visit.watch.orders() {
                    true => Body::Sort(windows, Zeroizing::default()),
                    false => Body::Open(windows),
                }
            }
            // Tokens are exact but for collisions, which nobody looks for in other forms.
            body if !refine.needs_whole() => body,
            _ => return Err(Code::UpstreamUnreadable.into()),
        };
        Ok(Self { body, direction: PhantomData })
    }

    /// The head of the answer goes out, so that its records are said to be so many as the API said.
    /// Gives whether it is known that there may be fewer.
    pub fn settle(&mut self) -> bool {
        match &mut self.body {
            Body::Open(windows) => windows.visit.watch.settle(),
            Body::Empty
            | Body::Pass
            | Body::Refuse(_)
            | Body::Refused
            | Body::Seal(_)
            | Body::Patch(_)
            | Body::Search(..)
            | Body::Sort(..) => false,
        }
    }
}

/// What reads an answer; `None` if nothing can be found in it.
fn reader(node: &Node<OpenRule>, form: Form) -> Option<(Tree<OpenRule>, Reader)> {
    let tree = |node: &Node<OpenRule>| Tree::new(node, Absence::Loses, |_| false);
    match form {
        // A cell that is ours could not be taken out again, nor its column.
        Form::Csv(_) if !node.records().is_empty() => None,
        Form::Csv(cells) => Some((tree(&form::record(node)), Reader::Csv(Rows::new(cells)))),
        Form::Json | Form::JsonPatch | Form::MergePatch => {
            let tree = tree(node);
            let scanner = Scanner::new(tree.root());
            Some((tree, Reader::Json(scanner)))
        }
        Form::JsonSequence => {
            Some((tree(&form::record(node)), Reader::Sequence(Default::default())))
        }
        Form::Ndjson => Some((tree(&form::record(node)), Reader::Lines(Default::default()))),
        Form::Bytes | Form::Multipart(_) | Form::Urlencoded => None,
    }
}

impl<D: Direction> Transform<D> {
    /// Takes the next bytes and appends finished windows to `out`.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        let pushed = match &mut self.body {
            Body::Empty if input.iter().all(|byte| EMPTY.contains(byte)) => {
                out.extend_from_slice(input);
                Ok(())
            }
            Body::Empty => Err(Code::UnexpectedBody.into()),
            Body::Open(windows) => wiped(|| windows.push(input, out)),
            Body::Pass => {
                out.extend_from_slice(input);
                Ok(())
            }
            Body::Patch(patch) => wiped(|| patch.push(input)),
            Body::Refuse(_) if input.is_empty() => Ok(()),
            Body::Refuse(code) => Err((*code).into()),
            Body::Refused => Err(Code::Internal.into()),
            Body::Seal(windows) => wiped(|| windows.push(input, out)),
            Body::Search(stream, keys) => stream.push(input, keys).map(|()| {
                out.extend_from_slice(input);
            }),
            Body::Sort(windows, held) => wiped(|| windows.push(input, held)).and_then(|()| {
                let fits = held.len() <= MAX_WINDOW;
                if fits { Ok(()) } else { Err(Code::TooManyRecords.into()) }
            }),
        };
        if pushed.is_err() {
            self.body = Body::Refused;
        }
        pushed
    }

    /// Ends the body and appends the rest to `out`.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<Finished<D>, Refusal> {
        let mut refined = Refined::default();
        let (tally, written) = match self.body {
            Body::Open(mut windows) => {
                wiped(|| windows.finish(out))?;
                refined = windows.visit.watch.refined;
                (windows.visit.tally, Written::default())
            }
            Body::Empty | Body::Pass | Body::Refuse(_) | Body::Search(..) => Default::default(),
            Body::Patch(mut patch) => {
                wiped(|| patch.finish(out))?;
                (patch.visit.tally, patch.visit.written)
            }
            Body::Refused => return Err(Code::Internal.into()),
            Body::Seal(mut windows) => {
                wiped(|| windows.finish(out))?;
                (windows.visit.tally, windows.visit.written)
            }
            Body::Sort(mut windows, mut held) => {
                wiped(|| windows.finish(&mut held))?;
                let places = windows.visit.watch.permutation()?;
                reorder::reorder(&held, &places, out).ok_or(Code::UpstreamUnreadable)?;
                refined = windows.visit.watch.refined;
                (windows.visit.tally, Written::default())
            }
        };
        Ok(Finished { tally, written, refined, proof: D::made() })
    }

    /// The most bytes that were ever held back.
    pub fn high_water(&self) -> usize {
        match &self.body {
            Body::Open(windows) => windows.high_water,
            Body::Empty | Body::Pass | Body::Refuse(_) | Body::Refused | Body::Search(..) => 0,
            Body::Patch(patch) => patch.high_water(),
            Body::Seal(windows) => windows.high_water,
            Body::Sort(windows, held) => windows.high_water + held.len(),
        }
    }
}
