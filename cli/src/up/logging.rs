//! The server's log: standard error, for people or for machines.

use std::io::{self, IsTerminal};

use tracing::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use wasmway_gateway::AccessLogForm;

use crate::settings::LogFormat;

/// Starts logging for the rest of the process's life, and says in which form the access log goes with it.
pub(super) fn start(format: LogFormat, level: Targets) -> AccessLogForm {
    let on_terminal = io::stderr().is_terminal();
    let for_machines = format == LogFormat::Json || (format == LogFormat::Auto && !on_terminal);
    let access_log = match level.would_enable("wasmway::access", &Level::INFO) {
        false => AccessLogForm::Off,
        true if for_machines => AccessLogForm::Json,
        true => AccessLogForm::Events,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match for_machines {
        true => lines.json().flatten_event(true).boxed(),
        false => lines.with_ansi(on_terminal).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(level)).init();
    access_log
}
