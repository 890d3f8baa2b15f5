//! `wasmway nodes`, and waiting for the nodes.

use std::time::Duration;

use clap::Args;
use reqwest::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use wasmway_registry::NodeLoad;

use crate::api::{Function, NodeList};
use crate::cli::Globals;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};

/// List the gateways of a fleet: how far each is, and what it has to do
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
        let load = node.load.filter(|_| node.live);
        let shown = |text: fn(NodeLoad) -> Option<String>| load.and_then(text).unwrap_or_else(|| "-".to_owned());
        vec![
            node.name,
            state,
            output::ago(node.seen_at),
            node.address,
            shown(|load| Some(format!("{:.1}", load.requests_s))),
            shown(|load| load.failed.map(|share| format!("{:.1}%", 100.0 * share))),
            shown(|load| load.cpu.map(|cores| format!("{cores:.2}"))),
            shown(|load| load.memory_bytes.map(|bytes| output::size(bytes as u64))),
            shown(|load| Some(format!("{} of {}", load.slots_used, load.slots))),
            node.failing.join("\n"),
        ]
    });
    let columns =
        ["NODE", "STATE", "SEEN", "ADDRESS", "REQUESTS/S", "FAILED", "CPU", "MEMORY", "INSTANCES", "CANNOT SERVE"];
    output::table(&columns, rows)
}

/// How often the nodes are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits until every live node serves the function as it was at `revision`; an error names those that do not in time. In
/// a process that does everything there is nobody to wait for.
pub(super) async fn wait(client: &Client, function: &Function, patience: Duration) -> Result<usize, Failure> {
    let end = Instant::now() + patience;
    let of_it = format!("{}/{}:", function.namespace, function.name);
    loop {
        let list = client.json(client.request(Method::GET, "api/v1/nodes")).await?;
        let list: NodeList = serde_json::from_value(list).map_err(anyhow::Error::new)?;
        let (live, away): (Vec<_>, Vec<_>) = list.nodes.into_iter().partition(|node| node.live);
        let behind = live.iter().filter_map(|node| {
            let failing = node.failing.iter().find(|what| what.starts_with(&of_it));
            match failing {
                Some(why) => Some(format!("{} ({why})", node.name)),
                None => (node.revision < function.revision).then(|| node.name.clone()),
            }
        });
        let mut behind: Vec<String> = behind.collect();
        if live.is_empty() {
            behind.extend(away.into_iter().map(|node| format!("{} (away)", node.name)));
        }
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
