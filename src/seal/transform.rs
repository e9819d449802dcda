//! A body on its way: pieces in, finished windows out.

use std::{marker::PhantomData, sync::Arc};

use zeroize::Zeroizing;

use super::{
    opening::Opening,
    proof::{Direction, Sealed, Unsealed},
    record::Records,
    refine::Refine,
    reorder,
    scan::Scanner,
    sealing::Sealing,
    splice::Splice,
    strays::Stream,
    tally::Tally,
    tree::Tree,
    visit::{Stop, Visit},
    watch::{Refined, Watch},
    written::Written,
};
use crate::{
    base::refusal::{Code, Refusal},
    keys::Snapshot,
    policy::{
        Plan,
        plan::{AnswerPlan, OpenRule, RequestPlan, SealRule},
    },
};

/// The largest window: a record, or a token outside of records.
const MAX_WINDOW: usize = 8 << 20;

/// How much is scanned at a time. Small, so that what is scanned is still in the cache when it is
/// copied, and so that a caller who pushes a large piece needs no large buffer.
const PIECE: usize = 64 << 10;

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Anything else.
    Bytes,
    /// JSON in UTF-8.
    Json,
}

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
    Open(Box<Windows<OpenRule, Opening>>),
    Pass,
    /// Every byte is refused; none came yet.
    Refuse(Code),
    /// It was refused.
    Refused,
    Seal(Box<Windows<SealRule, Sealing>>),
    Search(Box<Stream>, Arc<Snapshot>),
    /// Opened, and held until the last record has come, since it may be the first of the order.
    Sort(Box<Windows<OpenRule, Opening>>, Zeroizing<Vec<u8>>),
}

impl Transform<Sealed> {
    /// The body of a request.
    pub fn sealing(plan: &Plan, keys: Arc<Snapshot>, form: Form) -> Self {
        let body = match (&plan.request, form) {
            (RequestPlan::Nothing, _) => Body::Refuse(Code::UnexpectedBody),
            (RequestPlan::Pass, _) => Body::Pass,
            (RequestPlan::Scan(node), _) if node.is_empty() => Body::Search(Box::default(), keys),
            (RequestPlan::Scan(_), Form::Bytes) => Body::Refuse(Code::UnsupportedContentType),
            (RequestPlan::Scan(node), Form::Json) => {
                let tree = Tree::new(node, |rule| rule.required);
                let rules = tree.rules().into();
                let (tally, written) = (Tally::default(), Written::default());
                let records = Records::new(plan);
                Body::Seal(Windows::new(tree, Sealing { rules, keys, records, tally, written }))
            }
        };
        Self { body, direction: PhantomData }
    }
}

impl Transform<Unsealed> {
    /// The body of an answer that succeeded.
    pub fn opening(plan: &Plan, keys: Arc<Snapshot>, form: Form) -> Self {
        let body = match (&plan.answer, form) {
            (AnswerPlan::Pass, _) => Body::Pass,
            (AnswerPlan::Scan(node), Form::Bytes) if node.is_empty() => Body::Pass,
            (AnswerPlan::Scan(_), Form::Bytes) => Body::Refuse(Code::UpstreamUnreadable),
            (AnswerPlan::Scan(node), Form::Json) => {
                let tree = Tree::new(node, |_| false);
                let rules = tree.rules().into();
                let (rights, tally) = (plan.rights.clone(), Tally::default());
                let records = Records::new(plan);
                Body::Open(Windows::new(
                    tree,
                    Opening {
                        rules,
                        rights,
                        keys,
                        records,
                        tally,
                        last_kid: None,
                        watch: Watch::default(),
                    },
                ))
            }
        };
        Self { body, direction: PhantomData }
    }
}

