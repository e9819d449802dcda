//! Work on what an API has stored: a page of records as the API answers them, each protected value
//! judged by the key versions that it is under, and the change that moves it.
//!
//! Pure, as all of this floor: who asks for pages and sends changes is `app::jobs`. A value is opened
//! before it is counted as sealed, so that what does not open is known before its key is destroyed.
//!
//! # Why
//! - A change is conditional on what was read: on the stored text, or, where that is in clear and so
//!   must not stand in a URL, on the revision that the database keeps of each row (`xmin`). (2026-11)
//! - Of a long text, the beginning up to the nonce is tested, which no other value has: the whole
//!   would outgrow what servers take as a target. (2026-11)

use std::{collections::HashMap, sync::Arc};

use serde_json::value::RawValue;

use super::{
    json::{self, Traits},
    record, sealing,
    value::{self, WrongType},
    visit::Lexeme,
};
use crate::{
    base::{
        ident::{ClassName, FieldName},
        secret::Plaintext,
    },
    crypto::{Record, Typed, envelope},
    keys::{Opened, SealError, Snapshot, Unavailable, Under},
    policy::plan::{BindRule, Class},
};

/// The column of a row's revision.
pub const REVISION: &str = "xmin";

/// A stored text that is longer is tested by its beginning, and so are all if they are together.
const LONG: (usize, usize) = (400, 4_000);

/// The protected columns of one entity and what tells its records apart.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The protected columns.
    pub places: Vec<Place>,
    /// The columns of the primary key.
    pub key: Vec<FieldName>,
    /// How the records are told apart that values are bound to.
    pub bind: Option<BindRule>,
    /// Whether each row comes with its revision.
    pub has_revision: bool,
}

/// A protected column.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its name.
    pub name: FieldName,
    /// What its values are.
    pub class: Arc<Class>,
    /// Whether they open in their own record alone.
    pub is_bound: bool,
    /// Whether values in clear are sealed where they stand.
    pub seals_plaintext: bool,
    /// What the column holds.
    pub holds: Cell,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// JSON: a stored value is a string in it, and cannot be tested as text.
    Json,
    /// Text.
    Text,
}

/// What is to become of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// They are counted.
    Count,
    /// They are brought under the active key versions.
    Reseal,
    /// They are put back in clear.
    Unseal,
}

/// How a stored value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// An envelope under a key of ours that does not open here.
    Broken(Option<Under>),
    /// In clear.
    Plain,
    /// It opens, and is under these versions.
    Sealed(Under),
    /// In clear, and not of the type of its class.
    Unfit,
    /// An envelope under a key that is not ours.
    Unknown,
}

/// One record of a page.
#[derive(Debug)]
pub struct Row {
    /// Its primary key, in the order of [`Layout::key`]; a protected one as it is stored.
    pub key: Vec<String>,
    /// How each value stands that is not null, by the index of its place.
    pub found: Vec<(usize, Standing)>,
    /// What has to be written, if anything.
    pub change: Option<Change>,
    /// Values that should move but cannot be tested for, since the row has no revision.
    pub blocked: usize,
}

/// What is written to one record, and what must still be stored then.
#[derive(Debug)]
pub struct Change {
    /// The members of a PATCH: envelopes, or values in clear if they are unsealed.
    pub body: Vec<u8>,
    /// The conditions.
    pub tests: Vec<Test>,
    /// The places that change.
    pub places: Vec<usize>,
}

/// A condition of a change.
#[derive(Debug)]
pub enum Test {
    /// The text at a place begins like this.
    Begins(usize, String),
    /// The text at a place is this one.
    Equals(usize, String),
    /// The row is of this revision.
    Revision(String),
}

/// The page cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// A primary key is protected and in clear, and pages are asked for by key.
    #[error(
        "the primary key `{0}` holds values in clear, which would stand in the URLs that ask for \
         records: name a unique column that is not protected under key: of the entity"
    )]
    KeyInClear(FieldName),
    /// A column that was asked for is not there, or null where it cannot be.
    #[error("a record came without `{0}`")]
    Missing(FieldName),
    /// Nothing can be sealed now.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Nobody can say now what is stored.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Not a list of records.
    #[error("what the API answered is no list of records")]
    Shape,
}

/// The class of a place, for counts.
pub fn class_of(layout: &Layout, place: usize) -> Option<&ClassName> {
    layout.places.get(place).map(|place| &place.class.name)
}

type Members<'a> = HashMap<String, &'a RawValue>;

