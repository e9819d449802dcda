//! The whole arrangement: client → labseal → tee → PostgREST → PostgreSQL, and beside it the same
//! client → PostgREST → PostgreSQL without labseal.

use std::{net::SocketAddr, sync::Arc};

use super::{
    client::{Answer, Request},
    labseal::{Labseal, Setup},
    policy,
    postgres::{Database, Postgres},
    postgrest::PostgRest,
    tee::Tee,
};

/// The statements that make the lab.
pub const SCHEMA: &str = include_str!("../fixtures/lab/schema.sql");

/// A database with its API, and nothing in front.
pub struct Direct {
    /// The database.
    pub database: Database,
    /// Its API.
    pub api: PostgRest,
}

impl Direct {
    /// A new, empty lab on a server.
    pub fn start(server: &Arc<Postgres>) -> Self {
        Self::of(server, SCHEMA)
    }

    /// The same with text where the policy seals another type.
    pub fn sealed(server: &Arc<Postgres>) -> Self {
        assert!(SCHEMA.contains("numeric(12,4)"));
        Self::of(server, &SCHEMA.replace("numeric(12,4)", "text"))
    }

    /// Any schema `lab` on a server.
    pub fn of(server: &Arc<Postgres>, schema: &str) -> Self {
        let database = server.database(schema);
        let api = PostgRest::start(&database);
        Self { database, api }
    }

    /// Where clients of the API connect.
    pub fn address(&self) -> SocketAddr {
        self.api.address()
    }
}

/// labseal in front of a database API.
pub struct Stand {
    /// labseal.
    pub labseal: Labseal,
    /// The wire behind it.
    pub tee: Tee,
    /// What is behind that.
    pub direct: Direct,
}

impl Stand {
    /// The lab with its usual policy, on the shared server.
    pub fn start() -> Self {
        Self::on(&Postgres::shared())
    }

    /// The same on a server of one's own.
    pub fn on(server: &Arc<Postgres>) -> Self {
        Self::with(server, policy::LAB)
    }

    /// The lab with another policy.
    pub fn with(server: &Arc<Postgres>, policy: &str) -> Self {
        let direct = Direct::sealed(server);
        let tee = Tee::start(direct.address());
        let labseal = Setup::new(policy, tee.address()).start();
        Self { labseal, tee, direct }
    }

    /// The lab with further members of `keys:`.
    pub fn keyed(server: &Arc<Postgres>, members: &str) -> Self {
        let direct = Direct::sealed(server);
        let tee = Tee::start(direct.address());
        let labseal = Setup::new(policy::LAB, tee.address()).keys(members).start();
        Self { labseal, tee, direct }
    }

    /// Sends a request as one of the callers.
    pub fn send(&self, caller: &str, request: Request) -> Answer {
        request.key(self.labseal.key(caller)).send(self.labseal.address())
    }

    /// Sends a request without any credential.
    pub fn anonymous(&self, request: Request) -> Answer {
        request.send(self.labseal.address())
    }

    /// Sends a request as `lims` that must succeed.
    pub fn lims(&self, request: Request) -> Answer {
        let answer = self.send("lims", request);
        assert!((200..300).contains(&answer.status), "{}: {}", answer.start, answer.text());
        answer
    }

    /// The database as its owner sees it.
    pub fn sql(&self, sql: &str) -> String {
        self.direct.database.sql(sql)
    }
}
