//! `wasmway replay`.

mod difference;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use reqwest::Method;
use serde_json::json;
use wasmway_gateway::{CAPTURE_FORMAT, Capture, Replayed};
use wasmway_registry::{Digest, FunctionName};

use super::record::component_name;
use crate::cli::Globals;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};
use difference::Difference;

/// Run a recorded call once more, offline, and say what differs
///
/// Clocks, random numbers and the answers to outbound requests are those of the recording; no network is touched. The
/// component is the one that was recorded, which is looked for beside the capture and then on the platform, or another one.
///
/// Ends with 0 when the result is the same, with 1 when it differs, and with 2 when it could not be run.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  wasmway replay shop-019a91c2-77b0-7ab0-a2fe-4b1d1f4c6a55.json\n  wasmway replay capture.json target/wasm32-wasip2/release/shop.wasm\n  wasmway replay capture.json --env API_KEY=test -o json"
)]
pub(crate) struct Replay {
    /// File that `wasmway record` made
    capture: PathBuf,
    /// Component to run in place of the one that was recorded
    #[arg(value_name = "COMPONENT")]
    component: Option<PathBuf>,
    /// Variable of the function's environment, in place of what was recorded; may be given more than once
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
}

/// How a replay that could not be run ends.
const NOT_RUN: u8 = 2;
/// How one ends whose result differs.
const DIFFERS: u8 = 1;

/// Bytes of a capture's file: several times what a server makes.
const CAPTURE_BYTES_MAX: u64 = 64 << 20;

pub(crate) fn run(arguments: &Replay, globals: &Globals) -> ExitCode {
    match replay(arguments, globals) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(DIFFERS),
        Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            ExitCode::from(NOT_RUN)
        }
    }
}

/// Whether the result is the same.
fn replay(arguments: &Replay, globals: &Globals) -> Result<bool, Failure> {
    let mut capture = read(&arguments.capture)?;
    for (name, value) in &arguments.env {
        let env = &mut capture.function.env;
        match env.iter_mut().find(|(other, _)| other == name) {
            Some((_, recorded)) => recorded.clone_from(value),
            None => env.push((name.clone(), value.clone())),
        }
    }
    let scratch = tempfile::tempdir().context("cannot make a folder for the native code")?;
    let (component, digest) = match &arguments.component {
        Some(path) => (path.clone(), digest_of(path)?),
        None => recorded_component(arguments, &capture, scratch.path(), globals)?,
    };
    let replayed = wasmway_gateway::replay(&capture, &component, digest, scratch.path())?;
    let is_same_build = digest.to_string() == capture.function.digest;
    let differences = difference::between(&capture, &replayed, is_same_build);
    let is_same = differences.is_empty() && replayed.differences.is_empty();
    match globals.output {
        Format::Json => output::json(&json!({
            "same": is_same,
            "component": digest.to_string(),
            "recorded": { "response": capture.recorded.response, "end": capture.end, "digest": capture.function.digest },
            "replayed": { "response": replayed.response, "end": replayed.end, "output": replayed.output },
            "differences": differences,
            "inputs": replayed.differences,
            "redacted": capture.redacted,
            "truncated": capture.recorded.truncated,
        }))?,
        Format::Text => print(&capture, &replayed, &differences, is_same_build)?,
    }
    Ok(is_same)
}

fn read(path: &Path) -> anyhow::Result<Capture> {
    let cannot_read = || format!("cannot read {}", path.display());
    let bytes = fs::metadata(path).with_context(cannot_read)?.len();
    if bytes > CAPTURE_BYTES_MAX {
        bail!("{} has {bytes} bytes, and a capture at most {CAPTURE_BYTES_MAX}", path.display());
    }
    let text = fs::read(path).with_context(cannot_read)?;
    let format: serde_json::Value =
        serde_json::from_slice(&text).with_context(|| format!("{} is no capture", path.display()))?;
    match format["format"].as_str() {
        Some(CAPTURE_FORMAT) => {}
        Some(other) => bail!("{} is a capture of the format {other}; this is for {CAPTURE_FORMAT}", path.display()),
        None => bail!("{} is no capture: it names no format", path.display()),
    }
    serde_json::from_value(format).with_context(|| format!("{} is no capture", path.display()))
}

