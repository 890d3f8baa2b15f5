//! The server's log: standard error, for people or for machines.

use std::io::{self, IsTerminal};

use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::LogFormat;

/// Starts logging for the rest of the process's life.
pub(super) fn start(format: LogFormat, level: Targets) {
    let on_terminal = io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Auto if !on_terminal => lines.json().flatten_event(true).boxed(),
        LogFormat::Auto | LogFormat::Human => lines.with_ansi(on_terminal).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(level)).init();
}
