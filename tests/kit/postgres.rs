//! A real PostgreSQL 15 in a temporary folder.

use std::{
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;

use super::{
    process::{self, Process, User, free_address},
    wait_until,
};

/// A running server.
pub struct Postgres {
    // Dropped before the folder it writes to.
    server: Process,
    port: u16,
    data: PathBuf,
    folder: TempDir,
}

/// One database of a server.
#[derive(Clone)]
pub struct Database {
    server: Arc<Postgres>,
    name: String,
}

impl Postgres {
    /// The server that the tests of one crate share; each takes a database of its own.
    pub fn shared() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Postgres>> = OnceLock::new();
        let started = || {
            let server = Self::start();
            // Nothing drops a static.
            process::remove_at_exit(server.folder.path());
            server
        };
        Arc::clone(SHARED.get_or_init(started))
    }

    /// A server of one's own, whose files can be searched.
    pub fn start() -> Arc<Self> {
        let folder = TempDir::with_prefix("labseal-postgres-").expect("a temporary folder");
        open_to_all(folder.path());
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("the data folder");
        if nix::unistd::getuid().is_root() {
            let user = nix::unistd::User::from_name("postgres").expect("users can be listed");
            let user = user.expect("the user postgres exists: run tests/run");
            nix::unistd::chown(&data, Some(user.uid), Some(user.gid)).expect("root may chown");
        }
        let bin = process::parts().join("postgresql").canonicalize().expect("PostgreSQL is there");
        let mut initdb = process::command(User::Database, bin.join("initdb"));
        initdb.args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8"]);
        initdb.args(["--no-sync", "-D"]).arg(&data);
        process::run(initdb);
        let port = free_address().port();
        let mut server = process::command(User::Database, bin.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(&data);
        server.args(["-p", &port.to_string(), "-h", "127.0.0.1", "-F"]);
        server.args(["-c", "max_connections=200", "-c", "log_statement=all"]);
        let server = Process::start(server, &folder.path().join("postgres.log"));
        let this = Self { server, port, data, folder };
        wait_until("PostgreSQL", Duration::from_secs(30), || {
            TcpStream::connect(("127.0.0.1", port)).is_ok() && this.try_sql("postgres", "").is_ok()
        });
        this.sql("postgres", "create role web nologin");
        Arc::new(this)
    }

    /// The process id of the server, whose children are the sessions.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// A new database made by the statements of `schema`.
    pub fn database(self: &Arc<Self>, schema: &str) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let name = format!("lab{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("create database {name}"));
        self.sql(&name, schema);
        Database { server: Arc::clone(self), name }
    }

    /// Every byte of tables, indexes, catalogue and write-ahead log, after a checkpoint.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        self.sql("postgres", "checkpoint");
        let files = read_tree(&self.data);
        let count = |part: &str| files.iter().filter(|(path, _)| under(path, part)).count();
        assert!(count("pg_wal") > 0 && count("base") > 100, "the data folder is not what it was");
        files
    }

    /// What the server logged: every statement that reached it.
    pub fn log(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("postgres.log")).expect("the log is there")
    }

    fn tool(&self, tool: &str, database: &str) -> Command {
        let mut command = Command::new(process::parts().join("postgresql").join(tool));
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string()]);
        command.args(["-d", database]).env("LC_ALL", "C.UTF-8").env("PGCONNECT_TIMEOUT", "10");
        command
    }

    fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = self.tool("psql", database);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        let output = psql.output().expect("psql runs");
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).expect("psql writes UTF-8")),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

impl Database {
    /// The server it is on.
    pub fn server(&self) -> &Arc<Postgres> {
        &self.server
    }

    /// The URI for PostgREST.
    pub fn uri(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{}", self.server.port, self.name)
    }

    /// The same through another port.
    pub fn uri_through(&self, address: SocketAddr) -> String {
        format!("postgres://postgres@{address}/{}", self.name)
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.server.port))
    }

    /// Runs statements as the database's owner, beside every API; rows are lines, columns have `|`.
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql)
    }

    /// Runs a script such as a dump.
    pub fn script(&self, sql: &[u8]) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), sql).expect("the script is written");
        let mut psql = self.server.tool("psql", &self.name);
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"]).arg(file.path());
        process::run(psql);
    }

    /// Copies a file into a table.
    pub fn copy_in(&self, table: &str, file: &Path, options: &str) {
        self.script(format!("\\copy {table} from '{}' {options}\n", file.display()).as_bytes());
    }

    /// One column of all rows, as stored.
    pub fn column(&self, table: &str, column: &str) -> Vec<String> {
        let rows = self.sql(&format!("select {column} from {table} order by 1"));
        rows.lines().map(str::to_owned).collect()
    }

    /// A logical backup.
    pub fn dump(&self) -> Vec<u8> {
        self.dump_with(&[])
    }

    /// A logical backup of another form.
    pub fn dump_with(&self, arguments: &[&str]) -> Vec<u8> {
        let mut tool = self.server.tool("pg_dump", &self.name);
        tool.args(arguments);
        let dump = process::run(tool);
        let complete = super::http::find(&dump, b"-- PostgreSQL database dump complete");
        assert!(complete.is_some(), "the dump was cut");
        dump
    }
}

/// Lets other users pass through a folder that `tempfile` made private.
fn open_to_all(folder: &Path) {
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder, mode).expect("the folder is ours");
}

fn under(path: &Path, part: &str) -> bool {
    path.components().any(|component| component.as_os_str() == part)
}

/// Every regular file under `folder` that can be read, with its bytes.
pub fn read_tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(read_tree(&path)),
            Ok(kind) if kind.is_file() => {
                // A server may remove a file between the listing and the reading.
                found.extend(std::fs::read(&path).ok().map(|bytes| (path, bytes)));
            }
            _ => {}
        }
    }
    found
}
