//! The registry, as a node sees it: over HTTP.

use crate::{
    control::{Poll, Verdict},
    token::Token,
};
use anyhow::{Context, bail};
use futures::TryStreamExt;
use reqwest::{Client, Response, Url, header};
use std::time::Duration;
use wasmway_registry::{ArtifactStore, Changes, Digest, NodeReport, TakeBack};

/// How long it may take to reach the registry.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the registry may say nothing: longer than it waits for changes.
const READ_TIMEOUT: Duration = Duration::from_secs(25);

/// The registry's HTTP interface for nodes.
pub(crate) struct Upstream {
    client: Client,
    base: Url,
}

impl Upstream {
    pub(crate) fn new(base: &Url, token: &Token) -> anyhow::Result<Self> {
        let mut bearer = header::HeaderValue::from_str(&format!("Bearer {}", token.secret()))
            .context("the nodes' token has characters that no header can carry")?;
        bearer.set_sensitive(true);
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .default_headers([(header::AUTHORIZATION, bearer)].into_iter().collect())
            // What the registry answers is its own.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("wasmway-node/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, base: base.clone() })
    }

    /// What has changed since the revision `after`, as soon as something has, or nothing after a while.
    pub(super) async fn changes(&self, after: u64, report: NodeReport) -> anyhow::Result<Changes> {
        let request = self.client.post(self.at("api/v1/nodes/poll")?).json(&Poll { after, report });
        Ok(accepted(request.send().await?).await?.json().await?)
    }

    /// Puts the component of that digest and size among `artifacts`, unless it is there.
    pub(super) async fn fetch(&self, digest: &Digest, size: u64, artifacts: &ArtifactStore) -> anyhow::Result<()> {
        if artifacts.ensure(digest).await? {
            return Ok(());
        }
        let request = self.client.get(self.at(&format!("api/v1/nodes/artifacts/{digest}"))?);
        let pieces = accepted(request.send().await?).await?.bytes_stream();
        artifacts.receive(digest, size, pieces.map_err(anyhow::Error::from)).await
    }

    /// Asks to take back a version that does worse than the one before.
    pub(crate) async fn take_back(&self, case: &TakeBack, by: &str) -> anyhow::Result<()> {
        let verdict = Verdict { case: case.clone(), by: by.to_owned() };
        accepted(self.client.post(self.at("api/v1/nodes/take-back")?).json(&verdict).send().await?).await.map(drop)
    }

    fn at(&self, path: &str) -> anyhow::Result<Url> {
        let base = self.base.as_str().trim_end_matches('/');
        Ok(format!("{base}/{path}").parse()?)
    }
}

/// Bytes of a refusal that are read.
const REFUSAL_BYTES: usize = 4 << 10;

/// The answer if it is a good one, or what the registry says is wrong.
async fn accepted(mut response: Response) -> anyhow::Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let mut said = Vec::new();
    while said.len() < REFUSAL_BYTES
        && let Ok(Some(piece)) = response.chunk().await
    {
        said.extend_from_slice(&piece);
    }
    said.truncate(REFUSAL_BYTES);
    bail!("the registry answers {status}: {}", String::from_utf8_lossy(&said).trim())
}
