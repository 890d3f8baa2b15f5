//! `wasmway rollback`.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use wasmway_registry::{FunctionName, Version};

use crate::api::Function;
use crate::cli::Globals;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};

/// Serve an earlier version of a function again
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wasmway rollback hello\n  wasmway rollback hello 2")]
pub(crate) struct Rollback {
    name: FunctionName,
    /// Version to serve [default: the one that was active before]
    version: Option<Version>,
}

pub(crate) async fn run(arguments: Rollback, globals: &Globals) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    let request = client.function(Method::POST, &arguments.name, "/rollback");
    let request = match arguments.version {
        Some(version) => request.json(&json!({ "version": version })),
        None => request,
    };
    let answer: Value = client.json(request).await?;
    if globals.output == Format::Json {
        return output::json(&answer);
    }
    let function: Function = serde_json::from_value(answer).map_err(anyhow::Error::new)?;
    output::line(format_args!("rolled back {} to v{}  {}", function.name, function.version, function.url))
}
