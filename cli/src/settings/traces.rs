//! The settings of traces.

use anyhow::ensure;
use clap::Args;
use url::Url;
use wasmway_gateway::TracesConfig;

use super::values::between;

/// Where traces go, and how many of them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct TracesSettings {
    /// Receiver of traces, by OTLP over HTTP, such as http://collector:4318; without it there are none
    #[arg(long, env = "WASMWAY_OTLP_ENDPOINT", value_name = "URL", value_parser = endpoint)]
    otlp_endpoint: Option<Url>,

    /// Share of the traces that begin here which are recorded, from 0 to 1; of others, their caller has decided
    #[arg(long, env = "WASMWAY_TRACE_RATIO", value_name = "RATIO", default_value = "1", value_parser = between(0.0..=1.0_f64))]
    trace_ratio: f64,
}

impl TracesSettings {
    /// What the gateway is told, if there are to be traces.
    pub(crate) fn config(self) -> Option<TracesConfig> {
        self.otlp_endpoint.map(|endpoint| TracesConfig { endpoint, ratio: self.trace_ratio })
    }
}

fn endpoint(text: &str) -> anyhow::Result<Url> {
    let url: Url = text.parse()?;
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    ensure!(is_http, "not an address of HTTP: write one such as http://collector:4318");
    ensure!(
        url.username().is_empty() && url.password().is_none() && url.query().is_none(),
        "credentials do not belong into the address: put them into the variable OTEL_EXPORTER_OTLP_HEADERS"
    );
    Ok(url)
}
