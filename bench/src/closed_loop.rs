//! A closed loop: as many requests as a server can answer, over connections that stay open.

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

use crate::client::Target;
use crate::poller::{self, Mix};
use crate::wrk;

/// Who sends the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Client {
    /// One that never sleeps, so that no server has to wake it
    Poller,
    /// wrk, which sleeps whenever it has nothing to do
    Wrk,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) requests: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

impl Client {
    /// Loads `target` for `seconds` over so many connections. One failed answer fails the run.
    pub(crate) fn run(self, target: &Target, connections: u32, seconds: u64) -> Result<Run> {
        match self {
            Client::Poller => poller::run(Mix::one(target), connections, Duration::from_secs(seconds)),
            Client::Wrk => wrk::run(target, connections, seconds),
        }
    }
}
