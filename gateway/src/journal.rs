//! What a function printed and how its calls went, lately: bounded, in memory.

use crate::{request_id::RequestId, route_table::Served};
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

/// One line of a function's log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct LogLine {
    /// When it was written (RFC 3339).
    #[schema(value_type = String, format = DateTime)]
    pub(crate) time: Timestamp,
    /// `stdout`, `stderr`, or `platform` for what the platform says about a call.
    pub(crate) stream: &'static str,
    pub(crate) namespace: String,
    pub(crate) function: String,
    pub(crate) version: u32,
    pub(crate) request_id: String,
    pub(crate) message: String,
}

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
    recent: Mutex<Recent>,
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
    pub(crate) fn new(lines_kept: usize) -> Self {
        Self { lines_kept, recent: Mutex::default() }
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        // The rings are whole between any two statements that could panic.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn append(&self, line: LogLine) {
        let line = Arc::new(line);
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

    /// The latest `tail` lines, oldest first, and what comes after them.
    pub(crate) fn follow(&self, tail: usize) -> (Vec<Arc<LogLine>>, broadcast::Receiver<Arc<LogLine>>) {
        let mut recent = self.recent();
        let live = recent.live.get_or_insert_with(|| broadcast::Sender::new(FOLLOW_LINES)).subscribe();
        let skipped = recent.lines.len().saturating_sub(tail);
        (recent.lines.iter().skip(skipped).cloned().collect(), live)
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
    stderr: Mutex<String>,
}

impl RequestLog {
    pub(crate) fn new(served: Arc<Served>, request_id: RequestId) -> Self {
        Self { served, request_id, stderr: Mutex::default() }
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

    pub(crate) fn write(&self, stream: &'static str, message: &str) {
        let line = LogLine {
            time: Timestamp::now(),
            stream,
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
            stream,
            "{message}"
        );
        self.served.journal.append(line);
    }
}

impl LogSink for RequestLog {
    fn line(&self, stream: OutputStream, text: &str) {
        if stream == OutputStream::Stderr {
            keep_end(&mut self.stderr(), text);
        }
        self.write(stream.as_str(), text);
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn call(id: &str, outcome: Outcome) -> Arc<InvocationDetail> {
        let record = InvocationRecord {
            time: Timestamp::UNIX_EPOCH,
            request_id: id.into(),
            namespace: "default".into(),
            function: "f".into(),
            version: 1,
            method: Method::GET,
            path: "/".into(),
            status: 200,
            outcome,
            cpu_us: 0,
            memory_bytes: 0,
            wall_us: 0,
            queued_us: 0,
            cold: false,
            bytes_in: 0,
            bytes_out: 0,
            outbound_requests: 0,
            outbound_bytes: 0,
            error: None,
        };
        Arc::new(InvocationDetail { record, stderr: None })
    }

    #[test]
    fn a_failure_is_found_after_a_flood_of_good_calls() {
        let journal = Journal::new(1);
        journal.record(call("failed", Outcome::Trap));
        for number in 0..10 * INVOCATIONS {
            journal.record(call(&format!("good-{number}"), Outcome::Ok));
        }
        assert!(journal.invocation("failed").is_some());
        assert!(journal.invocation("good-0").is_none(), "the rings are bounded");
        let listed = journal.invocations();
        assert_eq!(listed.len(), INVOCATIONS + 1);
        assert_eq!(listed[INVOCATIONS].record.request_id.as_str(), "failed", "newest first");

        for number in 0..10 * INVOCATIONS {
            journal.record(call(&format!("failed-{number}"), Outcome::CpuLimit));
        }
        assert!(journal.invocation("failed").is_none(), "this ring too");
        assert_eq!(journal.invocations().len(), INVOCATIONS + FAILURES);
    }

    #[test]
    fn calls_that_say_much_are_fewer() {
        let journal = Journal::new(1);
        for number in 0..INVOCATIONS {
            let mut call = (*call(&format!("{number}"), Outcome::Trap)).clone();
            call.stderr = Some("x".repeat(CAUSES_BYTES / 10));
            journal.record(Arc::new(call));
        }
        let kept = journal.invocations();
        assert_eq!(kept.len(), 10);
        assert_eq!(kept[0].record.request_id.as_str(), (INVOCATIONS - 1).to_string(), "the latest are kept");
    }

    #[test]
    fn of_one_id_the_latest_call_is_found() {
        let journal = Journal::new(1);
        journal.record(call("same", Outcome::Trap));
        journal.record(call("same", Outcome::Ok));
        assert_eq!(journal.invocation("same").map(|found| found.record.outcome), Some(Outcome::Ok));
    }

    #[test]
    fn keeps_the_end_of_a_text() {
        let mut text = String::new();
        for _ in 0..1000 {
            keep_end(&mut text, "äöü");
        }
        keep_end(&mut text, "last");
        assert!(text.len() <= STDERR_BYTES && text.ends_with("ü\nlast\n"), "{text}");
    }

    fn line(message: &str) -> LogLine {
        LogLine {
            time: Timestamp::UNIX_EPOCH,
            stream: "stdout",
            namespace: "default".into(),
            function: "f".into(),
            version: 1,
            request_id: "r".into(),
            message: message.into(),
        }
    }

    fn kept(journal: &Journal, tail: usize) -> Vec<String> {
        journal.follow(tail).0.iter().map(|line| line.message.clone()).collect()
    }

    #[test]
    fn keeps_the_latest_lines() {
        let journal = Journal::new(3);
        for message in ["a", "b", "c", "d"] {
            journal.append(line(message));
        }
        assert_eq!(kept(&journal, 10), ["b", "c", "d"]);
        assert_eq!(kept(&journal, 1), ["d"]);
    }

    #[test]
    fn keeps_a_bounded_number_of_bytes() {
        let journal = Journal::new(1_000_000);
        for _ in 0..10 {
            journal.append(line(&"x".repeat(LOG_BYTES / 4)));
        }
        assert_eq!(kept(&journal, 100).len(), 4);
    }

    #[test]
    fn a_follower_misses_nothing_and_sees_nothing_twice() {
        let journal = Journal::new(10);
        journal.append(line("before"));
        let (tail, mut live) = journal.follow(10);
        journal.append(line("after"));
        assert_eq!(tail.len(), 1);
        assert_eq!(live.try_recv().unwrap().message, "after");
        drop(live);
        journal.append(line("unheard"));
        assert!(journal.recent().live.is_none(), "it costs nothing when nobody follows");
    }
}
