//! Traces (OpenTelemetry): of each invocation that is sampled a span, and below it spans for what it waited for and for the
//! requests that it sent to others.

mod attributes;
mod context;
mod invocation;
mod span;

pub(crate) use context::Context;
pub(crate) use invocation::InvocationTrace;

use crate::otlp::Queue;
use http::{Request, uri};
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample};
use span::Span;
use std::sync::Arc;

/// Begins traces, and goes on with those that others have begun.
pub(crate) struct Traces {
    ids: RandomIdGenerator,
    /// Decides about traces that begin here.
    sampler: Sampler,
    spans: Arc<Queue<Span>>,
}

impl Traces {
    /// Records that share of the traces that begin here, and has their spans sent.
    pub(crate) fn new(ratio: f64, spans: Arc<Queue<Span>>) -> Self {
        Self { ids: RandomIdGenerator::default(), sampler: Sampler::TraceIdRatioBased(ratio), spans }
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
