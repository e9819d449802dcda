//! A real PostgREST 12 in front of a database, and json-server in front of nothing.

use std::{net::SocketAddr, time::Duration};

use tempfile::TempDir;

use super::{
    client::Request,
    postgres::Database,
    process::{self, Process, User, free_address},
    wait_until,
};

/// A running PostgREST.
pub struct PostgRest {
    server: Process,
    address: SocketAddr,
    _folder: TempDir,
}

impl PostgRest {
    /// Starts it for the schemas `lab` and `archive`, and waits for its schema cache.
    pub fn start(database: &Database) -> Self {
        Self::with(database, "")
    }

    /// The same with more lines in its configuration.
    pub fn with(database: &Database, lines: &str) -> Self {
        let folder = TempDir::with_prefix("labseal-postgrest-").expect("a temporary folder");
        let (address, admin) = (free_address(), free_address());
        let config = format!(
            "db-uri = \"{}\"\ndb-schemas = \"lab, archive\"\ndb-anon-role = \"postgres\"\n\
             db-pool = 5\ndb-channel-enabled = false\nlog-level = \"info\"\n\
             server-host = \"127.0.0.1\"\nserver-port = {}\nadmin-server-port = {}\n{lines}",
            database.uri(),
            address.port(),
            admin.port(),
        );
        let file = folder.path().join("postgrest.conf");
        std::fs::write(&file, config).expect("the configuration is written");
        let mut server = process::command(User::Same, process::parts().join("postgrest"));
        server.arg(&file);
        let log = folder.path().join("postgrest.log");
        let mut server = Process::start(server, &log);
        wait_until("PostgREST", Duration::from_secs(30), || {
            assert!(server.runs(), "{}", std::fs::read_to_string(&log).unwrap_or_default());
            Request::get("/ready").try_send(admin).is_ok_and(|answer| answer.status == 200)
        });
        Self { server, address, _folder: folder }
    }

    /// Has it read the schema again, some time soon.
    pub fn reload(&self) {
        self.server.signal("USR1");
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A running json-server: a plain JSON API over one file.
pub struct JsonServer {
    _server: Process,
    address: SocketAddr,
    folder: TempDir,
}

impl JsonServer {
    /// Starts it over the JSON text of its collections.
    pub fn start(collections: &str) -> Self {
        let folder = TempDir::with_prefix("labseal-json-server-").expect("a temporary folder");
        let file = folder.path().join("db.json");
        std::fs::write(&file, collections).expect("the collections are written");
        let address = free_address();
        let mut server = process::command(User::Same, process::parts().join("json-server"));
        server.args(["--port", &address.port().to_string(), "--host", "127.0.0.1"]).arg(&file);
        server.current_dir(folder.path());
        let log = folder.path().join("json-server.log");
        let mut server = Process::start(server, &log);
        wait_until("json-server", Duration::from_secs(30), || {
            assert!(server.runs(), "{}", std::fs::read_to_string(&log).unwrap_or_default());
            Request::get("/db").try_send(address).is_ok_and(|answer| answer.status == 200)
        });
        Self { _server: server, address, folder }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has stored.
    pub fn stored(&self) -> String {
        let file = self.folder.path().join("db.json");
        std::fs::read_to_string(file).expect("json-server keeps its file")
    }
}
