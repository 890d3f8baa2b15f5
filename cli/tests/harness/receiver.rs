//! A receiver of traces, as a collector of OpenTelemetry is one: OTLP over HTTP, in protobuf.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};
use prost::Message;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::{PATIENCE, eventually};

/// A span as it was received. Ids are in hexadecimal digits.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty where there is none.
    pub(crate) parent: String,
    pub(crate) state: String,
    pub(crate) kind: SpanKind,
    pub(crate) name: String,
    /// Nanoseconds since 1970.
    pub(crate) times: [u64; 2],
    pub(crate) attributes: Map<String, Value>,
    /// Of the process that it comes from.
    pub(crate) resource: Map<String, Value>,
    pub(crate) failed: bool,
}

#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    requests: Vec<HeaderMap>,
}

/// Takes whatever is sent to it.
pub(crate) struct Receiver {
    endpoint: String,
    received: Arc<Mutex<Received>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::<Mutex<Received>>::default();
        let keeping = received.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let keeping = keeping.clone();
                let service = service_fn(move |request| receive(keeping.clone(), request));
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { endpoint, received }
    }

    /// Where it is sent to, as a setting has it.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The headers of what was sent so far.
    pub(crate) fn requests(&self) -> Vec<HeaderMap> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).requests.clone()
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).spans.clone()
    }

    /// The spans of a trace, once so many invocations of it are over: an invocation's is sent after those below it.
    pub(crate) async fn trace(&self, trace: &str, invocations: usize) -> Vec<Span> {
        eventually(&format!("the trace {trace}"), PATIENCE, async || {
            let spans: Vec<_> = self.spans().into_iter().filter(|span| span.trace == trace).collect();
            let over = spans.iter().filter(|span| span.kind == SpanKind::Server).count();
            (over >= invocations).then_some(spans)
        })
        .await
    }
}

async fn receive(
    received: Arc<Mutex<Received>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/v1/traces"));
    assert_eq!(head.headers["content-type"], "application/x-protobuf");
    let body = body.collect().await.unwrap().to_bytes();
    let sent = ExportTraceServiceRequest::decode(body).unwrap();
    let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
    received.requests.push(head.headers);
    received.spans.extend(spans(sent));
    let answer = ExportTraceServiceResponse::default().encode_to_vec();
    Ok(Response::builder().header("content-type", "application/x-protobuf").body(answer.into()).unwrap())
}

fn spans(sent: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_resource in sent.resource_spans {
        let resource = attributes(of_resource.resource.unwrap().attributes);
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(Span {
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                kind: span.kind(),
                state: span.trace_state,
                name: span.name,
                times: [span.start_time_unix_nano, span.end_time_unix_nano],
                attributes: attributes(span.attributes),
                resource: resource.clone(),
                failed: span.status.is_some_and(|status| status.code() == StatusCode::Error),
            });
        }
    }
    spans
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(pairs: Vec<KeyValue>) -> Map<String, Value> {
    pairs.into_iter().map(|pair| (pair.key, pair.value.map_or(Value::Null, value))).collect()
}

fn value(value: AnyValue) -> Value {
    match value.value {
        Some(any_value::Value::StringValue(text)) => json!(text),
        Some(any_value::Value::IntValue(number)) => json!(number),
        Some(any_value::Value::BoolValue(switch)) => json!(switch),
        other => panic!("no attribute of ours is {other:?}"),
    }
}
