//! `wasmway traffic`.

use std::collections::BTreeMap;
use std::str::FromStr;

use clap::Args;
use reqwest::Method;
use serde_json::Value;
use wasmway_registry::{FunctionName, Sticky, Version};

use crate::api::{Function, Traffic};
use crate::cli::Globals;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};

/// Split the requests of a function over its versions, or show how they are split
///
/// Each version gets its weight's share of the sum. The one with the greatest weight is the active one.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  wasmway traffic hello\n  wasmway traffic hello 3=90 4=10\n  wasmway traffic hello 3=90 4=10 --sticky cookie:session"
)]
pub(crate) struct SetTraffic {
    name: FunctionName,
    /// Versions with their weights
    #[arg(value_name = "VERSION=WEIGHT")]
    weights: Vec<Weight>,
    /// Give a client the same version every time: by header:NAME or cookie:NAME
    #[arg(long, value_name = "KIND:NAME", requires = "weights")]
    sticky: Option<Sticky>,
}

/// `VERSION=WEIGHT`.
#[derive(Debug, Clone, Copy)]
struct Weight(Version, u32);

impl FromStr for Weight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = text.split_once('=').and_then(|(version, weight)| {
            Some(Self(version.trim_start_matches('v').parse().ok()?, weight.trim_end_matches('%').parse().ok()?))
        });
        pair.ok_or_else(|| "write a version and its weight, such as 4=10".to_owned())
    }
}

pub(crate) async fn run(arguments: SetTraffic, globals: &Globals) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    let request = if arguments.weights.is_empty() {
        client.function(Method::GET, &arguments.name, "")
    } else {
        let weights: BTreeMap<u32, u32> =
            arguments.weights.iter().map(|Weight(version, weight)| (version.get(), *weight)).collect();
        let sticky = arguments.sticky.map(|sticky| sticky.to_string());
        client.function(Method::PUT, &arguments.name, "/traffic").json(&Traffic { weights, sticky })
    };
    let answer: Value = client.json(request).await?;
    if globals.output == Format::Json {
        return output::json(&answer);
    }
    let function: Function = serde_json::from_value(answer).map_err(anyhow::Error::new)?;
    let traffic = function.traffic.map_or_else(|| format!("v{} 100%", function.version), |traffic| traffic.to_string());
    output::line(format_args!("{}  {traffic}  {}", function.name, function.url))
}
