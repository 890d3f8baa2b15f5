//! `wasmway nodes`, and waiting for the nodes.

use std::time::Duration;

use clap::Args;
use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::api::NodeList;
use crate::cli::Globals;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};

/// List the gateways of a fleet, and how far each is
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wasmway nodes")]
pub(crate) struct Nodes {}

pub(crate) async fn run(globals: &Globals) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    let answer: Value = client.json(client.request(Method::GET, "api/v1/nodes")).await?;
    if globals.output == Format::Json {
        return output::json(&answer);
    }
    let list: NodeList = serde_json::from_value(answer).map_err(anyhow::Error::new)?;
    let newest = list.revision;
    let rows = list.nodes.into_iter().map(|node| {
        let state = match (node.live, node.revision >= newest) {
            (false, _) => "away".to_owned(),
            (true, true) => "up to date".to_owned(),
            (true, false) => format!("{} behind", newest - node.revision),
        };
        vec![node.name, state, output::ago(node.seen_at), node.address, node.failing.join("\n")]
    });
    output::table(&["NODE", "STATE", "SEEN", "ADDRESS", "FAILING"], rows)
}

/// How often the nodes are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits until every live node serves what the registry had at `revision`; an error names those that do not in time.
pub(super) async fn wait(client: &Client, revision: u64, patience: Duration) -> Result<usize, Failure> {
    let end = Instant::now() + patience;
    loop {
        let list = client.json(client.request(Method::GET, "api/v1/nodes")).await?;
        let list: NodeList = serde_json::from_value(list).map_err(anyhow::Error::new)?;
        let live: Vec<_> = list.nodes.into_iter().filter(|node| node.live).collect();
        let behind = live.iter().filter(|node| node.revision < revision || !node.failing.is_empty());
        let behind: Vec<String> = behind
            .map(|node| match node.failing.as_slice() {
                [] => node.name.clone(),
                failing => format!("{} ({})", node.name, failing.join("; ")),
            })
            .collect();
        if behind.is_empty() {
            return Ok(live.len());
        }
        if Instant::now() >= end {
            let what = format!("it is deployed, but not served yet by {}", behind.join(", "));
            return Err(anyhow::anyhow!("{what}; `wasmway nodes` shows how far they are").into());
        }
        sleep(LOOK_EVERY).await;
    }
}
