//! A receiver of traces, logs and metrics, as a collector of OpenTelemetry is one: OTLP over HTTP, in protobuf.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, exemplar, metric::Data, number_data_point};
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

/// A record of a log as it was received.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Both empty where there is none.
    pub(crate) trace: String,
    pub(crate) span: String,
    pub(crate) flags: u32,
    /// Nanoseconds since 1970: when it was written, and when that was seen.
    pub(crate) times: [u64; 2],
    pub(crate) severity: (i32, String),
    pub(crate) body: Value,
    pub(crate) attributes: Map<String, Value>,
    pub(crate) resource: Map<String, Value>,
}

/// A value of a metric as it was received, or a histogram.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) description: String,
    /// `sum`, `gauge` or `histogram`; the first and the last are cumulative.
    pub(crate) kind: &'static str,
    pub(crate) attributes: Map<String, Value>,
    /// Nanoseconds since 1970: since when it is counted, and until when.
    pub(crate) times: [u64; 2],
    /// Of a histogram, the sum.
    pub(crate) value: f64,
    /// Of a histogram: upper bounds, and how many are within each and above the last.
    pub(crate) buckets: (Vec<f64>, Vec<u64>),
    pub(crate) exemplars: Vec<Exemplar>,
    pub(crate) resource: Map<String, Value>,
}

#[derive(Clone, Debug)]
pub(crate) struct Exemplar {
    pub(crate) trace: String,
    pub(crate) span: String,
    pub(crate) value: f64,
    /// Nanoseconds since 1970.
    pub(crate) time: u64,
}

/// What the receiver says to the next message, other than that all is well.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    /// With this status, and to come back after so many seconds.
    Status(u16, u32),
    /// It takes the message, without so many of what is in it.
    Partial(i64),
}

#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    records: Vec<Record>,
    points: Vec<Point>,
    /// The path and the headers of each request.
    requests: Vec<(String, HeaderMap)>,
    refusals: VecDeque<Refusal>,
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

    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the next messages so.
    pub(crate) fn refuse(&self, refusals: impl IntoIterator<Item = Refusal>) {
        self.received().refusals.extend(refusals);
    }

    /// The paths and headers of what was sent so far.
    pub(crate) fn requests(&self) -> Vec<(String, HeaderMap)> {
        self.received().requests.clone()
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.received().spans.clone()
    }

    /// All records of logs so far.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.received().records.clone()
    }

    /// The latest value of a metric for a function, once there is one; without a name, of one that has no labels.
    pub(crate) async fn point(&self, name: &str, function: Option<&str>) -> Point {
        eventually(&format!("a value of {name}"), PATIENCE, async || self.latest(name, function)).await
    }

    /// The same as of now.
    pub(crate) fn latest(&self, name: &str, function: Option<&str>) -> Option<Point> {
        let is_it =
            |point: &&Point| point.name == name && point.attributes.get("function").and_then(Value::as_str) == function;
        self.received().points.iter().rev().find(is_it).cloned()
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
    assert_eq!(head.method, "POST");
    assert_eq!(head.headers["content-type"], "application/x-protobuf");
    let body = body.collect().await.unwrap().to_bytes();
    let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
    received.requests.push((head.uri.path().to_owned(), head.headers));
    let answer = Response::builder().header("content-type", "application/x-protobuf");
    let partial_success = match received.refusals.pop_front() {
        Some(Refusal::Status(status, after)) => {
            return Ok(answer.status(status).header("retry-after", after).body(Full::default()).unwrap());
        }
        Some(Refusal::Partial(rejected_log_records)) => {
            Some(ExportLogsPartialSuccess { rejected_log_records, error_message: "too late".to_owned() })
        }
        None => None,
    };
    match head.uri.path() {
        "/v1/traces" => received.spans.extend(spans(Message::decode(body).unwrap())),
        "/v1/logs" => received.records.extend(records(Message::decode(body).unwrap())),
        "/v1/metrics" => received.points.extend(points(Message::decode(body).unwrap())),
        path => panic!("no signal goes to {path}"),
    }
    // One answer has the shape of every signal's.
    Ok(answer.body(ExportLogsServiceResponse { partial_success }.encode_to_vec().into()).unwrap())
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

fn records(sent: ExportLogsServiceRequest) -> Vec<Record> {
    let mut records = Vec::new();
    for of_resource in sent.resource_logs {
        let resource = attributes(of_resource.resource.unwrap().attributes);
        for record in of_resource.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
            records.push(Record {
                trace: hex(&record.trace_id),
                span: hex(&record.span_id),
                flags: record.flags,
                times: [record.time_unix_nano, record.observed_time_unix_nano],
                severity: (record.severity_number, record.severity_text),
                body: value(record.body.unwrap()),
                attributes: attributes(record.attributes),
                resource: resource.clone(),
            });
        }
    }
    records
}

fn points(sent: ExportMetricsServiceRequest) -> Vec<Point> {
    let mut points = Vec::new();
    for of_resource in sent.resource_metrics {
        let resource = attributes(of_resource.resource.unwrap().attributes);
        for metric in of_resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
            let point = |kind, pairs, times, value, buckets, exemplars| Point {
                name: metric.name.clone(),
                unit: metric.unit.clone(),
                description: metric.description.clone(),
                kind,
                attributes: attributes(pairs),
                times,
                value,
                buckets,
                exemplars,
                resource: resource.clone(),
            };
            let cumulative = i32::from(AggregationTemporality::Cumulative);
            let (kind, numbers) = match metric.data.unwrap() {
                Data::Sum(sum) => {
                    assert!(sum.is_monotonic && sum.aggregation_temporality == cumulative, "{sum:?}");
                    ("sum", sum.data_points)
                }
                Data::Gauge(gauge) => ("gauge", gauge.data_points),
                Data::Histogram(histogram) => {
                    assert_eq!(histogram.aggregation_temporality, cumulative);
                    points.extend(histogram.data_points.into_iter().map(|of| {
                        assert_eq!(of.count, of.bucket_counts.iter().sum::<u64>());
                        let (times, buckets) =
                            ([of.start_time_unix_nano, of.time_unix_nano], (of.explicit_bounds, of.bucket_counts));
                        let exemplars = of.exemplars.into_iter().map(exemplar).collect();
                        point("histogram", of.attributes, times, of.sum.unwrap(), buckets, exemplars)
                    }));
                    continue;
                }
                other => panic!("no metric of ours is {other:?}"),
            };
            points.extend(numbers.into_iter().map(|of| {
                let Some(number_data_point::Value::AsDouble(value)) = of.value else { panic!("{of:?}") };
                let times = [of.start_time_unix_nano, of.time_unix_nano];
                point(kind, of.attributes, times, value, Default::default(), Vec::new())
            }));
        }
    }
    points
}

fn exemplar(exemplar: opentelemetry_proto::tonic::metrics::v1::Exemplar) -> Exemplar {
    let Some(exemplar::Value::AsDouble(value)) = exemplar.value else { panic!("{exemplar:?}") };
    let (trace, span) = (hex(&exemplar.trace_id), hex(&exemplar.span_id));
    Exemplar { trace, span, value, time: exemplar.time_unix_nano }
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
