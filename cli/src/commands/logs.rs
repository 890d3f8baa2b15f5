//! `wasmway logs`.

use anyhow::Context;
use clap::{Args, ValueEnum};
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

/// Print what a function wrote to its standard output and error, and why calls of it failed
///
/// A line has its time, level, version, the id of its request and the text. Standard output is of the level info, standard
/// error warn; what the platform says of a call that failed is error.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  wasmway logs hello --follow --tail 20\n  wasmway logs hello --since 10m --level warn -o json\n  wasmway logs hello --request 019a91c2-77b0-7ab0-a2fe-4b1d1f4c6a55"
)]
pub(crate) struct Logs {
    name: FunctionName,
    /// Go on with new lines as they are written
    #[arg(short, long)]
    follow: bool,
    /// At most so many of the latest lines [default: 100; all that are kept with --since or --request]
    #[arg(long, value_name = "N")]
    tail: Option<u32>,
    /// Lines since then: a length of time such as 10m, or a moment such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Lines of this level or above
    #[arg(long, value_enum)]
    level: Option<Level>,
    /// Lines of the call with this id: the x-request-id of its answer
    #[arg(long, value_name = "ID")]
    request: Option<String>,
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    Info,
    Warn,
    Error,
}

pub(crate) async fn run(arguments: Logs, globals: &Globals) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    let level = arguments.level.and_then(|level| level.to_possible_value());
    let conditions = [
        ("tail", arguments.tail.map(|tail| tail.to_string())),
        ("since", arguments.since),
        ("level", level.map(|level| level.get_name().to_owned())),
        ("request", arguments.request),
    ];
    let conditions: Vec<_> = conditions.into_iter().filter(|(_, value)| value.is_some()).collect();
    let request = client.function(Method::GET, &arguments.name, "/logs");
    let request = request.query(&conditions).query(&[("follow", arguments.follow)]);
    let response = client.send(request).await?;
    let mut lines = StreamReader::new(response.bytes_stream().map_err(std::io::Error::other)).lines();
    while let Some(line) = lines.next_line().await.context("the log broke off")? {
        match globals.output {
            Format::Json => output::line(line)?,
            Format::Text => {
                let LogLine { time, level, version, request_id, message, .. } =
                    serde_json::from_str(&line).context("cannot read a line of the log")?;
                output::line(format_args!("{time:.3}  {level:<5}  v{version}  {request_id}  {message}"))?;
            }
        }
    }
    Ok(())
}
