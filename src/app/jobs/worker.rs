//! What is walked: a table, or a list of documents. Both give page after page, and each page says
//! where the next one begins.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use crate::{
    audit::Counts,
    base::ident::{ApiName, EntityName},
    seal::stored::Row,
};

use super::{
    documents::{Documents, Listed},
    progress::Census,
    sweep::Work,
};

/// One entity to be walked.
#[derive(Clone)]
pub enum Worker {
    /// A list of documents.
    Documents(Arc<Documents>),
    /// A table.
    Table(Arc<Work>),
}

/// A page as the API answers it.
pub enum Page {
    /// Of documents, and what its header says.
    Documents(Bytes, HeaderMap),
    /// Of rows.
    Table(Bytes),
}

/// A page that was judged.
pub enum Judged {
    /// Documents.
    Documents(Vec<Listed>),
    /// Rows.
    Table(Vec<Row>),
}

impl Worker {
    /// Of which API.
    pub fn api(&self) -> &ApiName {
        match self {
            Self::Documents(work) => &work.api,
            Self::Table(work) => &work.api,
        }
    }

    /// Which entity.
    pub fn entity(&self) -> &EntityName {
        match self {
            Self::Documents(work) => &work.entity,
            Self::Table(work) => &work.entity.name,
        }
    }

    /// Whether a place in a checkpoint can be one of this walk.
    pub fn takes(&self, place: &[String]) -> bool {
        match self {
            Self::Documents(_) => place.len() == 1,
            Self::Table(work) => place.len() == work.entity.layout.key.len(),
        }
    }

    /// The page that begins there.
    pub async fn fetch(&self, after: Option<&[String]>) -> anyhow::Result<Page> {
        match self {
            Self::Documents(work) => {
                let (body, headers) = work.fetch(after).await?;
                Ok(Page::Documents(body, headers))
            }
            Self::Table(work) => Ok(Page::Table(work.fetch(after).await?)),
        }
    }

    /// Judges a page, and says where the next one begins.
    pub async fn read(&self, page: Page) -> anyhow::Result<(Judged, Option<Vec<String>>)> {
        match (self, page) {
            (Self::Documents(work), Page::Documents(body, headers)) => {
                let (listed, next) = work.read((body, headers)).await?;
                Ok((Judged::Documents(listed), next))
            }
            (Self::Table(work), Page::Table(body)) => {
                let rows = work.read(body).await?;
                let last = rows.last().map(|row| row.key.clone());
                Ok((Judged::Table(rows), last))
            }
            (Self::Documents(_), Page::Table(_)) | (Self::Table(_), Page::Documents(..)) => {
                anyhow::bail!("a page of another walk")
            }
        }
    }

    /// Writes what has to move of a page.
    pub async fn write(&self, judged: Judged) -> anyhow::Result<()> {
        match (self, judged) {
            (Self::Documents(work), Judged::Documents(listed)) => work.write(&listed).await,
            (Self::Table(work), Judged::Table(rows)) => work.write(rows).await,
            (Self::Documents(_), Judged::Table(_)) | (Self::Table(_), Judged::Documents(_)) => {
                anyhow::bail!("a page of another walk")
            }
        }
    }

    /// Adds a page to a census, and to what is recorded of the walk.
    pub fn count(&self, judged: &Judged, census: &mut Census, counts: &mut Counts) {
        match (self, judged) {
            (Self::Documents(work), Judged::Documents(listed)) => {
                work.count(listed, counts);
                census.add_documents(work, listed);
            }
            (Self::Table(work), Judged::Table(rows)) => {
                work.count(rows, counts);
                census.add(&work.api, &work.entity.name, &work.entity.layout, rows);
            }
            (Self::Documents(_), Judged::Table(_)) | (Self::Table(_), Judged::Documents(_)) => {}
        }
    }
}

impl Judged {
    /// How many records it has.
    pub fn records(&self) -> u64 {
        match self {
            Self::Documents(listed) => listed.len() as u64,
            Self::Table(rows) => rows.len() as u64,
        }
    }

    /// How many values have to move.
    pub fn would_move(&self) -> u64 {
        let moving = |row: &Row| row.change.as_ref().map_or(0, |change| change.places.len());
        let count: usize = match self {
            Self::Documents(listed) => listed.iter().map(|one| one.document.moved.len()).sum(),
            Self::Table(rows) => rows.iter().map(moving).sum(),
        };
        count as u64
    }
}
