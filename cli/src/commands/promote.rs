//! `wasmway promote`.

use clap::Args;
use reqwest::Method;
use serde_json::Value;
use wasmway_registry::{FunctionName, Version};

use crate::api::{Function, Traffic};
use crate::cli::Globals;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};

/// Give one version all requests of its function
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wasmway promote hello\n  wasmway promote hello 4")]
pub(crate) struct Promote {
    name: FunctionName,
    /// Version that gets everything [default: the one that is tried out beside the active one]
    version: Option<Version>,
}

pub(crate) async fn run(arguments: Promote, globals: &Globals) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    let version = match arguments.version {
        Some(version) => version.get(),
        None => {
            let function = client.json(client.function(Method::GET, &arguments.name, "")).await?;
            tried_out(&serde_json::from_value(function).map_err(anyhow::Error::new)?)?
        }
    };
    let all = Traffic { weights: [(version, 100)].into(), sticky: None, trial: None };
    let request = client.function(Method::PUT, &arguments.name, "/traffic").json(&all);
    let answer: Value = client.json(request).await?;
    if globals.output == Format::Json {
        return output::json(&answer);
    }
    let function: Function = serde_json::from_value(answer).map_err(anyhow::Error::new)?;
    output::line(format_args!("promoted {} v{}  {}", function.name, function.version, function.url))
}

/// The one version beside the active one that gets requests.
fn tried_out(function: &Function) -> Result<u32, Failure> {
    let split = function.traffic.iter().flat_map(|traffic| traffic.weights.keys().copied());
    let others: Vec<u32> = split.filter(|version| *version != function.version).collect();
    match others.as_slice() {
        [version] => Ok(*version),
        [] => Err(anyhow::anyhow!(
            "no version of {} is tried out beside v{}; name the one that is to get everything",
            function.name,
            function.version
        )
        .into()),
        _ => Err(anyhow::anyhow!("several versions of {} are tried out; name one of {others:?}", function.name).into()),
    }
}
