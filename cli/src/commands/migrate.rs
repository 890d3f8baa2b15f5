//! `wasmway migrate`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use wasmway_registry::{Migration, PostgresUrl, migrations};

use crate::cli::Globals;
use crate::failure::Failure;
use crate::output::{self, Format};

/// Bring the registry's database to the schema of this program, before its servers are started
#[derive(Debug, Args)]
#[command(
    after_help = "Servers do the same when they start, one at a time; this is for those whose database user may not change the\n\
                  schema, and for looking ahead. Servers of the version before go on beside it.\n\n\
                  Example:\n  wasmway migrate --check\n  wasmway migrate --database postgres://owner@db/wasmway"
)]
pub(crate) struct Migrate {
    /// Postgres database of the registry, as the server has it [default: the one in the data directory]
    #[arg(long, env = "WASMWAY_DATABASE", hide_env_values = true, value_name = "URL")]
    database: Option<PostgresUrl>,
    /// Change nothing; say what is lacking, and end with 1 if something is
    #[arg(long)]
    check: bool,
}

pub(crate) async fn run(arguments: Migrate, globals: &Globals) -> Result<ExitCode, Failure> {
    let (data_dir, database) = (&globals.data_dir.data_dir, arguments.database.as_ref());
    let find = async |take| migrations(data_dir, database, take).await.map_err(anyhow::Error::new);
    let before = find(false).await?;
    let lacking: Vec<&Migration> = before.iter().filter(|step| !step.applied).collect();
    let is_lacking = arguments.check && !lacking.is_empty();
    let after = if arguments.check || lacking.is_empty() { None } else { Some(find(true).await?) };
    match globals.output {
        Format::Json => output::json(&json!({ "ok": !is_lacking, "migrations": after.as_ref().unwrap_or(&before) }))?,
        Format::Text => print(&before, arguments.check)?,
    }
    Ok(if is_lacking { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Says what was, and what came of it.
fn print(before: &[Migration], check: bool) -> Result<(), Failure> {
    let rows = before.iter().map(|step| {
        let state = match (step.applied, check) {
            (true, _) => "there",
            (false, true) => "lacking",
            (false, false) => "applied now",
        };
        let name = step.name.clone().unwrap_or_else(|| "of a newer program".to_owned());
        vec![step.number.to_string(), name, state.to_owned()]
    });
    output::table(&["MIGRATION", "NAME", "STATE"], rows)
}
