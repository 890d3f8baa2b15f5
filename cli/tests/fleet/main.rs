//! A fleet: registries on one Postgres and one object store, gateways that follow them, and what happens when any of
//! these goes away.

#[path = "../harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "each of the targets that share it uses a part of it")]
mod harness;
#[path = "../../../registry/tests/registry/s3_server.rs"]
#[allow(dead_code, reason = "each of the targets that share it uses a part of it")]
mod s3_server;

#[path = "../../../registry/tests/registry/postgres_server.rs"]
#[allow(dead_code, reason = "each of the targets that share it uses a part of it")]
mod postgres_server;

mod balancer;
mod deploys;
mod endurance;
mod load;
mod members;
mod moving;
mod outages;
mod traffic;
