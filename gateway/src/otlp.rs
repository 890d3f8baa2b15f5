//! The way of traces, logs and metrics out of the process: to a receiver of OTLP, OpenTelemetry's protocol, over HTTP.
//! Nobody waits for it: what is printed or traced goes into a queue that takes what it has room for.

mod delivery;
mod logs;
mod metrics;
mod queue;
mod variables;

pub(crate) use logs::{Line, LogExport};
pub(crate) use queue::{Item, Queue};

use crate::{health::Health, metrics::SentCounts, traces::Traces};
use delivery::Delivery;
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::{
    Attributes,
    common::v1::{self as proto, InstrumentationScope},
    resource::v1::Resource,
};
use opentelemetry_sdk::resource::{EnvResourceDetector, ResourceDetector};
use reqwest::{Client, Url};
use std::{collections::BTreeMap, str::FromStr, sync::Arc, time::Duration};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// What is sent by OTLP, where to, and how much of it.
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    /// A receiver of OTLP over HTTP, without `/v1/traces`.
    pub endpoint: Url,
    pub signals: Signals,
    /// Share of the traces that begin here which are recorded, 0 to 1.
    pub trace_ratio: f64,
}

/// What OpenTelemetry calls a kind of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Traces,
    Logs,
    Metrics,
}

impl Signal {
    /// As the standard has it in paths, and in capitals in variables.
    fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        }
    }

    /// What it is made of, for people.
    fn items(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Logs => "lines of functions",
            Self::Metrics => "metrics",
        }
    }
}

/// Some of the signals that there are; written `traces,logs,metrics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signals(Vec<Signal>);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadSignals {
    #[error("{0:?} is no signal: choose some of traces, logs and metrics, with commas between them")]
    Unknown(String),
    #[error("{0} is named twice")]
    Twice(&'static str),
}

impl FromStr for Signals {
    type Err = BadSignals;

    fn from_str(text: &str) -> Result<Self, BadSignals> {
        let mut signals = Vec::new();
        for name in text.split(',').map(str::trim) {
            let known =
                [Signal::Traces, Signal::Logs, Signal::Metrics].into_iter().find(|signal| signal.as_str() == name);
            match known {
                None => return Err(BadSignals::Unknown(name.to_owned())),
                Some(signal) if signals.contains(&signal) => return Err(BadSignals::Twice(signal.as_str())),
                Some(signal) => signals.push(signal),
            }
        }
        Ok(Self(signals))
    }
}

/// How long the receiver may take to be reached, and to answer once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the last things to be sent.
const FLUSH: Duration = Duration::from_secs(5);

/// Sends what is asked for, until it is told to finish.
pub(crate) struct Otlp {
    config: OtlpConfig,
    client: Client,
    origin: Arc<Origin>,
    closing: CancellationToken,
    tasks: Vec<(Signal, JoinHandle<()>)>,
}

impl Otlp {
    pub(crate) fn new(config: &OtlpConfig, node: &str) -> anyhow::Result<Self> {
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("wasmway/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let (config, origin) = (config.clone(), Arc::new(Origin::of(node)));
        Ok(Self { config, client, origin, closing: CancellationToken::new(), tasks: Vec::new() })
    }

    /// What traces requests, if they are to be traced.
    pub(crate) fn traces(&mut self, counts: &SentCounts) -> anyhow::Result<Option<Traces>> {
        let ratio = self.config.trace_ratio;
        Ok(self.queue(Signal::Traces, counts)?.map(|spans| Traces::new(ratio, spans)))
    }

    /// Takes the lines that functions print, if they are to be sent.
    pub(crate) fn logs(&mut self, counts: &SentCounts) -> anyhow::Result<Option<Arc<Queue<Line>>>> {
        self.queue(Signal::Logs, counts)
    }

    /// Sends the metrics now and then, if they are to be sent.
    pub(crate) fn push_metrics(&mut self, health: Arc<Health>, counts: &SentCounts) -> anyhow::Result<()> {
        if let Some(delivery) = self.delivery(Signal::Metrics, counts)? {
            let pushing = metrics::Pushing { health, delivery, origin: self.origin.clone() };
            let task = tokio::spawn(pushing.run(variables::metric_interval()?, self.closing.clone()));
            self.tasks.push((Signal::Metrics, task));
        }
        Ok(())
    }

    fn queue<T: Item>(&mut self, signal: Signal, counts: &SentCounts) -> anyhow::Result<Option<Arc<Queue<T>>>> {
        let Some(delivery) = self.delivery(signal, counts)? else { return Ok(None) };
        let (queue, sending) = queue::new(counts.dropped.clone(), delivery, self.origin.clone());
        self.tasks.push((signal, tokio::spawn(sending.run(self.closing.clone()))));
        Ok(Some(Arc::new(queue)))
    }

    fn delivery(&self, signal: Signal, counts: &SentCounts) -> anyhow::Result<Option<Delivery>> {
        let OtlpConfig { endpoint, signals, .. } = &self.config;
        let wanted = signals.0.contains(&signal);
        wanted.then(|| Delivery::new(self.client.clone(), endpoint, signal, counts.clone())).transpose()
    }

    /// Sends what is left, if that does not take too long.
    pub(crate) async fn finish(self) {
        self.closing.cancel();
        let end = Instant::now() + FLUSH;
        for (signal, mut task) in self.tasks {
            if timeout_at(end, &mut task).await.is_err() {
                task.abort();
                let items = signal.items();
                tracing::warn!("the last {items} were not sent: their receiver did not take them in {FLUSH:?}");
            }
        }
    }
}

/// Where everything that is sent comes from.
pub(crate) struct Origin {
    pub(crate) resource: Resource,
    pub(crate) scope: InstrumentationScope,
}

impl Origin {
    /// This process, and what the standard's variables say of it.
    fn of(node: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let mut attributes = BTreeMap::from(
            [("service.name", "wasmway"), ("service.version", version), ("service.instance.id", node)]
                .map(|(key, value)| (opentelemetry::Key::new(key), opentelemetry::Value::from(value.to_owned()))),
        );
        // The later ones win.
        let said = EnvResourceDetector::new().detect();
        attributes.extend(said.iter().map(|(key, value)| (key.clone(), value.clone())));
        let named = variables::variable("OTEL_SERVICE_NAME").map(|name| ("service.name".into(), name.into()));
        attributes.extend(named);
        let attributes = attributes.into_iter().map(|(key, value)| KeyValue::new(key, value));
        Self {
            resource: Resource { attributes: Attributes::from(attributes).0, ..Resource::default() },
            scope: InstrumentationScope {
                name: "wasmway".to_owned(),
                version: version.to_owned(),
                ..InstrumentationScope::default()
            },
        }
    }
}

/// An attribute as OTLP has it.
fn attribute(key: &str, value: impl Into<opentelemetry::Value>) -> proto::KeyValue {
    proto::KeyValue { key: key.to_owned(), value: Some(value.into().into()), ..proto::KeyValue::default() }
}
