//! `wasmway logs`.

use anyhow::Context;
use clap::Args;
use futures::TryStreamExt;
use reqwest::Method;
use tokio::io::AsyncBufReadExt;
use tokio_util::io::StreamReader;
use wasmway_registry::FunctionName;

use crate::api::LogLine;
use crate::cli::Globals;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};

/// Print what a function wrote to its standard output and error
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wasmway logs hello --follow --tail 20")]
pub(crate) struct Logs {
    name: FunctionName,
    /// Go on with new lines as they are written
    #[arg(short, long)]
    follow: bool,
    /// Lines from the past to begin with
    #[arg(long, value_name = "N", default_value_t = 100)]
    tail: u32,
}

pub(crate) async fn run(arguments: Logs, globals: &Globals) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    let request = client
        .function(Method::GET, &arguments.name, "/logs")
        .query(&[("tail", arguments.tail.to_string()), ("follow", arguments.follow.to_string())]);
    let response = client.send(request).await?;
    let mut lines = StreamReader::new(response.bytes_stream().map_err(std::io::Error::other)).lines();
    while let Some(line) = lines.next_line().await.context("the log broke off")? {
        match globals.output {
            Format::Json => output::line(line)?,
            Format::Text => {
                let LogLine { time, stream, version, message } =
                    serde_json::from_str(&line).context("cannot read a line of the log")?;
                output::line(format_args!(
                    "{time:.3}  v{version}  {stream}  {}",
                    message.trim_end_matches(['\r', '\n'])
                ))?;
            }
        }
    }
    Ok(())
}
