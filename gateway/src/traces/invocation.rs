//! The trace of one invocation, while it runs.

use super::{
    attributes,
    context::{self, Context},
    span::{Parent, Span},
};
use crate::{journal::InvocationRecord, otlp::Queue};
use http::{HeaderValue, StatusCode, request};
use opentelemetry::{
    KeyValue,
    trace::{SpanId, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime},
};
use wasmway_scheduler::{Step, Trace, TraceOutbound};

/// The trace of one invocation. Where it is not sampled it only says which trace it belongs to.
pub(crate) struct InvocationTrace {
    spans: Arc<Queue<Span>>,
    context: Context,
    /// The span that the request came from.
    caller: Option<SpanId>,
    state: Vec<HeaderValue>,
    /// What the client asked for, of one that is sampled.
    asked: Option<Vec<KeyValue>>,
    clock: Clock,
}

/// Makes of the clock that never goes back the time of the day.
#[derive(Clone, Copy)]
struct Clock {
    instant: Instant,
    time: SystemTime,
}

impl Clock {
    fn now() -> Self {
        Self { instant: Instant::now(), time: SystemTime::now() }
    }

    fn at(self, instant: Instant) -> SystemTime {
        match instant.checked_duration_since(self.instant) {
            Some(since) => self.time + since,
            None => self.time - self.instant.duration_since(instant),
        }
    }
}

impl InvocationTrace {
    pub(super) fn new(
        spans: Arc<Queue<Span>>,
        context: Context,
        caller: Option<SpanId>,
        state: Vec<HeaderValue>,
        asked: Option<Vec<KeyValue>>,
    ) -> Self {
        Self { spans, context, caller, state, asked, clock: Clock::now() }
    }

    /// Its place in its trace.
    pub(crate) fn context(&self) -> Context {
        self.context
    }

    /// The same, of one that is recorded.
    pub(crate) fn recorded(&self) -> Option<Context> {
        Some(self.context).filter(|context| context.is_sampled)
    }

    /// Says that the invocation is over.
    pub(crate) fn ended(&self, record: &InvocationRecord) {
        let Some(asked) = &self.asked else { return };
        let span = Span {
            context: self.context,
            parent: self.caller.map_or(Parent::None, Parent::Remote),
            kind: SpanKind::Server,
            name: Cow::Owned(record.function.to_string()),
            state: context::state_of_span(&self.state),
            times: [self.clock.time, self.clock.at(Instant::now())],
            attributes: asked.iter().cloned().chain(attributes::invocation(record)).collect(),
            status: attributes::status(record),
        };
        self.spans.push(span);
    }

    /// A place in this trace for a span of its own.
    fn child(&self) -> Context {
        Context { span: RandomIdGenerator::default().new_span_id(), ..self.context }
    }
}

impl Trace for InvocationTrace {
    fn step(&self, step: Step, began: Instant, ended: Instant) {
        if !self.context.is_sampled {
            return;
        }
        let (name, attribute) = attributes::step(step);
        let span = Span {
            context: self.child(),
            parent: Parent::Here(self.context.span),
            kind: SpanKind::Internal,
            name: Cow::Borrowed(name),
            state: TraceState::NONE,
            times: [self.clock.at(began), self.clock.at(ended)],
            attributes: attribute.into_iter().collect(),
            status: Status::Unset,
        };
        self.spans.push(span);
    }

    /// A guest that passes on what it got, or says nothing, sends its requests as part of this trace. Spans that it makes
    /// itself are between the invocation and the request; where it speaks of another trace, its word stands.
    fn outbound(&self, head: &mut request::Parts) -> Option<Arc<dyn TraceOutbound>> {
        let context = self.child();
        let said = Context::of(&head.headers);
        let is_of_another = said.is_some_and(|said| said.trace != context.trace);
        if !is_of_another {
            context.put(&mut head.headers);
            context::add_state(&mut head.headers, &self.state);
        }
        if !context.is_sampled {
            return None;
        }
        let within = said.filter(|_| !is_of_another).map_or(self.context.span, |said| said.span);
        Some(Arc::new(OutboundSpan {
            spans: self.spans.clone(),
            context,
            parent: within,
            name: attributes::method(&head.method),
            attributes: attributes::outbound(&head.method, &head.uri),
            clock: Clock::now(),
            answer: Mutex::new(Sent { status: None, failure: None }),
        }))
    }
}

/// The span of a request that a guest sends.
struct OutboundSpan {
    spans: Arc<Queue<Span>>,
    context: Context,
    parent: SpanId,
    name: &'static str,
    attributes: Vec<KeyValue>,
    clock: Clock,
    answer: Mutex<Sent>,
}

/// How it went so far.
struct Sent {
    status: Option<StatusCode>,
    /// Its kind and its cause.
    failure: Option<(String, String)>,
}

impl TraceOutbound for OutboundSpan {
    fn answered(&self, status: StatusCode) {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).status = Some(status);
    }

    fn failed(&self, kind: &str, cause: &str) {
        let failure = (attributes::text(kind), attributes::text(cause));
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).failure = Some(failure);
    }
}

impl Drop for OutboundSpan {
    fn drop(&mut self) {
        let Sent { status, failure } = self.answer.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut attributes = std::mem::take(&mut self.attributes);
        attributes.extend(status.map(|status| KeyValue::new("http.response.status_code", i64::from(status.as_u16()))));
        let failure = failure.take().or_else(|| match status {
            Some(status) if status.as_u16() < 400 => None,
            Some(status) => Some((status.as_str().to_owned(), String::new())),
            // The guest did not wait for it.
            None => Some(("cancelled".to_owned(), String::new())),
        });
        let (kind, span_status) = match failure {
            Some((kind, cause)) => (Some(kind), Status::error(cause)),
            None => (None, Status::Unset),
        };
        attributes.extend(kind.map(|kind| KeyValue::new("error.type", kind)));
        let span = Span {
            context: self.context,
            parent: Parent::Here(self.parent),
            kind: SpanKind::Client,
            name: Cow::Borrowed(self.name),
            state: TraceState::NONE,
            times: [self.clock.time, self.clock.at(Instant::now())],
            attributes,
            status: span_status,
        };
        self.spans.push(span);
    }
}
