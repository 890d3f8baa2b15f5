//! `wasmway promote`.

use clap::Args;
use reqwest::Method;
use serde_json::Value;
use wasmway_registry::{FunctionName, Version};

use crate::api::{Function, Traffic, VersionList};
use crate::cli::Globals;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};

/// Give one version all requests of its function
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wasmway promote hello\n  wasmway promote hello 4")]
pub(crate) struct Promote {
    name: FunctionName,
    /// Version that gets everything [default: the newest]
    version: Option<Version>,
}

pub(crate) async fn run(arguments: Promote, globals: &Globals) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    let version = match arguments.version {
        Some(version) => version.get(),
        None => {
            let list = client.json(client.function(Method::GET, &arguments.name, "/versions")).await?;
            let list: VersionList = serde_json::from_value(list).map_err(anyhow::Error::new)?;
            let newest = list.versions.iter().map(|version| version.version).max();
            newest.ok_or_else(|| anyhow::anyhow!("{} has no version", arguments.name))?
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
