//! The registry on a real disk and a real SQLite.

mod access;
mod artifacts;
mod changes;
mod concurrency;
mod deploying;
mod folder;
mod harness;
mod manifest;
mod opening;
mod postgres_schema;
#[allow(dead_code, reason = "each of the targets that share it uses a part of it")]
mod postgres_server;
mod routes;
mod traffic;

/// The database that the tests are about.
mod database {
    use wasmway_registry::Stores;

    /// Nothing to start.
    pub(crate) type Server = ();

    pub(crate) fn stores() -> (Stores, Server) {
        (Stores::default(), ())
    }
}
