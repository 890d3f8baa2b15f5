//! `wasmway trace`.

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use wasmway_registry::manifest::Limits;
use wasmway_registry::{FunctionName, Manifest};

use super::invocations;
use crate::api::{InvocationRecord, LogLine};
use crate::cli::Globals;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};

/// Tell the story of one request: what happened when, what it used of its limits, and why it failed
///
/// It is told as long as the request is remembered: the latest 200 of each function are, and 100 more of those that failed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wasmway trace 019a91c2-77b0-7ab0-a2fe-4b1d1f4c6a55")]
pub(crate) struct Trace {
    /// The x-request-id of its answer, which a problem document has as request_id
    #[arg(value_name = "REQUEST_ID")]
    id: String,
}

pub(crate) async fn run(arguments: Trace, globals: &Globals) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    let path = format!("api/v1{}", invocations::below(&arguments.id));
    let answer: Value = client.json(client.request(Method::GET, &path)).await?;
    let call: InvocationRecord = serde_json::from_value(answer.clone()).map_err(anyhow::Error::new)?;
    let name: FunctionName = call.function.parse().context("the platform's answer has no function's name")?;
    let limits = limits(&client, &name, call.version).await?;
    let log = log(&client, &name, &call.request_id).await?;
    if globals.output == Format::Json {
        return output::json(&json!({ "invocation": answer, "limits": limits, "log": log }));
    }
    let log: Vec<LogLine> = serde_json::from_value(Value::Array(log)).map_err(anyhow::Error::new)?;
    output::fields(heading(&call))?;
    section("timeline", output::rows(timeline(&call, &log)))?;
    if let Some(limits) = &limits {
        output::line("\nlimits")?;
        output::table(&["", "USED", "LIMIT", ""], of_limits(&call, limits))?;
    }
    for (name, text) in [("cause", &call.error), ("end of standard error", &call.stderr)] {
        if let Some(text) = text {
            section(name, text)?;
        }
    }
    Ok(())
}

/// The limits of the version that ran it, where they are known: a gateway alone does not know them.
async fn limits(client: &Client, name: &FunctionName, version: u32) -> Result<Option<Limits>, Failure> {
    let version: Value = match client.json(client.function(Method::GET, name, &format!("/versions/{version}"))).await {
        Err(Failure::Refused(problem)) if matches!(problem.code.as_str(), "unknown-version" | "not-found") => {
            return Ok(None);
        }
        known => known?,
    };
    let manifest: Manifest =
        serde_json::from_value(version["manifest"].clone()).context("cannot read the version's manifest")?;
    Ok(Some(manifest.limits))
}

/// The lines of the call that are still kept.
async fn log(client: &Client, name: &FunctionName, id: &str) -> Result<Vec<Value>, Failure> {
    let response = client.send(client.function(Method::GET, name, "/logs").query(&[("request", id)])).await?;
    let text = response.text().await.context("the log broke off")?;
    let lines: Result<_, _> = text.lines().map(serde_json::from_str).collect();
    Ok(lines.context("cannot read the log")?)
}

fn heading(call: &InvocationRecord) -> Vec<(&'static str, String)> {
    let fields = [
        ("request", Some(call.request_id.clone())),
        ("function", Some(format!("{}/{} v{}", call.namespace, call.function, call.version))),
        ("node", call.node.clone()),
        ("time", Some(format!("{} ({})", call.time, output::ago(call.time)))),
        ("call", Some(format!("{} {}", call.method, call.path))),
        ("answer", Some(format!("{}  {}", invocations::status(call.status), call.outcome))),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// What happened, each with the time since the request came.
fn timeline(call: &InvocationRecord, log: &[LogLine]) -> Vec<(String, String)> {
    let at = |time: Timestamp| time.duration_since(call.time).as_micros().max(0) as u64;
    let start = if call.cold { "cold: its program was loaded first" } else { "its program was loaded" };
    let mut events = vec![(0, format!("the request came ({start})"))];
    // What the platform says of the end is the cause, which has a section of its own.
    let printed = log.iter().filter(|line| line.stream != "platform");
    events.extend(printed.map(|line| (at(line.time), format!("{}  {}", line.stream, line.message))));
    let waited = output::time(call.queued_us);
    let sent = output::size(call.bytes_out);
    events.push((
        call.wall_us,
        format!("the end: {}; {waited} of it were spent waiting, {sent} were sent", call.outcome),
    ));
    events.sort_by_key(|(us, _)| *us);
    events.into_iter().map(|(us, what)| (format!("+{}", output::time(us)), what)).collect()
}

fn of_limits(call: &InvocationRecord, limits: &Limits) -> Vec<Vec<String>> {
    let row = |name: &str, used: u64, limit: u64, print: fn(u64) -> String| {
        let share = used as f64 * 100.0 / limit.max(1) as f64;
        vec![name.to_owned(), print(used), print(limit), format!("{share:.0}%")]
    };
    vec![
        row("cpu", call.cpu_us, limits.cpu.as_micros() as u64, output::time),
        row("wall clock", call.wall_us, limits.timeout.as_micros() as u64, output::time),
        row("memory", call.memory_bytes, limits.memory.as_u64(), output::size),
        row("request body", call.bytes_in, limits.request_body.as_u64(), output::size),
        row("response body", call.bytes_out, limits.response_body.as_u64(), output::size),
    ]
}

fn section(name: &str, text: impl AsRef<str>) -> Result<(), Failure> {
    let text = text.as_ref().trim_end();
    output::line(format_args!("\n{name}"))?;
    for line in text.lines() {
        output::line(format_args!("  {line}"))?;
    }
    Ok(())
}
