//! The way of spans out of the process: a queue, and a task that sends what is in it.

use crate::metrics::SpanCounts;
use anyhow::Context as _;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, ResourceDetector},
    trace::{SpanData, SpanExporter as _},
};
use reqwest::{Client, Url};
use std::{env, time::Duration};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Spans that may wait to be sent; those that come beyond are left out, and counted.
const WAITING: usize = 4096;
/// Spans that are sent at once.
const BATCH: usize = 512;
/// How long spans are gathered before they are sent: a busy server sends many at once.
const GATHER: Duration = Duration::from_millis(100);
/// How long the receiver may take to be reached, and to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the last spans to be sent.
const FLUSH: Duration = Duration::from_secs(5);

/// Takes spans.
pub(super) struct Spans {
    waiting: mpsc::Sender<SpanData>,
    counts: SpanCounts,
    pub(super) scope: InstrumentationScope,
}

impl Spans {
    /// Takes a span, to be sent soon. Never waits.
    pub(super) fn push(&self, span: SpanData) {
        if self.waiting.try_send(span).is_err() {
            self.counts.dropped.inc();
        }
    }
}

/// Sends spans until it is told to finish.
pub(crate) struct Exporter {
    closing: CancellationToken,
    task: JoinHandle<()>,
}

impl Exporter {
    pub(super) fn start(endpoint: &Url, node: &str, counts: SpanCounts) -> anyhow::Result<(Spans, Self)> {
        let (waiting, spans) = mpsc::channel(WAITING);
        let sending = Sending { spans, exporter: exporter(endpoint, node)?, counts: counts.clone(), is_failing: false };
        let scope = InstrumentationScope::builder("wasmway").with_version(env!("CARGO_PKG_VERSION")).build();
        let closing = CancellationToken::new();
        let task = tokio::spawn(sending.run(closing.clone()));
        Ok((Spans { waiting, counts, scope }, Self { closing, task }))
    }

    /// Sends what is left, if that does not take too long.
    pub(crate) async fn finish(mut self) {
        self.closing.cancel();
        if timeout(FLUSH, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!("the last spans were not sent: their receiver did not take them in {FLUSH:?}");
        }
    }
}

struct Sending {
    spans: mpsc::Receiver<SpanData>,
    exporter: SpanExporter,
    counts: SpanCounts,
    is_failing: bool,
}

impl Sending {
    async fn run(mut self, closing: CancellationToken) {
        while let Some(batch) = closing.run_until_cancelled(self.next()).await
            && !batch.is_empty()
        {
            self.send(batch).await;
            closing.run_until_cancelled(sleep(GATHER)).await;
        }
        self.spans.close();
        loop {
            let batch = self.next().await;
            if batch.is_empty() {
                return;
            }
            self.send(batch).await;
        }
    }

    /// The next spans, as soon as there are any; none when there will be none.
    async fn next(&mut self) -> Vec<SpanData> {
        let mut batch = Vec::with_capacity(BATCH);
        self.spans.recv_many(&mut batch, BATCH).await;
        batch
    }

    /// Sends spans, several times where that may help. What is not taken then is lost.
    async fn send(&mut self, batch: Vec<SpanData>) {
        let spans = batch.len() as u64;
        let sent = self.exporter.export(batch).await;
        let failed_before = std::mem::replace(&mut self.is_failing, sent.is_err());
        match sent {
            Ok(()) => self.counts.sent.inc_by(spans),
            Err(_) => self.counts.failed.inc_by(spans),
        }
        match (sent, failed_before) {
            (Err(error), false) => tracing::warn!(%error, "spans cannot be sent; they are lost until they can"),
            (Ok(()), true) => tracing::info!("spans are sent again"),
            (Err(_), true) | (Ok(()), false) => {}
        }
    }
}

/// What the standard variables of OpenTelemetry say of headers, timeout and resource holds here too.
fn exporter(endpoint: &Url, node: &str) -> anyhow::Result<SpanExporter> {
    let client = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/')))
        .build();
    let mut exporter = exporter.with_context(|| format!("spans cannot be sent to --otlp-endpoint {endpoint}"))?;
    exporter.set_resource(&resource(node));
    Ok(exporter)
}

/// What this process is.
fn resource(node: &str) -> Resource {
    let of_ours = [
        KeyValue::new("service.name", "wasmway"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", node.to_owned()),
    ];
    let named = env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty());
    let said = EnvResourceDetector::new().detect();
    let said = said.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    // The later ones win.
    let named = named.map(|name| KeyValue::new("service.name", name));
    Resource::builder_empty().with_attributes(of_ours.into_iter().chain(said).chain(named)).build()
}
