//! `wasmway record`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use reqwest::Method;
use serde_json::json;
use wasmway_registry::{Digest, FunctionName};

use crate::api::{CaptureSummary, RecordingView};
use crate::cli::Globals;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::up;

/// Record the next calls of a function, with all that goes into their sandboxes, for `wasmway replay`
///
/// Of each call, the request, what the clocks and the random numbers said, the answers to outbound requests and the result
/// become a file. Headers, query parameters and variables of the environment whose names are those of secrets are replaced by
/// placeholders; bodies are not. Recording needs a token that may deploy, and is in the audit log.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  wasmway record hello --next 20\n  wasmway record shop --failing --next 5 --to captures\n  wasmway record shop --keep-header cookie"
)]
pub(crate) struct Record {
    name: FunctionName,
    /// How many calls
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    next: u32,
    /// Only calls that fail, or are answered with a status of 500 or above
    #[arg(long)]
    failing: bool,
    /// Header to keep as it is; may be given more than once
    #[arg(long = "keep-header", value_name = "NAME")]
    keep_headers: Vec<String>,
    /// Query parameter to keep as it is; may be given more than once
    #[arg(long, value_name = "NAME")]
    keep_query: Vec<String>,
    /// Variable of the function's environment to keep as it is; may be given more than once
    #[arg(long, value_name = "NAME")]
    keep_env: Vec<String>,
    /// Folder for the captures, and for the components that ran
    #[arg(long, value_name = "DIR", default_value = ".")]
    to: PathBuf,
    /// End the recording that is under way, whoever began it, and forget it
    #[arg(long)]
    stop: bool,
}

/// Seconds that the server lets us wait for a capture.
const WAIT_S: u64 = 10;

pub(crate) async fn run(arguments: Record, globals: &Globals) -> Result<(), Failure> {
    let client = Client::new(globals)?;
    if arguments.stop {
        client.send(client.function(Method::DELETE, &arguments.name, "/recording")).await?;
        return output::line(format_args!("the recording of {} is ended", arguments.name));
    }
    fs::create_dir_all(&arguments.to).with_context(|| format!("cannot make {}", arguments.to.display()))?;
    let keep = json!({ "headers": arguments.keep_headers, "query": arguments.keep_query, "env": arguments.keep_env });
    let wanted = json!({ "next": arguments.next, "failing": arguments.failing, "keep": keep });
    let begin = client.function(Method::POST, &arguments.name, "/recording").json(&wanted);
    let begun: RecordingView = client.json(begin).await?;
    let Record { next, failing, name, .. } = &arguments;
    let calls = if *next == 1 { "call".to_owned() } else { format!("{next} calls") };
    let that_fail = match (failing, next) {
        (false, _) => "",
        (true, 1) => " that fails",
        (true, _) => " that fail",
    };
    eprintln!("recording the next {calls} of {name}{that_fail}; Ctrl-C ends it");
    let mut session =
        Session { client: &client, name, to: &arguments.to, format: globals.output, id: &begun.id, had: 0 };
    let taken = session.take_all(up::requested()).await;
    // Whatever became of it: what people have sent stays there no longer than it must. It may be gone by itself.
    let ended = client.send(client.function(Method::DELETE, name, "/recording")).await;
    taken?;
    match ended {
        Err(Failure::Refused(problem)) if problem.code == "unknown-recording" => Ok(()),
        ended => ended.map(drop),
    }
}

/// A recording that is under way.
struct Session<'a> {
    client: &'a Client,
    name: &'a FunctionName,
    to: &'a Path,
    format: Format,
    id: &'a str,
    /// Captures that are in files.
    had: usize,
}

impl Session<'_> {
    /// Takes captures as they come, until there are all that were wanted or somebody says stop.
    async fn take_all(&mut self, stop: impl Future<Output = ()>) -> Result<(), Failure> {
        tokio::pin!(stop);
        let mut stopped = false;
        loop {
            let wait = if stopped { 0 } else { WAIT_S };
            let view = tokio::select! {
                biased;
                () = &mut stop, if !stopped => {
                    stopped = true;
                    continue;
                }
                view = self.look(wait) => view?,
            };
            for capture in &view.captures {
                self.keep(capture).await?;
            }
            if stopped || view.progress == "done" {
                if view.passed_over > 0 {
                    eprintln!(
                        "{} more calls were not captured: too much at once, or their clients left",
                        view.passed_over
                    );
                }
                return Ok(());
            }
        }
    }

    async fn look(&self, wait: u64) -> Result<RecordingView, Failure> {
        let look = self.client.function(Method::GET, self.name, "/recording");
        let view: RecordingView = self.client.json(look.query(&[("after", self.had as u64), ("wait", wait)])).await?;
        if view.id == self.id {
            return Ok(view);
        }
        Err(anyhow!("somebody has ended the recording, and begun another").into())
    }

    /// Makes files of a capture and of the component that ran.
    async fn keep(&mut self, capture: &CaptureSummary) -> Result<(), Failure> {
        let below = format!("/recording/captures/{}", capture.number);
        let response = self.client.send(self.client.function(Method::GET, self.name, &below)).await?;
        let json = response.bytes().await.context("the capture broke off")?;
        let file = self.write(&format!("{}-{}", self.name, plain(&capture.request_id)), &json)?;
        self.had += 1;
        self.keep_component(capture).await?;
        if self.format == Format::Json {
            let line = json!({ "file": file, "capture": capture });
            return output::line(line);
        }
        let CaptureSummary { method, path, status, outcome, bytes, .. } = capture;
        let size = output::size(*bytes);
        output::line(format_args!("{}  {method} {path}  {status} {outcome}  {size}", file.display()))?;
        for what in &capture.truncated {
            output::line(format_args!("  there was no room for all of {what}: a replay cannot go beyond it"))?;
        }
        Ok(())
    }

    /// Writes a new file that nobody else may read; one of that name is left as it is.
    fn write(&self, stem: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
        for number in 1.. {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            let path = self.to.join(format!("{stem}{suffix}.json"));
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            let written = match made {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made.and_then(|mut file| file.write_all(bytes)),
            };
            written.with_context(|| format!("cannot write {}", path.display()))?;
            return Ok(path);
        }
        unreachable!("there is always another number")
    }

    /// Keeps the component that ran beside its captures, once.
    async fn keep_component(&self, capture: &CaptureSummary) -> Result<(), Failure> {
        let digest: Digest = capture.digest.parse().map_err(anyhow::Error::new)?;
        let path = self.to.join(component_name(&digest));
        if path.exists() {
            return Ok(());
        }
        let below = format!("/versions/{}/component", capture.version);
        let response = self.client.send(self.client.function(Method::GET, self.name, &below)).await?;
        let component = response.bytes().await.context("the component broke off")?;
        if Digest::of(&component) != digest {
            return Err(anyhow!("version {} is not the component {digest} any more", capture.version).into());
        }
        fs::write(&path, component).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(())
    }
}

/// The name of a component's file beside its captures.
pub(super) fn component_name(digest: &Digest) -> String {
    format!("{}.wasm", &digest.hex()[..16])
}

/// A request's id as a part of a file's name.
fn plain(id: &str) -> String {
    let plain = |it: char| if it.is_ascii_alphanumeric() || it == '-' || it == '_' { it } else { '-' };
    id.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_id_leads_out_of_no_folder() {
        assert_eq!(plain("019a91c2-77b0"), "019a91c2-77b0");
        assert_eq!(plain("../../etc/passwd"), "------etc-passwd");
    }
}
