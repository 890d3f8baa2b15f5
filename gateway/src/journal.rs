//! What a function printed and how its calls went, lately: bounded, in memory.

#[cfg(test)]
pub(crate) mod tests;

use crate::{
    log_line::{LogLine, Stream, Wanted},
    otlp::LogExport,
    recording::Slot,
    request_id::RequestId,
    route_table::Served,
};
use http::Method;
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::broadcast;
use utoipa::ToSchema;
use wasmway_scheduler::{Blame, Function, LogSink, Outcome, OutputStream};

/// One call of a function, with what it used.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct InvocationRecord {
    /// When it came (RFC 3339).
    #[schema(value_type = String, format = DateTime)]
    pub(crate) time: Timestamp,
    #[schema(value_type = String)]
    pub(crate) request_id: RequestId,
    #[serde(serialize_with = "name")]
    #[schema(value_type = String)]
    pub(crate) namespace: Arc<str>,
    #[serde(serialize_with = "name")]
    #[schema(value_type = String)]
    pub(crate) function: Arc<str>,
    pub(crate) version: u32,
    #[serde(serialize_with = "method_name")]
    #[schema(value_type = String)]
    pub(crate) method: Method,
    /// As the function saw it, without the query.
    pub(crate) path: String,
    /// The status that the client got; 0 when it left before there was one.
    pub(crate) status: u16,
    /// `ok`, or what ended it.
    #[serde(serialize_with = "outcome_name")]
    #[schema(value_type = String)]
    pub(crate) outcome: Outcome,
    /// CPU time in microseconds.
    pub(crate) cpu_us: u64,
    /// Most memory at once, in bytes.
    pub(crate) memory_bytes: u64,
    /// Wall-clock time in microseconds.
    pub(crate) wall_us: u64,
    /// Of it, the time that it was ready to run and waited, in microseconds: for its program, for the CPU.
    pub(crate) queued_us: u64,
    /// The program was not in memory when the request came.
    pub(crate) cold: bool,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) outbound_requests: u64,
    /// Bytes of the bodies of outbound requests.
    pub(crate) outbound_bytes: u64,
    /// Why it failed; absent after a good end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// A call with what is known of its end.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct InvocationDetail {
    #[serde(flatten)]
    pub(crate) record: InvocationRecord,
    /// The node that ran it.
    #[serde(serialize_with = "name")]
    #[schema(value_type = String)]
    pub(crate) node: Arc<str>,
    /// The end of what it wrote to standard error; absent after a good end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stderr: Option<String>,
}

impl InvocationDetail {
    /// Bytes of the texts about its failure.
    fn cause_bytes(&self) -> usize {
        let bytes = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        bytes(&self.record.error) + bytes(&self.stderr)
    }

    /// Whether it failed by what it did itself, or by us: not by what its client did.
    fn is_failure(&self) -> bool {
        self.record.outcome.blame() != Blame::NotOurs
    }
}

/// Calls that are kept for each function.
const INVOCATIONS: usize = 200;
/// Failed calls that are kept beyond those, so that a flood of good ones does not wash a failure away.
const FAILURES: usize = 100;
/// Bytes at the end of a call's standard error that are kept with it.
const STDERR_BYTES: usize = 2 << 10;
/// Bytes of what those calls say of their failure that are kept, whatever number of calls that is.
const CAUSES_BYTES: usize = 128 << 10;
/// Bytes of a function's log that are kept, whatever number of lines that is.
const LOG_BYTES: usize = 256 << 10;
/// Lines that a reader who follows may be behind before it loses some.
const FOLLOW_LINES: usize = 1024;

/// The latest lines and calls of one function, over its versions.
pub(crate) struct Journal {
    lines_kept: usize,
    /// The node that keeps it.
    node: Arc<str>,
    recent: Mutex<Recent>,
    /// Of its next calls, if somebody wants one.
    pub(crate) recording: Slot,
}

#[derive(Default)]
struct Recent {
    lines: VecDeque<Arc<LogLine>>,
    line_bytes: usize,
    invocations: VecDeque<Arc<InvocationDetail>>,
    /// Older than those.
    failures: VecDeque<Arc<InvocationDetail>>,
    cause_bytes: usize,
    /// Only while somebody follows: its ring takes 56 KiB, of every function that there is.
    live: Option<broadcast::Sender<Arc<LogLine>>>,
}

impl Journal {
    pub(crate) fn new(lines_kept: usize, node: Arc<str>) -> Self {
        Self { lines_kept, node, recent: Mutex::default(), recording: Slot::default() }
    }

