//! `wasmway traffic`.

use std::collections::BTreeMap;
use std::str::FromStr;

use clap::Args;
use reqwest::Method;
use serde_json::Value;
use wasmway_registry::{FunctionName, Sticky, Trial, Version};

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
    after_help = "Example:\n  wasmway traffic hello\n  wasmway traffic hello 3=90 4=10\n  wasmway traffic hello 3=90 4=10 --sticky cookie:session\n  wasmway traffic hello 3=90 4=10 --trial --errors 2"
)]
pub(crate) struct SetTraffic {
    name: FunctionName,
    /// Versions with their weights
    #[arg(value_name = "VERSION=WEIGHT")]
    weights: Vec<Weight>,
    /// Give a client the same version every time: by header:NAME or cookie:NAME
    #[arg(long, value_name = "KIND:NAME", requires = "weights")]
    sticky: Option<Sticky>,
    /// Take a version back by itself that does worse than the active one
    #[arg(long, requires = "weights")]
    trial: bool,
    /// Of a trial: requests of each version on a node before they are compared
    #[arg(long, value_name = "N", default_value_t = Trial::default().requests, requires = "trial")]
    requests: u32,
    /// Of a trial: percentage points by which more of its requests may fail, or be answered 5xx
    #[arg(long, value_name = "POINTS", default_value_t = Trial::default().errors, requires = "trial")]
    errors: f64,
    /// Of a trial: how many times as long its p99 latency may be
    #[arg(long, value_name = "TIMES", default_value_t = Trial::default().slower, requires = "trial")]
    slower: f64,
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
        let (requests, errors, slower) = (arguments.requests, arguments.errors, arguments.slower);
        let trial = arguments.trial.then_some(Trial { requests, errors, slower });
        client.function(Method::PUT, &arguments.name, "/traffic").json(&Traffic { weights, sticky, trial })
    };
    let answer: Value = client.json(request).await?;
    if globals.output == Format::Json {
        return output::json(&answer);
    }
    let function: Function = serde_json::from_value(answer).map_err(anyhow::Error::new)?;
    let traffic = function.traffic.map_or_else(|| format!("v{} 100%", function.version), |traffic| traffic.to_string());
    output::line(format_args!("{}  {traffic}  {}", function.name, function.url))
}
