//! Traces (OpenTelemetry): of each invocation that is sampled a span, and below it spans for what it waited for and for the
//! requests that it sent to others. They go to a receiver of OTLP, by way of a queue that nobody waits for.

mod attributes;
mod context;
mod exporter;
mod invocation;

pub(crate) use exporter::Exporter;
pub(crate) use invocation::InvocationTrace;

use crate::metrics::SpanCounts;
use context::Context;
use exporter::Spans;
use http::{Request, uri};
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample};
use reqwest::Url;
use std::sync::Arc;

/// Where traces go, and how many of them.
#[derive(Clone, Debug)]
pub struct TracesConfig {
    /// A receiver of OTLP over HTTP, without `/v1/traces`.
    pub endpoint: Url,
    /// Share of the traces that begin here which are recorded, 0 to 1.
    pub ratio: f64,
}

/// Begins traces, and goes on with those that others have begun.
pub(crate) struct Traces {
    ids: RandomIdGenerator,
    /// Decides about traces that begin here.
    sampler: Sampler,
    spans: Arc<Spans>,
}

impl Traces {
    /// Sends the spans of the node of that name to the receiver, as long as the [`Exporter`] is there.
    pub(crate) fn start(config: &TracesConfig, node: &str, counts: SpanCounts) -> anyhow::Result<(Self, Exporter)> {
        let (spans, exporter) = Exporter::start(&config.endpoint, node, counts)?;
        let sampler = Sampler::TraceIdRatioBased(config.ratio);
        Ok((Self { ids: RandomIdGenerator::default(), sampler, spans: Arc::new(spans) }, exporter))
    }

    /// Begins the trace of an invocation, or goes on with the one that the request belongs to: then whoever began it has
    /// decided whether it is recorded. The function gets the request as part of the trace either way.
    pub(crate) fn begin<B>(
        &self,
        request: &mut Request<B>,
        scheme: &uri::Scheme,
        authority: Option<&uri::Authority>,
    ) -> Arc<InvocationTrace> {
        let parent = Context::of(request.headers());
        let trace = parent.map_or_else(|| self.ids.new_trace_id(), |parent| parent.trace);
        let is_sampled = parent.map_or_else(|| self.samples(trace), |parent| parent.is_sampled);
        let context = Context { trace, span: self.ids.new_span_id(), is_sampled };
        let asked = is_sampled.then(|| attributes::asked(request, scheme, authority));
        if parent.is_none() {
            context::forget_state(request.headers_mut());
        }
        context.put(request.headers_mut());
        let state = context::state(request.headers());
        Arc::new(InvocationTrace::new(self.spans.clone(), context, parent.map(|parent| parent.span), state, asked))
    }

    fn samples(&self, trace: opentelemetry::TraceId) -> bool {
        let sampled = self.sampler.should_sample(None, trace, "", &SpanKind::Server, &[], &[]);
        sampled.decision == SamplingDecision::RecordAndSample
    }
}
