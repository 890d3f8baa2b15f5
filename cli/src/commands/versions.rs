//! `wasmway versions`.

use clap::Args;
use reqwest::Method;
use serde_json::Value;
use wasmway_registry::FunctionName;

use crate::api::VersionList;
use crate::cli::Globals;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};

/// Characters of a digest that tell versions apart: the prefix `sha256:` and twelve more.
const DIGEST_CHARS: usize = 19;

/// List the versions of a function, newest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wasmway versions hello")]
pub(crate) struct Versions {
    name: FunctionName,
}

pub(crate) async fn run(arguments: Versions, globals: &Globals) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    let answer: Value = client.json(client.function(Method::GET, &arguments.name, "/versions")).await?;
    if globals.output == Format::Json {
        return output::json(&answer);
    }
    let list: VersionList = serde_json::from_value(answer).map_err(anyhow::Error::new)?;
    let rows = list.versions.into_iter().map(|version| {
        vec![
            format!("v{}", version.version),
            if version.active { "active".to_owned() } else { String::new() },
            output::size(version.size),
            output::ago(version.created_at),
            version.digest.chars().take(DIGEST_CHARS).collect(),
            version.world,
            version.preview_url.unwrap_or_default(),
        ]
    });
    output::table(&["VERSION", "STATE", "SIZE", "CREATED", "DIGEST", "WORLD", "ADDRESS"], rows)
}
