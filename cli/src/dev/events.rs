//! What the platform logs, as a developer reads it: the function's output, a line for each request, and trouble.

use std::collections::HashMap;
use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use super::screen::Screen;
use crate::output;

/// What a function printed, and what the platform says of its failed calls.
const FUNCTION: &str = "wasmway::function";
/// Requests that are over.
const ACCESS: &str = "wasmway::access";

/// Shows on `screen` what is logged from now on.
pub(super) fn start(screen: &Screen, level: Targets, is_default: bool) {
    let level = match is_default {
        // Of the platform itself only trouble.
        true => Targets::new()
            .with_default(LevelFilter::WARN)
            .with_targets([(FUNCTION, LevelFilter::INFO), (ACCESS, LevelFilter::INFO)]),
        false => level,
    };
    tracing_subscriber::registry().with(Shown(screen.clone()).with_filter(level)).init();
}

struct Shown(Screen);

impl<S: Subscriber> Layer<S> for Shown {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let screen = &self.0;
        match event.metadata().target() {
            FUNCTION => fields.output(screen),
            ACCESS => fields.request(screen),
            _ if *event.metadata().level() == Level::ERROR => screen.bad("platform", fields),
            _ if *event.metadata().level() == Level::WARN => screen.odd("platform", fields),
            _ => screen.note("platform", fields),
        }
    }
}

/// The fields of an event, as text.
#[derive(Default)]
struct Fields {
    message: String,
    others: HashMap<&'static str, String>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.keep(field, format!("{value:?}"));
    }
}

impl Fields {
    fn keep(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            name => {
                self.others.insert(name, value);
            }
        }
    }

    fn text(&self, name: &str) -> &str {
        self.others.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or_default()
    }

    fn output(&self, screen: &Screen) {
        match self.text("stream") {
            // Why a call failed.
            "platform" => screen.bad("failed", &self.message),
            "stderr" => screen.odd("stderr", &self.message),
            stream => screen.note(stream, &self.message),
        }
    }

    fn request(&self, screen: &Screen) {
        let (status, outcome) = (self.number("status"), self.text("outcome"));
        let went_well = outcome == "ok";
        let ended = if went_well { String::new() } else { format!("  {outcome}  {}", self.text("request_id")) };
        let line = format!(
            "{} {}  {}  cpu {}  memory {}{}{ended}",
            self.text("path"),
            if status == 0 { "-".to_owned() } else { status.to_string() },
            output::time(self.number("wall_us")),
            output::time(self.number("cpu_us")),
            output::size(self.number("memory_bytes")),
            if self.text("cold") == "true" { "  cold" } else { "" },
        );
        match went_well {
            true if status < 500 => screen.good(self.text("method"), line),
            _ => screen.bad(self.text("method"), line),
        }
    }
}

/// The message, then the fields by name.
impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut others: Vec<_> = self.others.iter().collect();
        others.sort();
        others.iter().try_for_each(|(name, value)| write!(f, "  {name}={value}"))
    }
}
