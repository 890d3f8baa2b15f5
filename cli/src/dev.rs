//! `wasmway dev`: a platform for one project, which is built and deployed again whenever one of its files changes.

mod build;
mod events;
mod folder;
mod ignored;
mod screen;
mod seen;
mod source;
mod turn;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use wasmway_gateway::{AccessLogForm, Role};
use wasmway_registry::FunctionName;

use crate::cli::Globals;
use crate::failure::Failure;
use crate::settings::{DataDir, Origin, Resolved, ServerArguments};
use crate::up;
pub(crate) use folder::NAME as FOLDER;
use screen::Screen;
use source::Source;
use turn::Turns;
use watch::Watcher;

/// Serve a project while you write it: build, deploy, and again at every change
///
/// Runs the platform of `wasmway up` with the limits of production, builds the project by the [build] command of its
/// wasmway.toml, deploys it, and does so again when a file of it changes. What .gitignore names is not watched. The
/// function's output and a line for each request are printed. A build that fails leaves the version before in place.
///
/// On loopback the control plane asks for no token. What is deployed is kept in .wasmway/ of the project, which is emptied
/// at a start that finds more than 2 GiB in it.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  wasmway dev\n  wasmway dev my-project/ --listen 127.0.0.1:3000\n  wasmway dev hello.wasm"
)]
pub(crate) struct Dev {
    /// Project folder, wasmway.toml, or a component that something else builds
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Name of the function [default: the manifest's, else the component's file name]
    #[arg(long)]
    name: Option<FunctionName>,
    /// Open the control plane in the browser
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    server: ServerArguments,
}

/// Time that requests under way get at the end, unless a setting says otherwise: a developer does not wait.
const DRAIN: Duration = Duration::from_secs(1);

/// Serves the project until it is told to stop.
pub(crate) fn run(arguments: Dev, resolved: &[Resolved], globals: &Globals) -> Result<(), Failure> {
    let source = Source::at(&arguments.path)?;
    let mut settings = arguments.server.settings;
    if settings.registry.is_some() {
        return Err(anyhow!("`wasmway dev` has a registry of its own; leave --registry out").into());
    }
    let is_default = |name| resolved.iter().any(|setting| setting.name == name && setting.origin == Origin::Default);
    if is_default("data-dir") {
        settings.data_dir = DataDir { data_dir: folder::prepare(source.root())? };
    }
    if is_default("dev") {
        settings.dev = settings.control.ip().is_loopback();
    }
    if is_default("drain-timeout") {
        settings.drain_timeout = DRAIN;
    }
    let screen = Screen::default();
    events::start(&screen, settings.log_level.clone(), is_default("log-level"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.workers)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let session = Session {
        source,
        name: arguments.name,
        open: arguments.open,
        globals: Globals {
            output: globals.output,
            namespace: globals.namespace.clone(),
            // Whatever platform the options name, this one is deployed to.
            server: None,
            token: None,
            data_dir: settings.data_dir.clone(),
        },
        screen,
    };
    runtime.block_on(session.run(up::config(Role::All, settings, AccessLogForm::Events)?))?;
    Ok(())
}

struct Session {
    source: Source,
    name: Option<FunctionName>,
    open: bool,
    globals: Globals,
    screen: Screen,
}

impl Session {
    async fn run(self, config: wasmway_gateway::Config) -> anyhow::Result<()> {
        let stop = CancellationToken::new();
        let mut platform = Box::pin(wasmway_gateway::run(config, stop.clone().cancelled_owned()));
        let told = stop.clone();
        let screen = self.screen.clone();
        tokio::spawn(async move {
            told_to_stop().await;
            screen.note("stopping", "press Ctrl-C again to stop at once");
            told.cancel();
        });
        tokio::select! {
            ended = &mut platform => return ended,
            // It goes on until something fails that no edit mends.
            failed = self.develop() => failed.map_err(anyhow::Error::new)?,
            // With the development a build ends that is under way.
            () = stop.cancelled() => {}
        }
        platform.await
    }

    async fn develop(self) -> Result<(), Failure> {
        let Self { source, name, open, globals, screen } = self;
        up::started(&globals.data_dir.data_dir).await;
        let mut watcher = Watcher::start(&source)?;
        let mut turns = Turns::new(&globals, name, screen.clone())?;
        if open {
            turns.open_browser();
        }
        let mut restarts = 0;
        loop {
            let plan = source.plan();
            if let Ok(plan) = &plan {
                watcher.follow(plan)?;
            }
            tokio::select! {
                () = turns.take(plan) => {}
                // What is being built is old. A build that changes its own sources would never end.
                changed = watcher.interruption(), if restarts < RESTARTS_MAX => {
                    restarts += 1;
                    screen.note("changed", format_args!("{}; starting over", source.names(&changed?)));
                    continue;
                }
            }
            restarts = 0;
            let changed = watcher.change().await?;
            screen.note("changed", source.names(&changed));
            if watcher.is_restless() {
                screen.note("hint", "it changes during every build; if the build writes it, name it in .gitignore");
            }
        }
    }
}

/// How often in a row a build is given up for a newer one.
const RESTARTS_MAX: u32 = 3;

/// Resolves when the process is to stop: at Ctrl-C, at SIGTERM, or when the terminal is closed.
async fn told_to_stop() {
    let Ok(mut closed) = signal(SignalKind::hangup()) else { return up::requested().await };
    tokio::select! {
        () = up::requested() => {}
        _ = closed.recv() => {}
    }
}
