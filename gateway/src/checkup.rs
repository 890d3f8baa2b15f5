//! Whether a machine has what a server with these settings needs: looked at before it starts, or beside it.

mod kernel;
mod network;
mod storage;

use crate::config::{Config, Role};
use reqwest::Url;
use serde::Serialize;

/// How something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// A server runs, with less safety, speed or room than it could have.
    Poor,
    /// A server does not start, or cannot do its work.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Of what.
    pub name: &'static str,
    /// How it was found.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// What to change, where that would help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    fn fine(name: &'static str, seen: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Fine, seen: seen.into(), fix: None }
    }

    fn poor(name: &'static str, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Poor, seen: seen.into(), fix: Some(fix.into()) }
    }

    fn bad(name: &'static str, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, ..Self::poor(name, seen, fix) }
    }
}

/// Looks at this machine for a server of these settings. `running` is the control plane of the one that uses the data
/// folder now, if one does; `clock` a control plane whose clock ours is held against.
pub async fn check_up(config: &Config, running: Option<&Url>, clock: Option<&Url>) -> Vec<Finding> {
    let folder = config.data_dir.clone();
    let looked = tokio::task::spawn_blocking(move || storage::look(&folder)).await;
    let mut found = looked.unwrap_or_else(|error| {
        vec![Finding::bad("data directory", format!("looking at it failed: {error}"), "report this as a defect")]
    });
    found.extend(kernel::look(config));
    found.extend(network::addresses(config, running).await);
    found.extend(network::clock(clock).await);
    match &config.role {
        Role::Gateway(registry) => {
            found.push(network::registry(registry).await);
            found.push(network::token(config));
        }
        Role::All | Role::Registry => found.extend(network::stores(&config.stores).await),
    }
    found
}
