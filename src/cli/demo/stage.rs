//! Everything that the story plays on: the folder, the database API, the sidecar and the clients.

use std::net::SocketAddr;

use anyhow::Context as _;
use rusqlite::{Connection, OpenFlags, types::ValueRef};

use super::{
    api::Api,
    client::Client,
    folder::{FILE, Folder},
    sidecar::Sidecar,
};

/// The stage. Fields drop in order: the sidecar before the API it talks to, the folder last.
pub struct Stage {
    /// The sidecar.
    pub sidecar: Sidecar,
    /// The database API behind it.
    pub api: Api,
    /// Who may read and write everything.
    pub lims: Client,
    /// Who may read everything.
    pub clinician: Client,
    /// Who may read record numbers, and parts of names.
    pub billing: Client,
    /// The files.
    pub folder: Folder,
}

impl Stage {
    /// Starts the API and the sidecar; clients reach the sidecar on `port`, 0 for any. The root
    /// key is in a file unless there is another `provider`.
    pub async fn set(port: u16, provider: Option<&str>) -> anyhow::Result<Self> {
        let folder = Folder::create()?;
        let api = Api::start(&folder.database()).await?;
        let config = folder.configure(api.address(), port, provider.unwrap_or(FILE))?;
        let sidecar = Sidecar::start(&config).await.context("cannot start the sidecar")?;
        let address = sidecar.address();
        let client = |key: &str| Client::new(address, Some(key));
        let (lims, clinician) = (client(&folder.lims), client(&folder.clinician));
        let billing = client(&folder.billing);
        Ok(Self { sidecar, api, lims, clinician, billing, folder })
    }

    /// Ends everything, and removes the folder.
    pub async fn strike(self) {
        self.sidecar.stop().await;
    }

    /// Where clients reach the sidecar.
    pub fn address(&self) -> SocketAddr {
        self.sidecar.address()
    }

    /// A row of the database as whoever steals the file finds it: name and text of each column.
    pub fn stolen(&self, table: &'static str, id: i64) -> anyhow::Result<Vec<(String, String)>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let connection = Connection::open_with_flags(self.folder.database(), flags)?;
        let mut statement = connection.prepare(&format!("SELECT * FROM {table} WHERE id = ?"))?;
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query([id])?;
        let row = rows.next()?.context("the row is not there")?;
        let mut cells = Vec::with_capacity(names.len());
        for (at, name) in names.into_iter().enumerate() {
            let text = match row.get_ref(at)? {
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                ValueRef::Null | ValueRef::Blob(_) | ValueRef::Real(_) => "null".to_owned(),
            };
            cells.push((name, text));
        }
        Ok(cells)
    }

    /// One column of [`Stage::stolen`].
    pub fn stolen_cell(&self, table: &'static str, id: i64, name: &str) -> anyhow::Result<String> {
        let cells = self.stolen(table, id)?;
        let found = cells.into_iter().find(|(column, _)| column == name);
        found.map(|(_, text)| text).context("the column is not there")
    }
}
