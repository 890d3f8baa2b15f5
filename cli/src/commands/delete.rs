//! `wasmway delete`.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use clap::Args;
use reqwest::Method;
use wasmway_registry::FunctionName;

use crate::cli::Globals;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};

/// Delete a function with all of its versions
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wasmway delete hello --yes")]
pub(crate) struct Delete {
    name: FunctionName,
    /// Delete without asking
    #[arg(short, long)]
    yes: bool,
}

pub(crate) async fn run(arguments: Delete, globals: &Globals) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    if !arguments.yes && !confirmed(&arguments.name, globals)? {
        return Err(Failure::Other(anyhow::anyhow!("nothing was deleted")));
    }
    client.send(client.function(Method::DELETE, &arguments.name, "")).await?;
    match globals.output {
        // The API answers with no content.
        Format::Json => Ok(()),
        Format::Text => output::line(format_args!("deleted {}", arguments.name)),
    }
}

/// Asks whether to go on; without a person at a terminal there is nobody to ask.
fn confirmed(name: &FunctionName, globals: &Globals) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::Usage(
            "there is no terminal to ask on; say --yes to delete without a question".to_owned(),
        ));
    }
    eprint!("Delete {name} in namespace {} with all of its versions? [y/N] ", globals.namespace);
    io::stderr().flush().context("cannot ask on the terminal")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