/// Reads a page of records.
pub fn read(
    page: &[u8],
    layout: &Layout,
    aim: Aim,
    keys: &Snapshot,
) -> Result<Vec<Row>, StoredError> {
    let rows: Vec<Members<'_>> = serde_json::from_slice(page).map_err(|_| StoredError::Shape)?;
    rows.iter().map(|row| Reader { row, layout, aim, keys }.read()).collect()
}

/// One record while it is read.
struct Reader<'a> {
    row: &'a Members<'a>,
    layout: &'a Layout,
    aim: Aim,
    keys: &'a Snapshot,
}

/// What becomes of one value.
struct Moved {
    /// As a JSON value.
    value: Vec<u8>,
    test: Needs,
}

/// What a change of one value is tested by.
enum Needs {
    Revision,
    Text(String),
}

impl Reader<'_> {
    fn read(&self) -> Result<Row, StoredError> {
        let mut row = Row { key: self.key()?, found: Vec::new(), change: None, blocked: 0 };
        let record = self.record();
        let revision = self.revision();
        let mut change = Change { body: vec![b'{'], tests: Vec::new(), places: Vec::new() };
        let (mut by_revision, mut texts) = (false, Vec::new());
        for (index, place) in self.layout.places.iter().enumerate() {
            let raw = self.member(&place.name)?;
            let lexeme = lexeme(raw);
            if matches!(lexeme, Lexeme::Null) {
                continue;
            }
            let (standing, moved) = self.judge(place, lexeme, record.as_ref())?;
            row.found.push((index, standing));
            let Some(moved) = moved else { continue };
            match moved.test {
                Needs::Text(text) => texts.push((index, text)),
                Needs::Revision if revision.is_some() => by_revision = true,
                Needs::Revision => {
                    row.blocked += 1;
                    continue;
                }
            }
            if change.body.len() > 1 {
                change.body.push(b',');
            }
            json::escape(place.name.as_str().as_bytes(), &mut change.body);
            change.body.push(b':');
            change.body.extend_from_slice(&moved.value);
            change.places.push(index);
        }
        let is_long = texts.iter().map(|(_, text)| text.len()).sum::<usize>() > LONG.1;
        change.tests.extend(texts.into_iter().map(|(index, text)| test(index, text, is_long)));
        if let (true, Some(revision)) = (by_revision, revision) {
            change.tests.push(Test::Revision(revision));
        }
        change.body.push(b'}');
        row.change = (!change.places.is_empty()).then_some(change);
        Ok(row)
    }

    fn member(&self, name: &FieldName) -> Result<&RawValue, StoredError> {
        let found = self.row.get(name.as_str()).copied();
        found.ok_or_else(|| StoredError::Missing(name.clone()))
    }

    fn key(&self) -> Result<Vec<String>, StoredError> {
        let text = |name: &FieldName| {
            let missing = || StoredError::Missing(name.clone());
            let text = text(lexeme(self.member(name)?)).ok_or_else(missing)?;
            let is_protected = self.layout.places.iter().any(|place| place.name == *name);
            if is_protected && envelope::kid_at(text.expose()).is_none() {
                return Err(StoredError::KeyInClear(name.clone()));
            }
            String::from_utf8(text.expose().to_vec()).map_err(|_| missing())
        };
        self.layout.key.iter().map(text).collect()
    }

    fn revision(&self) -> Option<String> {
        let raw = self.layout.has_revision.then(|| self.row.get(REVISION))??;
        let text = text(lexeme(raw))?;
        String::from_utf8(text.expose().to_vec()).ok()
    }

    /// The record that bound values belong to.
    fn record(&self) -> Option<Record> {
        let rule = self.layout.bind.as_ref()?;
        let raw = self.row.get(rule.field.field.as_str())?;
        let key = record::stored_key(rule, lexeme(raw), self.keys)?;
        Record::new(&rule.collection, key.expose()).ok()
    }

    fn judge(
        &self,
        place: &Place,
        lexeme: Lexeme<'_>,
        record: Option<&Record>,
    ) -> Result<(Standing, Option<Moved>), StoredError> {
        if let Lexeme::String(..) = lexeme
            && let Some(text) = text(lexeme)
        {
            let text = text.expose();
            if let Some(under) = self.keys.under(text) {
                return self.sealed(place, text, under, record);
            }
            match envelope::kid_at(text) {
                // Cut off, or altered: it names one of our keys all the same.
                Some(kid) if self.keys.knows(kid) => return Ok((Standing::Broken(None), None)),
                Some(_) if envelope::parse(text).is_ok() => return Ok((Standing::Unknown, None)),
                Some(_) | None => {}
            }
        }
        if self.aim != Aim::Reseal || !place.seals_plaintext {
            return Ok((Standing::Plain, None));
        }
        let fitted = value::from_json(place.class.params.ty, lexeme)
            .and_then(|typed| value::fitted(&place.class, typed))
            .ok()
            .filter(|typed| typed.value.len() <= sealing::longest(&place.class));
        match fitted {
            Some(typed) if !place.is_bound || record.is_some() => {
                let value = self.seal(place, &typed, record)?;
                Ok((Standing::Plain, Some(Moved { value, test: Needs::Revision })))
            }
            Some(_) | None => Ok((Standing::Unfit, None)),
        }
    }

    fn sealed(
        &self,
        place: &Place,
        text: &[u8],
        under: Under,
        record: Option<&Record>,
    ) -> Result<(Standing, Option<Moved>), StoredError> {
        let broken = Ok((Standing::Broken(Some(under)), None));
        let record = record.filter(|_| place.is_bound);
        if place.is_bound && record.is_none() {
            return broken;
        }
        let typed = match self.keys.open_in(record, text) {
            Opened::Value { class, typed, .. } if class == place.class.params.id => typed,
            Opened::Fails { .. } | Opened::NotOurs | Opened::Value { .. } => return broken,
            Opened::Unavailable(why) => return Err(why.into()),
        };
        let value = match self.aim {
            Aim::Count => None,
            Aim::Reseal if self.keys.is_current(&under) => None,
            Aim::Reseal => Some(self.seal(place, &typed, record)?),
            Aim::Unseal => in_clear(place.holds, &typed).ok(),
        };
        let test = match (place.holds, std::str::from_utf8(text)) {
            (Cell::Text, Ok(text)) => Needs::Text(text.to_owned()),
            (Cell::Json, _) | (Cell::Text, Err(_)) => Needs::Revision,
        };
        Ok((Standing::Sealed(under), value.map(|value| Moved { value, test })))
    }

    /// A new envelope, as a JSON string.
    fn seal(
        &self,
        place: &Place,
        typed: &Typed,
        record: Option<&Record>,
    ) -> Result<Vec<u8>, SealError> {
        let record = record.filter(|_| place.is_bound);
        let mut text = vec![b'"'];
        self.keys.seal_in(&place.class.params.id, record, typed, &mut text)?;
        text.push(b'"');
        Ok(text)
    }
}

