//! Drives the real binary: starts it on a data directory of its own, deploys guests to it and calls them.
//!
//! ```ignore
//! let platform = Platform::start().await;
//! platform.deploy("hello").await;
//! platform.get("/hello/").await.expect(200).expect_text("Hello from Wasmway!\n");
//! ```

mod answer;
mod call;
mod clients;
mod components;
mod deploy;
mod memory;
mod metrics;
mod neighbour;
mod process;
mod receiver;
mod server;
mod wire;

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::Value;

pub(crate) use answer::Answer;
use call::Call;
pub(crate) use clients::{with_kept_connection, with_new_connections};
pub(crate) use components::{compile_bomb, empty_component, example, guest, importing};
use deploy::Deploy;
pub(crate) use memory::Memory;
use metrics::Metrics;
pub(crate) use neighbour::{Neighbour, Served};
pub(crate) use process::binary;
use process::{Process, Start};
pub(crate) use receiver::{Receiver, Refusal, Span};
pub(crate) use server::{Server, http_client};
pub(crate) use wire::{Wire, WireBody, body_of, http1, http2};

/// How long to wait for what happens soon on any machine, however busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A platform of a test's own, gone when it is dropped. Everything that can be asked of a [`Server`] can be asked of it.
pub(crate) struct Platform {
    // Before the folder that it runs in: dropped in this order.
    process: Process,
    home: tempfile::TempDir,
    start: Start,
    token: Option<String>,
    server: Server,
}

/// A platform that is about to start.
#[derive(Default)]
pub(crate) struct Builder {
    start: Start,
    /// In place of the one that is in its data directory.
    token: Option<String>,
}

impl Builder {
    /// Runs `wasmway ROLE` in place of `wasmway up`.
    pub(crate) fn role(mut self, role: &'static str) -> Self {
        self.start.role = Some(role);
        self
    }

    /// One more argument of its.
    pub(crate) fn arg(mut self, argument: impl Into<String>) -> Self {
        self.start.arguments.push(argument.into());
        self
    }

    /// Starts it by a shell, which first runs these commands; `$DATA` is the data directory.
    pub(crate) fn after(mut self, commands: &str) -> Self {
        self.start.shell = Some(commands.to_owned());
        self
    }

    /// One more variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.start.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The token that its administrator shows.
    pub(crate) fn with_token(mut self, token: String) -> Self {
        self.token = Some(token);
        self
    }

    pub(crate) async fn start(self) -> Platform {
        let home = tempfile::tempdir().unwrap();
        let process = Process::start(&data_dir(&home), &self.start).await;
        let server = process.server(self.token.as_deref());
        Platform { process, home, start: self.start, token: self.token, server }
    }
}

fn data_dir(home: &tempfile::TempDir) -> PathBuf {
    home.path().join("data")
}

impl std::ops::Deref for Platform {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Platform {
    /// A platform with the default settings.
    pub(crate) async fn start() -> Self {
        Self::builder().start().await
    }

    pub(crate) fn builder() -> Builder {
        Builder::default()
    }

    /// The data directory.
    pub(crate) fn folder(&self) -> PathBuf {
        data_dir(&self.home)
    }

    /// A folder for a test's own files.
    pub(crate) fn scratch(&self) -> &Path {
        self.home.path()
    }

    /// `host:port` of the data plane over TLS.
    pub(crate) fn tls_address(&self) -> &str {
        self.process.run().tls.strip_prefix("https://").unwrap()
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    pub(crate) fn process_mut(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Stops it with SIGTERM and waits for its end.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.process.ask_to_stop();
        self.process.ended().await
    }

    /// Stops it with SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.process.kill();
        self.process.ended().await;
    }

    /// Starts it again on the same data directory; it must have ended.
    pub(crate) async fn start_again(&mut self) {
        self.process = Process::start(&self.folder(), &self.start).await;
        self.server = self.process.server(self.token.as_deref());
    }

    /// Lines of the process's own log.
    pub(crate) fn journal(&self) -> Vec<Value> {
        self.process.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// Asks again and again until there is an answer; fails when there is none in `limit`.
pub(crate) async fn eventually<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = tokio::time::Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < end, "waited {limit:?} for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A port that nobody has at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