    /// The name of the node that keeps it.
    pub(crate) fn node(&self) -> &Arc<str> {
        &self.node
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        // The rings are whole between any two statements that could panic.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn append(&self, line: Arc<LogLine>) {
        let mut recent = self.recent();
        recent.line_bytes += line.message.len();
        recent.lines.push_back(line.clone());
        while recent.lines.len() > self.lines_kept || recent.line_bytes > LOG_BYTES {
            let Some(oldest) = recent.lines.pop_front() else { break };
            recent.line_bytes -= oldest.message.len();
        }
        // Sent under the lock: a follower takes its place in both at one moment.
        if recent.live.as_ref().is_some_and(|live| live.send(line).is_err()) {
            // Nobody follows any more.
            recent.live = None;
        }
    }

    pub(crate) fn record(&self, invocation: Arc<InvocationDetail>) {
        let mut recent = self.recent();
        recent.cause_bytes += invocation.cause_bytes();
        recent.invocations.push_back(invocation);
        if recent.invocations.len() > INVOCATIONS {
            let oldest = recent.invocations.pop_front().filter(|oldest| oldest.is_failure());
            recent.failures.extend(oldest);
        }
        while recent.failures.len() > FAILURES || recent.cause_bytes > CAUSES_BYTES {
            let recent = &mut *recent;
            let oldest = recent.failures.pop_front().or_else(|| recent.invocations.pop_front());
            let Some(oldest) = oldest else { break };
            recent.cause_bytes -= oldest.cause_bytes();
        }
    }

    /// The call with that id; the latest, where clients gave the same id to more than one.
    pub(crate) fn invocation(&self, request_id: &str) -> Option<Arc<InvocationDetail>> {
        let recent = self.recent();
        let mut newest_first = recent.invocations.iter().rev().chain(recent.failures.iter().rev());
        newest_first.find(|invocation| invocation.record.request_id.as_str() == request_id).cloned()
    }

    /// The latest `tail` of the lines that are wanted, oldest first, and all that come after them, wanted or not.
    pub(crate) fn follow(
        &self,
        tail: usize,
        wanted: &Wanted,
    ) -> (Vec<Arc<LogLine>>, broadcast::Receiver<Arc<LogLine>>) {
        let mut recent = self.recent();
        let live = recent.live.get_or_insert_with(|| broadcast::Sender::new(FOLLOW_LINES)).subscribe();
        let newest_first = recent.lines.iter().rev().filter(|line| wanted.takes(line)).take(tail);
        let mut lines: Vec<_> = newest_first.cloned().collect();
        lines.reverse();
        (lines, live)
    }

    /// The latest calls, newest first, and behind them the latest failed ones of before.
    pub(crate) fn invocations(&self) -> Vec<Arc<InvocationDetail>> {
        let recent = self.recent();
        recent.invocations.iter().rev().chain(recent.failures.iter().rev()).cloned().collect()
    }
}

/// Where the output of one request goes.
pub(crate) struct RequestLog {
    pub(crate) served: Arc<Served>,
    pub(crate) request_id: RequestId,
    /// Where else its lines go, if anywhere.
    export: Option<LogExport>,
    stderr: Mutex<String>,
}

impl RequestLog {
    pub(crate) fn new(served: Arc<Served>, request_id: RequestId, export: Option<LogExport>) -> Self {
        Self { served, request_id, export, stderr: Mutex::default() }
    }

    pub(crate) fn function(&self) -> &Function {
        &self.served.function
    }

    fn stderr(&self) -> MutexGuard<'_, String> {
        // A string is whole between any two statements that could panic.
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of what the request has written to standard error, if it has written anything.
    pub(crate) fn stderr_end(&self) -> Option<String> {
        Some(self.stderr().clone()).filter(|text| !text.is_empty())
    }

    pub(crate) fn write(&self, stream: Stream, message: &str) {
        let line = LogLine {
            time: Timestamp::now(),
            level: stream.level(),
            stream,
            node: self.served.journal.node.clone(),
            namespace: self.function().namespace().to_string(),
            function: self.function().name().to_string(),
            version: self.function().version(),
            request_id: self.request_id.as_str().to_owned(),
            message: message.to_owned(),
        };
        tracing::info!(
            target: "wasmway::function",
            namespace = line.namespace,
            function = line.function,
            version = line.version,
            request_id = line.request_id,
            stream = stream.as_str(),
            "{message}"
        );
        let line = Arc::new(line);
        if let Some(export) = &self.export {
            export.push(line.clone());
        }
        self.served.journal.append(line);
    }
}

impl LogSink for RequestLog {
    fn line(&self, stream: OutputStream, text: &str) {
        if stream == OutputStream::Stderr {
            keep_end(&mut self.stderr(), text);
        }
        self.write(stream.into(), text);
    }
}

/// Adds a line to a text of which only the end is kept.
fn keep_end(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
    let excess = text.len().saturating_sub(STDERR_BYTES);
    text.drain(..text.ceil_char_boundary(excess));
}

fn name<S: Serializer>(name: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name)
}

fn method_name<S: Serializer>(method: &Method, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(method.as_str())
}

fn outcome_name<S: Serializer>(outcome: &Outcome, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(outcome.as_str())
}
