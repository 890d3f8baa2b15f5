//! A span on its way out.

use super::context::Context;
use crate::otlp::{Item, Origin};
use opentelemetry::{
    KeyValue,
    trace::{SpanId, SpanKind, Status, TraceState},
};
use opentelemetry_proto::tonic::{
    Attributes,
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{self as proto, ResourceSpans, ScopeSpans, SpanFlags, span, status},
};
use prost::Message;
use std::{
    borrow::Cow,
    time::{SystemTime, UNIX_EPOCH},
};

/// What one span is.
pub(crate) struct Span {
    pub(super) context: Context,
    pub(super) parent: Parent,
    pub(super) kind: SpanKind,
    pub(super) name: Cow<'static, str>,
    pub(super) state: TraceState,
    pub(super) times: [SystemTime; 2],
    pub(super) attributes: Vec<KeyValue>,
    pub(super) status: Status,
}

/// The span that another belongs to.
pub(super) enum Parent {
    None,
    /// In this process.
    Here(SpanId),
    Remote(SpanId),
}

impl Item for Span {
    /// Its texts are cut where it is made.
    fn bytes(&self) -> usize {
        0
    }

    fn message(batch: Vec<Self>, origin: &Origin) -> Vec<u8> {
        let spans = batch.into_iter().map(proto::Span::from).collect();
        let scope_spans = vec![ScopeSpans { scope: Some(origin.scope.clone()), spans, schema_url: String::new() }];
        let resource = Some(origin.resource.clone());
        let resource_spans = vec![ResourceSpans { resource, scope_spans, schema_url: String::new() }];
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    }
}

impl From<Span> for proto::Span {
    fn from(span: Span) -> Self {
        let Span { context, parent, kind, name, state, times, attributes, status } = span;
        let [start, end] = times.map(|time| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64));
        let (parent, is_remote) = match parent {
            Parent::None => (Vec::new(), 0),
            Parent::Here(id) => (id.to_bytes().to_vec(), 0),
            Parent::Remote(id) => (id.to_bytes().to_vec(), SpanFlags::ContextIsRemoteMask as u32),
        };
        let code = status::StatusCode::from(&status);
        let message = if let Status::Error { description } = status { description.into_owned() } else { String::new() };
        Self {
            trace_id: context.trace.to_bytes().to_vec(),
            span_id: context.span.to_bytes().to_vec(),
            trace_state: state.header(),
            parent_span_id: parent,
            flags: context.flags() | SpanFlags::ContextHasIsRemoteMask as u32 | is_remote,
            name: name.into_owned(),
            kind: span::SpanKind::from(kind).into(),
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes: Attributes::from(attributes).0,
            status: Some(proto::Status { message, code: code.into() }),
            ..Self::default()
        }
    }
}