/// As the column had it before it was sealed.
fn in_clear(holds: Cell, typed: &Typed) -> Result<Vec<u8>, WrongType> {
    let mut out = Vec::new();
    match holds {
        Cell::Json => value::to_json(typed, &mut out)?,
        Cell::Text => json::escape(value::to_text(typed).expose(), &mut out),
    }
    Ok(out)
}

fn test(place: usize, text: String, is_long: bool) -> Test {
    let distinct = envelope::parse(text.as_bytes()).map_or(usize::MAX, |it| it.distinct_len());
    match text.get(..distinct) {
        Some(beginning) if is_long || text.len() > LONG.0 => {
            Test::Begins(place, beginning.to_owned())
        }
        Some(_) | None => Test::Equals(place, text),
    }
}

/// The text of a key, or of a stored value.
fn text(lexeme: Lexeme<'_>) -> Option<Plaintext> {
    match lexeme {
        Lexeme::False => Some(Plaintext::from("false")),
        Lexeme::Number(token) => Some(Plaintext::new(token.to_vec())),
        Lexeme::String(inside, _) => value::text_of(inside).ok(),
        Lexeme::Text(text) => Some(Plaintext::new(text.to_vec())),
        Lexeme::True => Some(Plaintext::from("true")),
        Lexeme::Container(_) | Lexeme::Null => None,
    }
}

/// One JSON value of which it is known that it is one.
fn lexeme(raw: &RawValue) -> Lexeme<'_> {
    let bytes = raw.get().trim_ascii().as_bytes();
    match bytes {
        [b'"', inside @ .., b'"'] => {
            let escaped = inside.contains(&b'\\');
            Lexeme::String(inside, Traits { escaped, non_ascii: !inside.is_ascii() })
        }
        b"false" => Lexeme::False,
        b"null" => Lexeme::Null,
        b"true" => Lexeme::True,
        [b'[' | b'{', ..] => Lexeme::Container(bytes),
        _ => Lexeme::Number(bytes),
    }
}
