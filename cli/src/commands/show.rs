//! `wasmway show`.

use clap::Args;
use reqwest::Method;
use serde_json::Value;
use wasmway_registry::FunctionName;

use crate::api::Function;
use crate::cli::Globals;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};

/// Show one function: its address, active version, imports and limits
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wasmway show hello")]
pub(crate) struct Show {
    name: FunctionName,
}

pub(crate) async fn run(arguments: Show, globals: &Globals) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    let answer: Value = client.json(client.function(Method::GET, &arguments.name, "")).await?;
    if globals.output == Format::Json {
        return output::json(&answer);
    }
    let function: Function = serde_json::from_value(answer).map_err(anyhow::Error::new)?;
    output::fields([
        ("name", function.name),
        ("namespace", function.namespace),
        ("url", function.url.to_string()),
        ("version", format!("v{}", function.version)),
        ("traffic", function.traffic.map_or_else(|| "all of it".to_owned(), |traffic| traffic.to_string())),
        ("digest", function.digest),
        ("size", output::size(function.size)),
        ("world", function.world),
        ("imports", function.imports.join("\n")),
        ("limits", key_values(&function.manifest["limits"])),
        ("instances", key_values(&function.manifest["instances"])),
        ("env", key_values(&function.manifest["env"])),
        ("outbound", items(&function.manifest["outbound"]["allow"])),
        ("routes", routes(&function.manifest["routes"])),
        ("created", output::ago(function.created_at)),
        ("deployed", output::ago(function.deployed_at)),
    ])
}

/// `{"a": 1, "b": "c"}` as one `a = 1` a line.
fn key_values(object: &Value) -> String {
    let lines = object.as_object().into_iter().flatten().map(|(key, value)| format!("{key} = {}", plain(value)));
    or_none(lines.collect())
}

fn items(array: &Value) -> String {
    or_none(array.as_array().into_iter().flatten().map(plain).collect())
}

fn routes(array: &Value) -> String {
    let lines = array.as_array().into_iter().flatten().map(|route| {
        let host = route["host"].as_str().unwrap_or("*");
        format!("{host}{}", plain(&route["path"]))
    });
    or_none(lines.collect())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn or_none(lines: Vec<String>) -> String {
    if lines.is_empty() { "none".to_owned() } else { lines.join("\n") }
}
