//! The whole platform: the real binary, real guests, HTTP from outside.
//!
//! Guests and examples must be built: `cargo xtask guests`, `cargo xtask examples`. Prometheus, with `promtool`, must be installed.

mod access;
mod addresses;
mod backup;
mod bill;
mod bodies;
mod book;
mod browser;
mod calling;
mod checkup;
mod cli_calls;
mod cli_session;
mod client_limits;
mod code_cache;
mod compiling;
mod crash_loop;
mod dashboard;
mod deploying;
mod dev;
mod documented;
mod durability;
mod failures;
mod fair_cpu;
mod function_limits;
mod github_actions;
#[path = "../harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "each of the targets that share it uses a part of it")]
mod harness;
mod log_filters;
mod mistakes;
mod observing;
mod openmetrics;
mod otlp;
mod outbound;
mod overload;
mod prometheus;
mod record_replay;
mod recording;
mod refusals;
mod reuse;
mod sdk;
mod shutdown;
mod streaming;
mod templates;
mod tls;
mod toolchains;
mod traces;
mod versions;