fn digest_of(component: &Path) -> anyhow::Result<Digest> {
    let bytes = fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
    Ok(Digest::of(&bytes))
}

/// The component that ran when the call was recorded: from beside the capture, or from the platform.
fn recorded_component(
    arguments: &Replay,
    capture: &Capture,
    scratch: &Path,
    globals: &Globals,
) -> Result<(PathBuf, Digest), Failure> {
    let digest: Digest = capture.function.digest.parse().context("the capture names no component")?;
    let beside = arguments.capture.with_file_name(component_name(&digest));
    if beside.exists() && digest_of(&beside)? == digest {
        return Ok((beside, digest));
    }
    let fetched = crate::block_on(fetch(capture, globals)).map_err(|failure| {
        anyhow!(
            "the recorded component {digest} is neither in {} nor to be had from the platform: {failure}\nname one as the \
             second argument",
            beside.display()
        )
    })?;
    if Digest::of(&fetched) != digest {
        return Err(anyhow!(
            "version {} on the platform is not the recorded component {digest}; name one as the second argument",
            capture.function.version
        )
        .into());
    }
    let path = scratch.join("component.wasm");
    fs::write(&path, fetched).context("cannot keep the component")?;
    Ok((path, digest))
}

async fn fetch(capture: &Capture, globals: &Globals) -> Result<Vec<u8>, Failure> {
    let function = &capture.function;
    let globals = Globals {
        output: globals.output,
        namespace: function.namespace.parse().context("the capture has no namespace's name")?,
        server: globals.server.clone(),
        token: globals.token.clone(),
        data_dir: globals.data_dir.clone(),
    };
    let client = Client::new(&globals)?;
    let name: FunctionName = function.name.parse().context("the capture has no function's name")?;
    let below = format!("/versions/{}/component", function.version);
    let response = client.send(client.function(Method::GET, &name, &below)).await?;
    Ok(response.bytes().await.context("the component broke off")?.into())
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn print(
    capture: &Capture,
    replayed: &Replayed,
    differences: &[Difference],
    is_same_build: bool,
) -> Result<(), Failure> {
    let (function, request) = (&capture.function, &capture.recorded.request);
    let build = if is_same_build { "the recorded component" } else { "another component" };
    output::fields([
        ("call", format!("{} {}", request.method, request.uri)),
        ("recorded", format!("{}  {}", capture.recorded_at, capture.request_id)),
        ("function", format!("{}/{} v{}, {build}", function.namespace, function.name, function.version)),
    ])?;
    output::line("")?;
    output::table(&["", "RECORDED", "REPLAYED", ""], difference::rows(capture, replayed, differences))?;
    for Difference { field, recorded, replayed } in differences {
        if recorded.contains('\n') || replayed.contains('\n') || *field == "body" {
            section(&format!("{field}, recorded"), recorded.lines())?;
            section(&format!("{field}, replayed"), replayed.lines())?;
        }
    }
    section("what it asked for differs", replayed.differences.iter().map(String::as_str))?;
    let output: Vec<_> = replayed.output.iter().map(|(stream, text)| format!("{stream}  {text}")).collect();
    section("it wrote", output.iter().map(String::as_str))?;
    section("placeholders stand for", capture.redacted.iter().map(String::as_str))?;
    section("the capture has not all of", capture.recorded.truncated.iter().map(String::as_str))?;
    let is_same = differences.is_empty() && replayed.differences.is_empty();
    output::line(if is_same { "\nthe same" } else { "\nit differs" })
}

fn section<'a>(name: &str, lines: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return Ok(());
    }
    output::line(format_args!("\n{name}"))?;
    lines.try_for_each(|line| output::line(format_args!("  {line}")))
}
