//! `wasmway check`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use wasmway_gateway::{Finding, Role, Verdict, check_up};

use crate::cli::Globals;
use crate::client::{self, Running};
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::settings::ServerArguments;
use crate::up;

/// Look whether this machine has what a server needs, and say what to change
#[derive(Debug, Args)]
#[command(
    after_help = "It takes the settings of `wasmway up`, from the same places, or those of `wasmway gateway` with --registry, and\n\
                  ends with 1 when a server could not do its work.\n\n\
                  Example:\n  wasmway check --max-instances 10000\n  wasmway check --config wasmway-server.toml -o json"
)]
pub(crate) struct Check {
    #[command(flatten)]
    server: ServerArguments,
}

pub(crate) async fn run(arguments: Check, globals: &Globals) -> Result<ExitCode, Failure> {
    let settings = arguments.server.settings;
    let role = settings.registry.clone().map_or(Role::All, Role::Gateway);
    // What is wrong with the data directory itself is found below.
    let running = match client::running_on(&settings.data_dir.data_dir) {
        Ok(Some(Running { control })) if answers(&control).await => Some(control),
        Ok(_) | Err(_) => None,
    };
    let clock = globals.server.clone().or_else(|| settings.registry.clone());
    let found = check_up(&up::config(role, settings, up::NO_ACCESS_LOG)?, running.as_ref(), clock.as_ref()).await;
    let is_bad = found.iter().any(|finding| finding.verdict == Verdict::Bad);
    match globals.output {
        Format::Json => output::json(&json!({ "ok": !is_bad, "checks": found }))?,
        Format::Text => print(&found)?,
    }
    Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Whether a server is there, and not only the file that one has left.
async fn answers(control: &url::Url) -> bool {
    let Ok(http) = client::http_client(control) else { return false };
    http.get(control.join("livez").unwrap_or_else(|_| control.clone())).send().await.is_ok()
}

fn print(found: &[Finding]) -> Result<(), Failure> {
    let rows = found.iter().map(|finding| {
        let mark = match finding.verdict {
            Verdict::Fine => "ok",
            Verdict::Poor => "poor",
            Verdict::Bad => "BAD",
        };
        vec![mark.to_owned(), finding.name.to_owned(), finding.seen.clone()]
    });
    output::table(&["", "WHAT", "SEEN"], rows)?;
    for finding in found {
        if let Some(fix) = &finding.fix {
            output::line(format!("{}: {fix}", finding.name))?;
        }
    }
    Ok(())
}
