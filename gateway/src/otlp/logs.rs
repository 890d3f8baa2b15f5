//! The lines that functions print, as log records of OpenTelemetry.

use super::{Item, Origin, Queue, attribute};
use crate::{
    log_line::{Level, LogLine, Stream},
    traces::{Context, InvocationTrace},
};
use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::KeyValue,
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
};
use prost::Message;
use std::sync::Arc;

/// A line, and the place in a trace that it was written at, if its call is traced.
pub(crate) struct Line {
    line: Arc<LogLine>,
    place: Option<Context>,
}

/// Takes the lines of one call.
pub(crate) struct LogExport {
    queue: Arc<Queue<Line>>,
    place: Option<Context>,
}

impl LogExport {
    pub(crate) fn new(queue: &Arc<Queue<Line>>, trace: Option<&InvocationTrace>) -> Self {
        Self { queue: queue.clone(), place: trace.map(InvocationTrace::context) }
    }

    pub(crate) fn push(&self, line: Arc<LogLine>) {
        self.queue.push(Line { line, place: self.place });
    }
}

impl Item for Line {
    fn bytes(&self) -> usize {
        self.line.message.len()
    }

    fn message(batch: Vec<Self>, origin: &Origin) -> Vec<u8> {
        let log_records = batch.into_iter().map(Line::record).collect();
        let scope_logs = vec![ScopeLogs { scope: Some(origin.scope.clone()), log_records, schema_url: String::new() }];
        let resource = Some(origin.resource.clone());
        let resource_logs = vec![ResourceLogs { resource, scope_logs, schema_url: String::new() }];
        ExportLogsServiceRequest { resource_logs }.encode_to_vec()
    }
}

impl Line {
    fn record(self) -> LogRecord {
        let Self { line, place } = self;
        // When the function made it is not known: we take it the moment that it is written.
        let time = u64::try_from(line.time.as_nanosecond()).unwrap_or(0);
        let (number, text) = match line.level {
            Level::Info => (SeverityNumber::Info, "INFO"),
            Level::Warn => (SeverityNumber::Warn, "WARN"),
            Level::Error => (SeverityNumber::Error, "ERROR"),
        };
        LogRecord {
            time_unix_nano: time,
            observed_time_unix_nano: time,
            severity_number: number.into(),
            severity_text: text.to_owned(),
            body: Some(opentelemetry::Value::from(line.message.clone()).into()),
            attributes: attributes(&line),
            flags: place.map_or(0, Context::flags),
            trace_id: place.map_or_else(Vec::new, |place| place.trace.to_bytes().to_vec()),
            span_id: place.map_or_else(Vec::new, |place| place.span.to_bytes().to_vec()),
            ..LogRecord::default()
        }
    }
}

/// In the words that the span of the call has them in.
fn attributes(line: &LogLine) -> Vec<KeyValue> {
    let mut attributes = vec![
        attribute("faas.name", line.function.clone()),
        attribute("faas.version", line.version.to_string()),
        attribute("faas.invocation_id", line.request_id.clone()),
        attribute("wasmway.namespace", line.namespace.clone()),
    ];
    // What the platform says of a call came by neither of the two streams that the convention knows.
    if line.stream != Stream::Platform {
        attributes.push(attribute("log.iostream", line.stream.as_str()));
    }
    attributes
}
