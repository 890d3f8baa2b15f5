//! The function that `wasmway up --example` deploys: by the control API, as anyone would.

use std::path::Path;
use std::process;
use std::time::Duration;

use anyhow::Context;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use wasmway_registry::{FunctionName, Namespace};

use crate::api::Function;
use crate::cli::Globals;
use crate::client::Client;
use crate::commands::deploy::WASM;
use crate::failure::Failure;
use crate::output;

/// The example in `examples/`, built.
const COMPONENT: &[u8] = include_bytes!("../../../examples/prebuilt/hello.wasm");

const NAME: &str = "hello";

/// How often to look whether the platform is up.
const POLL: Duration = Duration::from_millis(20);

/// What the platform writes to `run.json`, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Running {
    pid: u32,
}

/// Deploys the example once the platform of this process is up, unless a function has its name; prints how to call it.
pub(super) async fn deploy(globals: &Globals, data_dir: &Path) -> Result<(), Failure> {
    started(data_dir).await;
    // Whatever server the options name, the example goes to this one.
    let globals = Globals {
        output: globals.output,
        namespace: Namespace::default(),
        server: None,
        token: None,
        data_dir: crate::settings::DataDir { data_dir: data_dir.to_owned() },
    };
    let client = Client::new(&globals)?;
    let name: FunctionName = NAME.parse().context("the example's name is no name")?;
    let function: Function = match client.json(client.function(Method::GET, &name, "")).await {
        Err(Failure::Refused(problem)) if problem.code == "unknown-function" => {
            let request = client.function(Method::PUT, &name, "").header(CONTENT_TYPE, WASM).body(COMPONENT);
            client.json(request).await?
        }
        there => there?,
    };
    output::line(format_args!("example       curl {}", function.url))
}

/// Waits for this process's own `run.json`; one that a killed process left behind names another.
pub(crate) async fn started(data_dir: &Path) {
    let run_file = data_dir.join("run.json");
    loop {
        let text = tokio::fs::read(&run_file).await.unwrap_or_default();
        if serde_json::from_slice::<Running>(&text).is_ok_and(|running| running.pid == process::id()) {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}