impl Transform<Unsealed> {
    /// The same, with what is still to be done with its records. Refused if it cannot be done.
    pub fn refined(self, refine: &Refine) -> Result<Self, Refusal> {
        if refine.is_empty() {
            return Ok(self);
        }
        let body = match self.body {
            Body::Open(mut windows) => {
                windows.visit.watch = Watch::new(refine, &windows.tree)?;
                if !windows.visit.watch.is_idle() {
                    windows.scanner.be_exact();
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
            Body::Pass
            | Body::Refuse(_)
            | Body::Refused
            | Body::Seal(_)
            | Body::Search(..)
            | Body::Sort(..) => false,
        }
    }
}

impl<D: Direction> Transform<D> {
    /// Takes the next bytes and appends finished windows to `out`.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        let pushed = match &mut self.body {
            Body::Open(windows) => windows.push(input, out),
            Body::Pass => {
                out.extend_from_slice(input);
                Ok(())
            }
            Body::Refuse(_) if input.is_empty() => Ok(()),
            Body::Refuse(code) => Err((*code).into()),
            Body::Refused => Err(Code::Internal.into()),
            Body::Seal(windows) => windows.push(input, out),
            Body::Search(stream, keys) => stream.push(input, keys).map(|()| {
                out.extend_from_slice(input);
            }),
            Body::Sort(windows, held) => windows.push(input, held).and_then(|()| {
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
                windows.finish(out)?;
                refined = windows.visit.watch.refined;
                (windows.visit.tally, Written::default())
            }
            Body::Pass | Body::Refuse(_) | Body::Search(..) => Default::default(),
            Body::Refused => return Err(Code::Internal.into()),
            Body::Seal(mut windows) => {
                windows.finish(out)?;
                (windows.visit.tally, windows.visit.written)
            }
            Body::Sort(mut windows, mut held) => {
                windows.finish(&mut held)?;
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
            Body::Pass | Body::Refuse(_) | Body::Refused | Body::Search(..) => 0,
            Body::Seal(windows) => windows.high_water,
            Body::Sort(windows, held) => windows.high_water + held.len(),
        }
    }
}

/// The bytes that were read and not yet given out, and the scan over them.
struct Windows<R, V> {
    tree: Tree<R>,
    visit: V,
    scanner: Scanner,
    splice: Splice,
    /// Begins at position `base` of the body. It may hold clear text.
    held: Zeroizing<Vec<u8>>,
    base: usize,
    high_water: usize,
    /// Not JSON, and nothing declared: the rest passes as it is.
    is_raw: bool,
    has_begun: bool,
}

/// May stand before JSON in an answer; nothing decides on it.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

impl<R: Clone, V: Visit> Windows<R, V> {
    fn new(tree: Tree<R>, visit: V) -> Box<Self> {
        Box::new(Self {
            scanner: Scanner::new(tree.root()),
            tree,
            visit,
            splice: Splice::default(),
            held: Zeroizing::default(),
            base: 0,
            high_water: 0,
            is_raw: false,
            has_begun: false,
        })
    }

    fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
        for piece in input.chunks(PIECE) {
            self.held.extend_from_slice(piece);
            self.high_water = self.high_water.max(self.held.len());
            self.advance(false, out)?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        // An answer without a body holds no value; a request without one was promised records.
        if !V::STRICT && self.base == 0 && self.held.is_empty() {
            return Ok(());
        }
        self.advance(true, out)
    }

    fn advance(&mut self, is_last: bool, out: &mut Vec<u8>) -> Result<(), Refusal> {
        match self.scan(is_last) {
            Ok(()) => {}
            Err(Stop::Refused(refusal)) => return Err(*refusal),
            Err(_) if !V::STRICT && self.tree.is_empty() => self.is_raw = true,
            Err(stop) => return Err(self.visit.explain(stop)),
        }
        if self.is_raw {
            out.append(&mut self.held);
            return Ok(());
        }
        let ready = self.scanner.safe() - self.base;
        if ready > 0 {
            let (window, _) = self.held.split_at(ready);
            let visit = &self.visit;
            self.splice.carry_out(window, self.base, out, |bytes| visit.stays(bytes))?;
            self.held.drain(..ready);
            self.base += ready;
        }
        Ok(())
    }

    fn scan(&mut self, is_last: bool) -> Result<(), Stop> {
        if self.is_raw {
            return Ok(());
        }
        if !self.has_begun {
            if !V::STRICT && self.held.starts_with(BYTE_ORDER_MARK) {
                self.scanner.skip(BYTE_ORDER_MARK.len());
            } else if !V::STRICT && BYTE_ORDER_MARK.starts_with(&self.held) && !is_last {
                return Ok(());
            }
            self.has_begun = true;
        }
        let Self { tree, visit, scanner, splice, held, base, .. } = self;
        scanner.run(held, *base, is_last, tree, visit, splice)?;
        if is_last && !scanner.is_done() {
            return Err(Stop::Malformed);
        }
        if *base + held.len() - scanner.safe() > MAX_WINDOW {
            return Err(Stop::TooLarge);
        }
        Ok(())
    }
}
