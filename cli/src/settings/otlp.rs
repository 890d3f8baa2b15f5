//! The settings of what is sent by OTLP.

use anyhow::ensure;
use clap::Args;
use url::Url;
use wasmway_gateway::{OtlpConfig, Signals};

use super::values::between;

/// What is sent by OTLP, where to, and how much of it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct OtlpSettings {
    /// Receiver of traces, logs and metrics, by OTLP over HTTP, such as http://collector:4318; without it nothing is sent
    #[arg(long, env = "WASMWAY_OTLP_ENDPOINT", value_name = "URL", value_parser = endpoint)]
    otlp_endpoint: Option<Url>,

    /// What is sent to it: some of traces, logs (the lines that functions print) and metrics, with commas between them
    #[arg(long, env = "WASMWAY_OTLP_SIGNALS", value_name = "SIGNALS", default_value = "traces")]
    otlp_signals: Signals,

    /// Share of the traces that begin here which are recorded, from 0 to 1; of others, their caller has decided
    #[arg(long, env = "WASMWAY_TRACE_RATIO", value_name = "RATIO", default_value = "1", value_parser = between(0.0..=1.0_f64))]
    trace_ratio: f64,
}

impl OtlpSettings {
    /// What the gateway is told, if anything is to be sent.
    pub(crate) fn config(self) -> Option<OtlpConfig> {
        let Self { otlp_endpoint, otlp_signals: signals, trace_ratio } = self;
        otlp_endpoint.map(|endpoint| OtlpConfig { endpoint, signals, trace_ratio })
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
