//! One line of a function's log, and which lines a reader wants.

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use std::sync::Arc;
use utoipa::ToSchema;
use wasmway_scheduler::OutputStream;

/// One line of a function's log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LogLine {
    /// When it was written (RFC 3339).
    #[schema(value_type = String, format = DateTime)]
    pub(crate) time: Timestamp,
    /// How much it matters: that of its stream.
    pub(crate) level: Level,
    pub(crate) stream: Stream,
    /// The node that ran the call.
    #[serde(serialize_with = "text")]
    #[schema(value_type = String)]
    pub(crate) node: Arc<str>,
    pub(crate) namespace: String,
    pub(crate) function: String,
    pub(crate) version: u32,
    pub(crate) request_id: String,
    pub(crate) message: String,
}

/// Who wrote a line: the function, or `platform` for what the platform says of a call that the function failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stream {
    Stdout,
    Stderr,
    Platform,
}

/// How much a line matters. Standard output is `info`. Standard error is `warn`: most languages log there by habit, so
/// that not every line is an error. What the platform says of a call that failed is `error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}

impl Stream {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => OutputStream::Stdout.as_str(),
            Self::Stderr => OutputStream::Stderr.as_str(),
            Self::Platform => "platform",
        }
    }

    pub(crate) fn level(self) -> Level {
        match self {
            Self::Stdout => Level::Info,
            Self::Stderr => Level::Warn,
            Self::Platform => Level::Error,
        }
    }
}

impl From<OutputStream> for Stream {
    fn from(stream: OutputStream) -> Self {
        match stream {
            OutputStream::Stdout => Self::Stdout,
            OutputStream::Stderr => Self::Stderr,
        }
    }
}

/// The lines that a reader wants: those that meet every condition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Written then or later.
    pub(crate) since: Option<Timestamp>,
    /// Mattering so much or more.
    pub(crate) level: Option<Level>,
    /// Of this call.
    pub(crate) request_id: Option<String>,
}

impl Wanted {
    pub(crate) fn takes(&self, line: &LogLine) -> bool {
        self.since.is_none_or(|since| line.time >= since)
            && self.level.is_none_or(|level| line.level >= level)
            && self.request_id.as_ref().is_none_or(|id| line.request_id == *id)
    }
}

fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}
