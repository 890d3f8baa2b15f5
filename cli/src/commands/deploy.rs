//! `wasmway deploy`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use wasmway_registry::FunctionName;

use super::upload::Upload;
use super::{build, nodes, plan};
use crate::api::Function;
use crate::cli::Globals;
use crate::client::Client;
use crate::component::Component;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::project::{Project, ProjectManifest};
use crate::settings::lasting;

/// Media type of a component.
pub(crate) const WASM: &str = "application/wasm";

/// Deploy a component as a new version of a function
///
/// PATH is a component, a wasmway.toml, or a folder with one. A component takes along the wasmway.toml beside it.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  wasmway deploy hello.wasm\n  wasmway deploy target/wasm32-wasip2/release/my_shop.wasm --name shop\n  wasmway deploy my-project/ --build"
)]
pub(crate) struct Deploy {
    /// Component, wasmway.toml or project folder
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Name of the function [default: the manifest's, else the component's file name]
    #[arg(long)]
    name: Option<FunctionName>,
    /// Percent of the function's requests that the new version gets; the active one keeps the others
    #[arg(long, value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=100))]
    traffic: u32,
    /// Build it first, as `wasmway build` does
    #[arg(long)]
    build: bool,
    /// Show what would change, and deploy nothing
    #[arg(long)]
    plan: bool,
    /// Refuse to deploy what would let the function do or use more than it can now
    #[arg(long, value_name = "WHAT", value_enum)]
    require_approval: Option<Approval>,
    /// The growth that is refused otherwise is wanted
    #[arg(long, requires = "require_approval")]
    approve: bool,
    /// Wait until every gateway of a fleet serves it
    #[arg(long)]
    wait: bool,
    /// How long to wait at most
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = lasting("1s", "1h"))]
    wait_timeout: Duration,
}

/// What a deploy needs approval for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Approval {
    /// Imports, origins, routes and limits that the version before did not have.
    Capabilities,
}

pub(crate) async fn run(arguments: Deploy, globals: &Globals) -> Result<(), Failure> {
    let project = if arguments.build { build::build(&arguments.path)? } else { Project::find(&arguments.path)? };
    let name = project.name(arguments.name.as_ref())?;
    // What the platform would refuse is said before anything is sent.
    Component::read(&project.component)?;
    let client = Client::new(globals)?;
    if arguments.plan || (arguments.require_approval.is_some() && !arguments.approve) {
        let answer = plan::ask(&client, &name, &project).await?;
        if arguments.plan {
            plan::show(&name, &answer, globals.output)?;
        }
        if arguments.require_approval.is_some() && !arguments.approve {
            plan::refuse_growth(&answer)?;
        }
        if arguments.plan {
            return Ok(());
        }
    }
    let upload = Upload::open(&project.component).await?;
    let progress = upload.progress.clone();
    let request = client.function(Method::PUT, &name, "").query(&[("traffic", arguments.traffic)]);
    let request = with_content(request, upload, project.manifest)?;
    let answered = client.send(request).await;
    progress.finish_and_clear();

    let response = answered?;
    let created = response.status() == StatusCode::CREATED;
    let answer: Value = response.json().await.context("cannot read the platform's answer")?;
    let function: Function = serde_json::from_value(answer.clone()).map_err(anyhow::Error::new)?;
    let nodes = match arguments.wait {
        true => nodes::wait(&client, &function, arguments.wait_timeout).await?,
        false => 0,
    };
    if globals.output == Format::Json {
        return output::json(&answer);
    }
    let same = if created { "" } else { "  (the same content as before)" };
    let version = function.deployed_version.unwrap_or(function.version);
    let traffic = match (&function.traffic, version == function.version) {
        (Some(traffic), _) => format!("  ({traffic})"),
        (None, true) => String::new(),
        (None, false) => format!("  (no requests yet; v{} has them all)", function.version),
    };
    let served = if nodes > 0 { format!("  on {nodes} nodes") } else { String::new() };
    output::line(format_args!("deployed {} v{version}  {}{traffic}{same}{served}", function.name, function.url))?;
    match &function.preview_url {
        Some(url) => output::line(format_args!("v{version} alone: {url}")),
        None => Ok(()),
    }
}

/// A component alone is the body; with a manifest, both are parts of a form.
pub(crate) fn with_content(
    request: RequestBuilder,
    upload: Upload,
    manifest: Option<ProjectManifest>,
) -> Result<RequestBuilder, Failure> {
    let Some(manifest) = manifest else {
        return Ok(request
            .header(CONTENT_TYPE, WASM)
            // A stream has no length of its own; with it, a component that is too large is refused unread.
            .header(CONTENT_LENGTH, upload.length)
            .body(upload.body));
    };
    let part = |part: Part, media_type| part.mime_str(media_type).context("a media type is wrong");
    let manifest = part(Part::text(manifest.text).file_name("wasmway.toml"), "application/toml")?;
    let component = part(Part::stream_with_length(upload.body, upload.length).file_name("component.wasm"), WASM)?;
    Ok(request.multipart(Form::new().part("manifest", manifest).part("component", component)))
}
