//! `wasmway invocations`.

use clap::Args;
use reqwest::Method;
use serde_json::Value;
use wasmway_registry::FunctionName;

use crate::api::{InvocationList, InvocationRecord};
use crate::cli::Globals;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};

/// Show the latest calls of a function, or one of them: what it used, and why it failed
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  wasmway invocations hello\n  wasmway invocations hello 019a91c2-77b0-7ab0-a2fe-4b1d1f4c6a55"
)]
pub(crate) struct Invocations {
    name: FunctionName,
    /// Id of one call: the x-request-id of its answer
    id: Option<String>,
}

pub(crate) async fn run(arguments: Invocations, globals: &Globals) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    let path = arguments.id.as_deref().map_or_else(|| "/invocations".to_owned(), below);
    let answer: Value = client.json(client.function(Method::GET, &arguments.name, &path)).await?;
    if globals.output == Format::Json {
        return output::json(&answer);
    }
    if arguments.id.is_some() {
        return one(serde_json::from_value(answer).map_err(anyhow::Error::new)?);
    }
    let list: InvocationList = serde_json::from_value(answer).map_err(anyhow::Error::new)?;
    let rows = list.invocations.into_iter().map(|call| {
        vec![
            output::ago(call.time),
            call.request_id,
            format!("v{}", call.version),
            format!("{} {}", call.method, call.path),
            status(call.status),
            call.outcome,
            output::time(call.wall_us),
            output::time(call.cpu_us),
            output::size(call.memory_bytes),
        ]
    });
    output::table(&["WHEN", "ID", "VERSION", "REQUEST", "STATUS", "OUTCOME", "WALL", "CPU", "MEMORY"], rows)
}

/// The path of one call, below its function.
pub(super) fn below(id: &str) -> String {
    // Of the characters that an id may have, a path gives a meaning only to this one.
    format!("/invocations/{}", id.replace('/', "%2F"))
}

fn one(call: InvocationRecord) -> Result<(), Failure> {
    let fields = [
        ("time", format!("{} ({})", call.time, output::ago(call.time))),
        ("version", format!("v{}", call.version)),
        ("request", format!("{} {}", call.method, call.path)),
    ];
    let fields: Vec<_> = fields.into_iter().chain(bill(&call)).collect();
    let causes = [("node", call.node), ("error", call.error), ("stderr", call.stderr)];
    let causes = causes.into_iter().filter_map(|(name, text)| Some((name, text?.trim_end().to_owned())));
    output::fields(fields.into_iter().chain(causes))
}

/// What a call used.
pub(super) fn bill(call: &InvocationRecord) -> [(&'static str, String); 11] {
    [
        ("id", call.request_id.clone()),
        ("status", status(call.status)),
        ("outcome", call.outcome.clone()),
        ("wall", output::time(call.wall_us)),
        ("queued", output::time(call.queued_us)),
        ("cpu", output::time(call.cpu_us)),
        ("memory", output::size(call.memory_bytes)),
        ("start", if call.cold { "cold" } else { "warm" }.to_owned()),
        ("bytes in", output::size(call.bytes_in)),
        ("bytes out", output::size(call.bytes_out)),
        ("outbound", format!("{} requests, {} sent", call.outbound_requests, output::size(call.outbound_bytes))),
    ]
}

/// A client that left before there was a status got none.
pub(super) fn status(status: u16) -> String {
    if status == 0 { "-".to_owned() } else { status.to_string() }
}
