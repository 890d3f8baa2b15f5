//! Drives the real binary: starts it on a data directory of its own, deploys guests to it and calls them.
//!
//! ```ignore
//! let platform = Platform::start().await;
//! platform.deploy("hello").await;
//! platform.get("/hello/").await.expect(200).expect_text("Hello from Wasmway!\n");
//! ```

mod answer;
mod call;
mod components;
mod deploy;
mod metrics;
mod neighbour;
mod process;
mod wire;

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use answer::Answer;
use call::Call;
pub(crate) use components::{compile_bomb, empty_component, example, guest, importing};
use deploy::Deploy;
use metrics::Metrics;
pub(crate) use neighbour::Neighbour;
use process::Process;
pub(crate) use process::binary;
pub(crate) use wire::{Wire, WireBody, body_of, http1, http2};

/// How long to wait for what happens soon on any machine, however busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A platform of a test's own, gone when it is dropped.
pub(crate) struct Platform {
    // Before the folder that it runs in: dropped in this order.
    process: Process,
    home: tempfile::TempDir,
    arguments: Vec<String>,
    http: reqwest::Client,
}

/// A platform that is about to start.
#[derive(Default)]
pub(crate) struct Builder {
    arguments: Vec<String>,
}

impl Builder {
    /// One more argument of `wasmway up`.
    pub(crate) fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) async fn start(self) -> Platform {
        let home = tempfile::tempdir().unwrap();
        let process = Process::start(&data_dir(&home), &self.arguments).await;
        Platform { process, home, arguments: self.arguments, http: http_client() }
    }
}

fn data_dir(home: &tempfile::TempDir) -> PathBuf {
    home.path().join("data")
}

fn http_client() -> reqwest::Client {
    // An error says that another test has installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
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

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    pub(crate) fn process_mut(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The token of its administrator.
    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.folder().join("admin.token")).unwrap().trim().to_owned()
    }

    /// `host:port` of the data plane.
    pub(crate) fn data_address(&self) -> &str {
        self.process.run().data.strip_prefix("http://").unwrap()
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
        self.process = Process::start(&self.folder(), &self.arguments).await;
    }

    /// A request to the data plane; `path` begins with a slash.
    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        Call::new(&self.http, method, format!("{}{path}", self.process.run().data))
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Call {
        self.call(Method::POST, path).body(body)
    }

    /// A request to the control plane without a token.
    pub(crate) fn control(&self, method: Method, path: &str) -> Call {
        Call::new(&self.http, method, format!("{}{path}", self.process.run().control))
    }

    /// A request to the control API; `path` is what comes after `/api/v1`.
    pub(crate) fn api(&self, method: Method, path: &str) -> Call {
        let token = self.token();
        self.control(method, &format!("/api/v1{path}")).header("authorization", &format!("Bearer {token}"))
    }

    /// The function as the control API shows it.
    pub(crate) async fn function(&self, name: &str) -> Value {
        self.api(Method::GET, &format!("/functions/{name}")).await.expect(200).json()
    }

    /// Deploys a guest under its own name.
    pub(crate) fn deploy(&self, name: &str) -> Deploy<'_> {
        Deploy::new(self, name, guest(name))
    }

    /// Deploys a guest under its own name with a manifest.
    pub(crate) fn deploy_with(&self, name: &str, manifest: &str) -> Deploy<'_> {
        self.deploy(name).manifest(manifest)
    }

    /// Deploys any bytes.
    pub(crate) fn upload(&self, name: &str, component: impl Into<Vec<u8>>) -> Deploy<'_> {
        Deploy::new(self, name, component.into())
    }

    /// What `/metrics` says now.
    pub(crate) async fn metrics(&self) -> Metrics {
        Metrics::new(self.control(Method::GET, "/metrics").await.expect(200).text())
    }

    /// Waits until no instance is alive.
    pub(crate) async fn idle(&self, limit: Duration) {
        eventually("every instance to end", limit, async || {
            let metrics = self.metrics().await;
            let alive = |engine| metrics.value("wasmway_instances", &[("engine", engine)]);
            (alive("0.2") + alive("0.3") == 0.0).then_some(())
        })
        .await;
    }

    /// The latest calls of a function, newest first, once there are `count`.
    pub(crate) async fn invocations(&self, name: &str, count: usize) -> Vec<Value> {
        let path = format!("/functions/{name}/invocations");
        eventually(&format!("{count} invocations of {name} to be recorded"), PATIENCE, async || {
            let list = self.api(Method::GET, &path).await.expect(200).json();
            list["invocations"].as_array().filter(|list| list.len() >= count).cloned()
        })
        .await
    }

    /// The log of a function so far.
    pub(crate) async fn logs(&self, name: &str) -> Vec<Value> {
        let answer = self.api(Method::GET, &format!("/functions/{name}/logs?tail=100000")).await.expect(200);
        answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
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
