//! A server of ours, as those see it who speak HTTP to it: wherever it runs, and whoever started it.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::{Call, Deploy, Metrics, PATIENCE, eventually, guest};

/// The addresses of a server and the token of its administrator.
pub(crate) struct Server {
    data: String,
    control: String,
    token: String,
    http: reqwest::Client,
}

impl Server {
    /// `data` and `control` are URLs without a path.
    pub(crate) fn at(data: &str, control: &str, token: &str) -> Self {
        let plain = |url: &str| url.trim_end_matches('/').to_owned();
        Self { data: plain(data), control: plain(control), token: token.to_owned(), http: http_client() }
    }

    /// Whether a command succeeds that talks to this server, and what it says, standard output first.
    pub(crate) fn wasmway(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = super::binary();
        command.args(arguments).args(["--server", &self.control, "--token", &self.token]);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }

    /// URL of the data plane, without a slash at the end.
    pub(crate) fn data(&self) -> &str {
        &self.data
    }

    /// URL of the control plane, without a slash at the end.
    pub(crate) fn control_url(&self) -> &str {
        &self.control
    }

    /// The token of its administrator.
    pub(crate) fn token(&self) -> String {
        self.token.clone()
    }

    /// `host:port` of the data plane.
    pub(crate) fn data_address(&self) -> &str {
        self.data.strip_prefix("http://").unwrap()
    }

    /// `host:port` of the control plane.
    pub(crate) fn control_address(&self) -> &str {
        self.control.strip_prefix("http://").unwrap()
    }

    /// A request to the data plane; `path` begins with a slash.
    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        Call::new(&self.http, method, format!("{}{path}", self.data))
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Call {
        self.call(Method::POST, path).body(body)
    }

    /// A request to the control plane without a token.
    pub(crate) fn control(&self, method: Method, path: &str) -> Call {
        Call::new(&self.http, method, format!("{}{path}", self.control))
    }

    /// A request to the control API; `path` is what comes after `/api/v1`.
    pub(crate) fn api(&self, method: Method, path: &str) -> Call {
        let token = &self.token;
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
}

/// A client that speaks to servers directly.
pub(crate) fn http_client() -> reqwest::Client {
    // An error says that another test has installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}
