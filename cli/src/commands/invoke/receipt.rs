//! The bill of a call, as the platform has written it down.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use wasmway_registry::FunctionName;

use crate::api::InvocationRecord;
use crate::client::Client;
use crate::commands::invocations;
use crate::failure::Failure;
use crate::output::{self, Format};

/// How long the record of a call is waited for: it is written when the function has ended, which may be after its answer.
const PATIENCE: Duration = Duration::from_secs(2);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What an answer's headers say of its call.
pub(super) struct Told {
    request_id: Option<String>,
    server_timing: Option<String>,
}

impl Told {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self { request_id: text("x-request-id"), server_timing: text("server-timing") }
    }

    /// Prints the bill on standard error, so that standard output is the answer alone.
    pub(super) async fn print(self, client: &Client, name: &FunctionName, format: Format) -> Result<(), Failure> {
        let record = match &self.request_id {
            Some(id) => record(client, name, id).await,
            None => Err(anyhow::anyhow!("the answer has no x-request-id").into()),
        };
        match (record, self.server_timing) {
            (Ok(record), _) if format == Format::Json => eprintln!("{record:#}"),
            (Ok(record), _) => {
                let record: InvocationRecord = serde_json::from_value(record).map_err(anyhow::Error::new)?;
                eprintln!("{}", output::rows(invocations::bill(&record)));
            }
            // A registry alone does not know; the gateway that ran it has told.
            (Err(_), Some(told)) => eprintln!("server-timing  {told}"),
            (Err(failure), None) => eprintln!("no receipt: {failure:#}"),
        }
        Ok(())
    }
}

/// The record of a call, once it is over.
async fn record(client: &Client, name: &FunctionName, id: &str) -> Result<Value, Failure> {
    let end = Instant::now() + PATIENCE;
    loop {
        match client.json(client.function(Method::GET, name, &invocations::below(id))).await {
            Err(Failure::Refused(problem)) if problem.code == "unknown-invocation" && Instant::now() < end => {
                sleep(LOOK_EVERY).await;
            }
            known => return known,
        }
    }
}
