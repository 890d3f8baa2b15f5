//! `wasmway namespaces` and `wasmway quota`.

use clap::Args;
use reqwest::Method;
use serde_json::Value;
use wasmway_registry::manifest::ByteSize;
use wasmway_registry::{Namespace, Quota};

use crate::api::NamespaceList;
use crate::cli::Globals;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};

/// List namespaces: what they have, and what they may have
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wasmway namespaces")]
pub(crate) struct Namespaces {}

pub(crate) async fn list(globals: &Globals) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    let answer: Value = client.json(client.request(Method::GET, "api/v1/namespaces")).await?;
    if globals.output == Format::Json {
        return output::json(&answer);
    }
    let list: NamespaceList = serde_json::from_value(answer).map_err(anyhow::Error::new)?;
    let bound = |most: Option<String>| most.map_or_else(|| "any".to_owned(), |most| format!("up to {most}"));
    let rows = list.namespaces.into_iter().map(|namespace| {
        let of = |has: String, most: Option<String>| most.map_or(has.clone(), |most| format!("{has} of {most}"));
        let quota = namespace.quota;
        vec![
            namespace.name,
            of(namespace.functions.to_string(), quota.functions.map(|most| most.to_string())),
            of(output::size(namespace.component_bytes), quota.component_bytes.map(|most| most.to_string())),
            bound(quota.memory.map(|most| most.to_string())),
            bound(quota.concurrency.map(|most| most.to_string())),
            bound(quota.requests_per_second.map(|most| most.to_string())),
            quota.cpu_weight.unwrap_or(USUAL_CPU_WEIGHT).to_string(),
        ]
    });
    output::table(&["NAMESPACE", "FUNCTIONS", "COMPONENTS", "MEMORY", "AT ONCE", "A SECOND", "CPU WEIGHT"], rows)
}

/// The share of CPU time of a namespace that has none of its own.
const USUAL_CPU_WEIGHT: u32 = 100;

/// Say how much a namespace may have; what is left out has no bound
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  wasmway quota shop --functions 20 --components 500MiB --memory 256MiB\n  wasmway quota shop --concurrency 200 --rate 500 --cpu-weight 50\n  wasmway quota shop"
)]
pub(crate) struct SetQuota {
    /// The namespace
    of: Namespace,
    /// Functions at once
    #[arg(long, value_name = "N")]
    functions: Option<u32>,
    /// All components of its versions together
    #[arg(long, value_name = "SIZE")]
    components: Option<ByteSize>,
    /// What limits.memory of a function may be
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// Requests of all its functions at once, on each node
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
    /// Requests of all its functions that may begin in a second, on each node; so many may begin at once after a rest
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// Share of CPU time beside other namespaces, of which each has 100 if nothing is said
    #[arg(long, value_name = "N")]
    cpu_weight: Option<u32>,
}

pub(crate) async fn set(arguments: SetQuota, globals: &Globals) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    let SetQuota { of, functions, components, memory, concurrency, rate, cpu_weight } = arguments;
    let quota =
        Quota { functions, component_bytes: components, memory, concurrency, requests_per_second: rate, cpu_weight };
    client.send(client.request(Method::PUT, &format!("api/v1/namespaces/{of}/quota")).json(&quota)).await?;
    output::line(format_args!("the namespace {of} has its quota"))
}
