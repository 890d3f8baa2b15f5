//! `wasmway list`.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Function, FunctionPage};
use crate::cli::Globals;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};

/// List the functions of the namespace
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wasmway list -n shop")]
pub(crate) struct List {}

pub(crate) async fn run(_: List, globals: &Globals) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    let functions = all_pages(&client).await?;
    if globals.output == Format::Json {
        return output::json(&json!({ "functions": functions, "next": null }));
    }
    let functions: Vec<Function> =
        functions.into_iter().map(serde_json::from_value).collect::<Result<_, _>>().map_err(anyhow::Error::new)?;
    let rows = functions.into_iter().map(|function| {
        vec![
            function.name,
            format!("v{}", function.version),
            output::size(function.size),
            output::ago(function.deployed_at),
            function.url.to_string(),
        ]
    });
    output::table(&["NAME", "VERSION", "SIZE", "DEPLOYED", "URL"], rows)
}

async fn all_pages(client: &Client) -> Result<Vec<Value>, Failure> {
    let mut functions = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let request = client.functions(Method::GET).query(&after.map(|name| [("after", name)]));
        let page: FunctionPage = client.json(request).await?;
        functions.extend(page.functions);
        after = page.next;
        if after.is_none() {
            return Ok(functions);
        }
    }
}
