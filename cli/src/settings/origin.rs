//! Where the value of a setting came from.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// The place that a value was taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "origin", content = "from", rename_all = "lowercase")]
pub(crate) enum Origin {
    /// A flag of the command line, such as `--listen`.
    Flag(String),
    /// A variable of the environment, such as `WASMWAY_LISTEN`.
    Environment(String),
    /// The configuration file at this path.
    File(PathBuf),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A setting's value with its origin.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Resolved {
    pub(crate) name: String,
    /// As it was written; `None` where nothing is set and nothing is meant by that.
    pub(crate) value: Option<String>,
    #[serde(flatten)]
    pub(crate) origin: Origin,
    /// One line on what it does.
    pub(crate) help: String,
}
