//! `wasmway deploy`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use wasmway_registry::FunctionName;

use super::upload::Upload;
use crate::api::Function;
use crate::cli::Globals;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::project::{Project, ProjectManifest};

/// Media type of a component.
pub(crate) const WASM: &str = "application/wasm";

/// Deploy a component as a new version of a function
///
/// PATH is a component, a wasmway.toml, or a folder with one. A component takes along the wasmway.toml beside it.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  wasmway deploy hello.wasm\n  wasmway deploy target/wasm32-wasip2/release/my_shop.wasm --name shop\n  wasmway deploy my-project/"
)]
pub(crate) struct Deploy {
    /// Component, wasmway.toml or project folder
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Name of the function [default: the manifest's, else the component's file name]
    #[arg(long)]
    name: Option<FunctionName>,
}

pub(crate) async fn run(arguments: Deploy, globals: &Globals) -> Result<(), Failure> {
    let project = Project::find(&arguments.path)?;
    let name = project.name(arguments.name.as_ref())?;
    let client = Client::new(globals)?;
    let upload = Upload::open(&project.component).await?;
    let progress = upload.progress.clone();
    let request = with_content(client.function(Method::PUT, &name, ""), upload, project.manifest)?;
    let answered = client.send(request).await;
    progress.finish_and_clear();

    let response = answered?;
    let created = response.status() == StatusCode::CREATED;
    let answer: Value = response.json().await.context("cannot read the platform's answer")?;
    if globals.output == Format::Json {
        return output::json(&answer);
    }
    let function: Function = serde_json::from_value(answer).map_err(anyhow::Error::new)?;
    let same = if created { "" } else { "  (the same content as before)" };
    output::line(format_args!("deployed {} v{}  {}{same}", function.name, function.version, function.url))
}

/// A component alone is the body; with a manifest, both are parts of a form.
fn with_content(
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
