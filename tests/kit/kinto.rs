//! A real Kinto: a JSON store on PostgreSQL, with `{"data": …}` around every record, ETags and
//! pages.

use std::{net::SocketAddr, time::Duration};

use tempfile::TempDir;

use super::{
    client::{Answer, Request},
    postgres::Database,
    process::{self, Process, User, free_address},
    wait_until,
};

/// What clients of it prove themselves with: any name and password make an account.
pub const ACCOUNT: &str = "Basic bGFiOmxhYg==";

/// A running Kinto.
pub struct Kinto {
    _server: Process,
    address: SocketAddr,
    _folder: TempDir,
}

impl Kinto {
    /// Starts it on an empty database, with the collections `patients` and `readings` in the bucket
    /// `lab`.
    pub fn start(database: &Database) -> Self {
        let folder = TempDir::with_prefix("labseal-kinto-").expect("a temporary folder");
        let address = free_address();
        let url = database.uri().replacen("postgres:", "postgresql:", 1);
        let config = format!(
            "[server:main]\nuse = egg:waitress#main\nhost = 127.0.0.1\nport = %(http_port)s\n\
             [app:main]\nuse = egg:kinto\nmultiauth.policies = basicauth\n\
             kinto.userid_hmac_secret = 0123456789abcdef\n\
             kinto.bucket_create_principals = system.Everyone\n\
             kinto.storage_backend = kinto.core.storage.postgresql\nkinto.storage_url = {url}\n\
             kinto.permission_backend = kinto.core.permission.postgresql\n\
             kinto.permission_url = {url}\n\
             kinto.cache_backend = kinto.core.cache.memory\n"
        );
        let file = folder.path().join("kinto.ini");
        std::fs::write(&file, config).expect("the configuration is written");
        let kinto = process::parts().join("kinto/bin/kinto");
        let mut migrate = process::command(User::Same, &kinto);
        migrate.arg("migrate").arg("--ini").arg(&file);
        process::run(migrate);
        let mut server = process::command(User::Same, &kinto);
        server.arg("start").arg("--ini").arg(&file).args(["--port", &address.port().to_string()]);
        let log = folder.path().join("kinto.log");
        let mut server = Process::start(server, &log);
        wait_until("Kinto", Duration::from_secs(60), || {
            assert!(server.runs(), "{}", std::fs::read_to_string(&log).unwrap_or_default());
            Request::get("/v1/").try_send(address).is_ok_and(|answer| answer.status == 200)
        });
        let this = Self { _server: server, address, _folder: folder };
        for place in ["", "/collections/patients", "/collections/readings"] {
            let request = Request::new("PUT", &format!("/v1/buckets/lab{place}")).json("{}");
            assert_eq!(this.send(request).status, 201, "{place}");
        }
        this
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a request beside labseal.
    pub fn send(&self, request: Request) -> Answer {
        request.header("Authorization", ACCOUNT).send(self.address)
    }
}
