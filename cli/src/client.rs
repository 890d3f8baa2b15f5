//! Speaks HTTP to the control plane: finds it, shows the token, and turns its refusals into failures.

mod locate;

pub(crate) use locate::{Running, running_on};

use std::time::Duration;

use anyhow::Context;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, Response, redirect};
use serde::de::DeserializeOwned;
use url::{Host, Url};
use wasmway_registry::{FunctionName, Namespace};

use crate::api::{PROBLEM_JSON, Problem};
use crate::cli::Globals;
use crate::failure::Failure;

/// The wait for a connection; a platform is near, or it is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Of an answer that is an error but no problem+json, the characters that are shown.
const FOREIGN_ERROR_CHARS_MAX: usize = 300;

/// A control plane and what one must know to use it.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    server: Url,
    token: Option<String>,
    namespace: Namespace,
}

impl Client {
    /// The client of the platform that `globals` name, or of the one that runs on their data directory.
    pub(crate) fn new(globals: &Globals) -> Result<Self, Failure> {
        let target = locate::control_plane(globals)?;
        Ok(Self {
            http: http_client(&target.server)?,
            server: target.server,
            token: target.token,
            namespace: globals.namespace.clone(),
        })
    }

    /// The control plane.
    pub(crate) fn server(&self) -> &Url {
        &self.server
    }

    /// A request about all functions of the namespace.
    pub(crate) fn functions(&self, method: Method) -> RequestBuilder {
        self.request(method, "api/v1/functions")
    }

    /// A request about one function; `below` is empty or begins with a slash.
    pub(crate) fn function(&self, method: Method, name: &FunctionName, below: &str) -> RequestBuilder {
        self.request(method, &format!("api/v1/functions/{name}{below}"))
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.server.clone();
        // A server behind a path, as a reverse proxy may have it, keeps its path.
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        let request = self.http.request(method, url).query(&[("namespace", self.namespace.as_str())]);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request and answers with its success; a refusal is a failure.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| no_answer(error, &self.server))?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }

    /// Sends a request and reads the JSON that it is answered with.
    pub(crate) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let response = self.send(request).await?;
        let answer = response.json().await.context("cannot read the platform's answer")?;
        Ok(answer)
    }
}

/// An HTTP client for requests to `url`'s host, which passes redirects on as they are.
pub(crate) fn http_client(url: &Url) -> Result<reqwest::Client, Failure> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("wasmway/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(redirect::Policy::none());
    // No proxy leads to this very machine.
    let builder = if is_loopback(url) { builder.no_proxy() } else { builder };
    Ok(builder.build().context("cannot set up the HTTP client")?)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Why a request to `server` was never answered.
pub(crate) fn no_answer(error: reqwest::Error, server: &Url) -> Failure {
    if error.is_connect() {
        Failure::Unreachable { server: server.clone(), cause: root_cause(&error) }
    } else {
        Failure::Other(anyhow::Error::new(error.without_url()).context(format!("the request to {server} failed")))
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root_cause)
}

/// Why an answered request was refused.
async fn refusal(response: Response) -> Failure {
    let status = response.status();
    let url = response.url().clone();
    let is_problem = is_problem(&response);
    let body = match response.bytes().await {
        Ok(body) => body,
        Err(error) => return no_answer(error, &url),
    };
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) if is_problem => Failure::Refused(problem),
        _ => {
            let text: String = String::from_utf8_lossy(&body).trim().chars().take(FOREIGN_ERROR_CHARS_MAX).collect();
            Failure::Other(anyhow::anyhow!("{url} is no control plane of Wasmway: it answered {status} {text}"))
        }
    }
}

/// Whether an answer says that it is a problem+json.
pub(crate) fn is_problem(response: &Response) -> bool {
    response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with(PROBLEM_JSON))
}
