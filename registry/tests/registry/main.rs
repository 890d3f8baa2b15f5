//! The registry on a real disk and a real SQLite.

mod artifacts;
mod concurrency;
mod deploying;
mod harness;
mod opening;
mod postgres_schema;
mod routes;
