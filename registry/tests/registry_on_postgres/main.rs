//! The same tests as those of `registry`, on a real Postgres, and those of several registries on one.

#[path = "../registry/access.rs"]
mod access;
#[path = "../registry/changes.rs"]
mod changes;
#[path = "../registry/concurrency.rs"]
mod concurrency;
#[path = "../registry/deploying.rs"]
mod deploying;
#[path = "../registry/harness.rs"]
mod harness;
mod moving;
#[path = "../registry/postgres_server.rs"]
#[allow(dead_code, reason = "each of the targets that share it uses a part of it")]
mod postgres_server;
#[path = "../registry/routes.rs"]
mod routes;
mod several;
#[path = "../registry/traffic.rs"]
mod traffic;

/// The database that the tests are about.
mod database {
    use std::sync::Arc;

    use wasmway_registry::Stores;

    use crate::postgres_server::Postgres;

    pub(crate) type Server = Arc<Postgres>;

    pub(crate) fn stores() -> (Stores, Server) {
        let server = Postgres::shared();
        (Stores { database: Some(server.database().parse().unwrap()), bucket: None }, server)
    }
}
