//! `wasmway audit`.

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use crate::api::AuditPage;
use crate::cli::Globals;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};

/// Show who changed what, the latest change first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wasmway audit --limit 20")]
pub(crate) struct Audit {
    /// Changes to show
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Only those before this one, by its number
    #[arg(long, value_name = "NUMBER")]
    before: Option<i64>,
}

pub(crate) async fn run(arguments: Audit, globals: &Globals) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    let mut request = client.request(Method::GET, "api/v1/audit").query(&[("limit", arguments.limit)]);
    if let Some(before) = arguments.before {
        request = request.query(&[("before", before)]);
    }
    let answer: Value = client.json(request).await?;
    if globals.output == Format::Json {
        return output::json(&answer);
    }
    let page: AuditPage = serde_json::from_value(answer).map_err(anyhow::Error::new)?;
    let rows = page.entries.into_iter().map(|entry| {
        let side = |side: Option<String>| side.unwrap_or_else(|| "-".to_owned());
        vec![
            entry.id.to_string(),
            entry.at.to_string(),
            entry.author,
            entry.address,
            entry.action,
            entry.subject,
            format!("{} -> {}", side(entry.before), side(entry.after)),
        ]
    });
    output::table(&["NUMBER", "TIME", "BY", "FROM", "DID", "TO", "CHANGE"], rows)
}
