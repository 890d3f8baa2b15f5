//! One turn: build, deploy, and say what came of it.

use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use reqwest::Method;
use wasmway_registry::FunctionName;

use super::build;
use super::screen::Screen;
use super::source::Plan;
use crate::api::Function;
use crate::cli::Globals;
use crate::client::Client;
use crate::commands::deploy::with_content;
use crate::commands::upload::Upload;
use crate::failure::Failure;
use crate::output;
use crate::project::Project;

/// A deploy that takes longer says what it is at.
const LONG: Duration = Duration::from_millis(500);

pub(super) struct Turns {
    client: Client,
    screen: Screen,
    /// The name that was asked for.
    asked: Option<FunctionName>,
    /// The name that the manifest said last.
    name: Option<FunctionName>,
}

impl Turns {
    pub(super) fn new(globals: &Globals, asked: Option<FunctionName>, screen: Screen) -> Result<Self, Failure> {
        Ok(Self { client: Client::new(globals)?, screen, name: asked.clone(), asked })
    }

    /// Opens the page of the control plane.
    pub(super) fn open_browser(&self) {
        let page = self.client.server();
        if let Err(error) = open::that_detached(page.as_str()) {
            self.screen.odd("open", format_args!("no browser could be opened ({error}); the page is {page}"));
        }
    }

    /// Does what is to be done. Dropped in the middle, it ends the build that is under way.
    pub(super) async fn take(&mut self, plan: anyhow::Result<Plan>) {
        let done = match plan {
            Ok(plan) => self.build_and_deploy(plan).await,
            Err(error) => Err(Failure::Other(error)),
        };
        if let Err(failure) = done {
            self.screen.bad("error", format_args!("{failure:#}"));
            self.screen.note("", self.what_is_served().await);
        }
    }

    async fn build_and_deploy(&mut self, Plan { project, command }: Plan) -> Result<(), Failure> {
        let name = project.name(self.asked.as_ref())?;
        self.name = Some(name.clone());
        if let Some(command) = &command {
            self.screen.note("building", command);
            let started = Instant::now();
            let status = build::run(command, &project.folder).await?;
            let took = output::time(started.elapsed().as_micros() as u64);
            if !status.success() {
                return Err(anyhow!("the build failed after {took} ({status})").into());
            }
            self.screen.note("built", format_args!("in {took}"));
        }
        if !project.component.is_file() {
            let made = if command.is_some() { "; set `component` in [build] to what the command makes" } else { "" };
            return Err(anyhow!("{} is not there{made}", project.component.display()).into());
        }
        let started = Instant::now();
        let function = self.deploy(&name, project).await?;
        let took = output::time(started.elapsed().as_micros() as u64);
        let compile =
            function.compile_ms.map_or_else(String::new, |ms| format!(", compiled in {}", output::time(ms * 1000)));
        let Function { name, version, url, .. } = function;
        self.screen.good("serving", format_args!("{name} v{version}  {url}  (deployed in {took}{compile})"));
        Ok(())
    }

    async fn deploy(&self, name: &FunctionName, project: Project) -> Result<Function, Failure> {
        let upload = Upload::open(&project.component).await?;
        let size = output::size(upload.length);
        let _shown = self.screen.with_bar(upload.progress.clone());
        let request = with_content(self.client.function(Method::PUT, name, ""), upload, project.manifest)?;
        let mut deployed = Box::pin(self.client.json(request));
        tokio::select! {
            deployed = &mut deployed => deployed,
            () = tokio::time::sleep(LONG) => {
                self.screen.note("compiling", format_args!("{size}; a large component takes some seconds"));
                deployed.await
            }
        }
    }

    /// What a failed turn leaves in place.
    async fn what_is_served(&self) -> String {
        match self.served().await {
            Ok(version) => format!("v{version} goes on serving"),
            Err(_) => "nothing is served yet".to_owned(),
        }
    }

    async fn served(&self) -> anyhow::Result<u32> {
        let Some(name) = &self.name else { bail!("nothing was deployed") };
        let function: Function = self.client.json(self.client.function(Method::GET, name, "")).await?;
        Ok(function.version)
    }
}
