//! The gateway: one process with the data plane, where functions are called, and the control plane, where
//! they are deployed and watched. This crate is where registry and scheduler meet; neither knows the other.
//!
//! One request: [`listener`] accepts it, [`invoke`] finds its function in the [`route_table`] and hands it
//! to the scheduler. One deploy: [`control`] takes the upload, the scheduler prepares it, the registry
//! keeps it, and the [`catalog`] puts a new route table in place.

mod abandoned;
mod access_log;
mod acme;
mod address;
mod backend;
mod catalog;
mod checkup;
mod config;
mod control;
mod dashboard;
mod disk;
mod drain;
mod ending;
mod follower;
mod forwarding;
mod garbage;
mod health;
mod invoke;
mod journal;
mod listener;
mod log_line;
mod metrics;
mod newcomers;
mod otlp;
mod pace;
mod patient_stream;
mod pressure;
mod private_file;
mod problem;
mod recording;
mod replay;
mod request_id;
mod revisions;
mod route_table;
mod server;
mod server_timing;
mod supervisor;
mod tenants;
mod tls;
mod token;
mod traces;
mod trial;

pub use access_log::AccessLogForm;
pub use acme::{AcmeConfig, Challenge};
pub use checkup::{Finding, Verdict, check_up};
pub use config::{Config, Role};
pub use otlp::{BadSignals, OtlpConfig, Signals};
pub use replay::{Replayed, replay};
pub use server::run;
pub use tls::{TlsConfig, TlsFiles};
pub use wasmway_registry::Stores;
pub use wasmway_scheduler::TargetCpu;
/// The life of a process that compiles one component: see the scheduler.
pub use wasmway_scheduler::run_compile_worker;
/// A recorded call, for tools that run it once more.
pub use wasmway_scheduler::{CAPTURE_FORMAT, Capture, CapturedBody, CapturedResponse, Data, End, Headers};
/// What a component is, found out from its bytes: for tools that look before they upload.
pub use wasmway_scheduler::{ComponentSummary, Refusal, look};
