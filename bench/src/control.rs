//! Wasmway's control plane, as far as a measurement asks for it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

/// Separates the parts of an upload; in neither of them.
const BOUNDARY: &str = "wasmway-bench-7b1d0c2e4f";

pub(crate) struct Control {
    address: SocketAddr,
}

/// One call, as the server accounts for it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Invocation {
    pub(crate) outcome: String,
    pub(crate) cpu_us: u64,
    pub(crate) wall_us: u64,
}

impl Control {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Deploys the component in `file` as the function `name`, or `NAME.NAMESPACE`, with this manifest.
    pub(crate) async fn deploy(&self, name: &str, file: &Path, manifest: &str) -> Result<()> {
        let component = tokio::fs::read(file).await;
        let component =
            component.with_context(|| format!("reading {}; build it by `cargo xtask guests`", file.display()))?;
        let mut body = String::new();
        write!(body, "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"manifest\"\r\n\r\n{manifest}\r\n")?;
        write!(body, "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"component\"\r\n\r\n")?;
        let end = format!("\r\n--{BOUNDARY}--\r\n");
        let body = [body.as_bytes(), &component, end.as_bytes()].concat();
        let (function, namespace) = name.split_once('.').unwrap_or((name, "default"));
        let request = Request::builder()
            .method(Method::PUT)
            .uri(format!("/api/v1/functions/{function}?namespace={namespace}"))
            .header(header::CONTENT_TYPE, format!("multipart/form-data; boundary={BOUNDARY}"));
        self.change(request, body.into()).await.with_context(|| format!("deploying {name}"))
    }

    /// Gives a namespace its share of CPU time beside others.
    pub(crate) async fn weigh(&self, namespace: &str, cpu_weight: u32) -> Result<()> {
        let request = Request::builder().method(Method::PUT).uri(format!("/api/v1/namespaces/{namespace}/quota"));
        let quota = format!("{{\"cpu_weight\": {cpu_weight}}}");
        self.change(request, quota.into()).await.with_context(|| format!("the quota of {namespace}"))
    }

    /// The latest calls of a function, newest first.
    pub(crate) async fn invocations(&self, name: &str) -> Result<Vec<Invocation>> {
        #[derive(Deserialize)]
        struct List {
            invocations: Vec<Invocation>,
        }
        let answer = self.get(&format!("/api/v1/functions/{name}/invocations")).await?;
        Ok(serde_json::from_slice::<List>(&answer)?.invocations)
    }

    /// The sum of the samples of a metric, or of those that bear `label`, such as `function="hello"`.
    pub(crate) async fn metric(&self, name: &str, label: &str) -> Result<f64> {
        let answer = self.get("/metrics").await?;
        let text = std::str::from_utf8(&answer).context("metrics that are no text")?;
        sum(text, name, label).with_context(|| format!("reading the metric {name}"))
    }

    /// The body of what is at `path`.
    pub(crate) async fn get(&self, path: &str) -> Result<Bytes> {
        let (status, answer) = self.send(Request::builder().uri(path), Bytes::new()).await?;
        ensure!(status == StatusCode::OK, "{path}: {status}: {}", String::from_utf8_lossy(&answer));
        Ok(answer)
    }

    async fn change(&self, request: hyper::http::request::Builder, body: Bytes) -> Result<()> {
        let (status, answer) = self.send(request, body).await?;
        ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
        Ok(())
    }

    async fn send(&self, request: hyper::http::request::Builder, body: Bytes) -> Result<(StatusCode, Bytes)> {
        let stream = TcpStream::connect(self.address).await.context("cannot reach the control plane")?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let host = self.address.to_string();
        let response = sender.send_request(request.header(header::HOST, host).body(Full::new(body))?).await?;
        Ok((response.status(), response.into_body().collect().await?.to_bytes()))
    }
}

fn sum(text: &str, name: &str, label: &str) -> Result<f64> {
    let mut sum = 0.0;
    for line in text.lines() {
        let Some((series, value)) = line.strip_prefix(name).and_then(|rest| rest.rsplit_once(' ')) else { continue };
        // Another metric may have a longer name that begins so.
        if (series.is_empty() || series.starts_with('{')) && series.contains(label) {
            sum += value.parse::<f64>().with_context(|| format!("the sample {line:?}"))?;
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_name_and_label() {
        let text = "# HELP a b\na{function=\"x\"} 1\na{function=\"y\"} 2\na_sum{function=\"x\"} 4\nplain 8\n";
        assert_eq!(sum(text, "a", "function=\"x\"").unwrap(), 1.0);
        assert_eq!(sum(text, "a", "").unwrap(), 3.0);
        assert_eq!(sum(text, "plain", "").unwrap(), 8.0);
    }
}
