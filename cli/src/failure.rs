//! Why a command did not do what was asked, and how it ends then.

use std::path::PathBuf;
use std::process::ExitCode;

use url::Url;

use crate::api::Problem;
use crate::commands::explain;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The platform refused, and said why.
    #[error("{0}")]
    Refused(Problem),
    /// No platform has left its address in the data directory.
    #[error(
        "no platform runs on {}\nstart one with `wasmway up`, or name another by --server URL",
        data_dir.display()
    )]
    NotRunning { data_dir: PathBuf },
    /// No connection to the server.
    #[error(
        "nothing answers at {server} ({cause})\nstart the platform with `wasmway up`, or name another by --server URL"
    )]
    Unreachable { server: Url, cause: String },
    /// The command contradicts itself, or lacks something.
    #[error("{0}")]
    Usage(String),
    /// Whoever read our output has stopped reading, as `head` does.
    #[error("the output was closed")]
    OutputClosed,
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl Failure {
    /// Says on standard error what went wrong; 1 when something refused or failed, 2 for wrong usage.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::OutputClosed => return ExitCode::SUCCESS,
            Self::Refused(_) | Self::NotRunning { .. } | Self::Unreachable { .. } | Self::Usage(_) | Self::Other(_) => {
                eprintln!("error: {self:#}");
            }
        }
        self.point_to_explanation();
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Refused(_)
            | Self::NotRunning { .. }
            | Self::Unreachable { .. }
            | Self::OutputClosed
            | Self::Other(_) => ExitCode::FAILURE,
        }
    }

    /// Says to a person, and not to a program that reads along, where there is more.
    fn point_to_explanation(&self) {
        if let Self::Refused(Problem { code, .. }) = self
            && explain::knows(code)
            && console::user_attended_stderr()
        {
            eprintln!("hint: `wasmway explain {code}` says why this happens, and what to do");
        }
    }
}
