//! What a function printed and how its calls went, lately: bounded, in memory.

use jiff::Timestamp;
use serde::Serialize;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::broadcast;
use utoipa::ToSchema;
use wasmway_scheduler::{LogSink, OutputStream};

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
    pub(crate) request_id: String,
    pub(crate) namespace: String,
    pub(crate) function: String,
    pub(crate) version: u32,
    pub(crate) method: String,
    /// As the function saw it, without the query.
    pub(crate) path: String,
    /// The status that the client got; 0 when it left before there was one.
    pub(crate) status: u16,
    /// `ok`, or what ended it.
    pub(crate) outcome: &'static str,
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

/// Calls that are kept for each function.
const INVOCATIONS: usize = 200;
/// Bytes of a function's log that are kept, whatever number of lines that is.
const LOG_BYTES: usize = 4 << 20;
/// Lines that a reader who follows may be behind before it loses some.
const FOLLOW_LINES: usize = 1024;

/// The latest lines and calls of one function, over its versions.
pub(crate) struct Journal {
    lines_kept: usize,
    recent: Mutex<Recent>,
    live: broadcast::Sender<Arc<LogLine>>,
}

#[derive(Default)]
struct Recent {
    lines: VecDeque<Arc<LogLine>>,
    line_bytes: usize,
    invocations: VecDeque<InvocationRecord>,
}

impl Journal {
    pub(crate) fn new(lines_kept: usize) -> Self {
        Self { lines_kept, recent: Mutex::default(), live: broadcast::Sender::new(FOLLOW_LINES) }
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
        // Sent under the lock: a follower takes its place in both at one moment. Nobody may be following.
        let _ = self.live.send(line);
    }

    pub(crate) fn record(&self, invocation: InvocationRecord) {
        let mut recent = self.recent();
        if recent.invocations.len() == INVOCATIONS {
            recent.invocations.pop_front();
        }
        recent.invocations.push_back(invocation);
    }

    /// The latest `tail` lines, oldest first, and what comes after them.
    pub(crate) fn follow(&self, tail: usize) -> (Vec<Arc<LogLine>>, broadcast::Receiver<Arc<LogLine>>) {
        let recent = self.recent();
        let skipped = recent.lines.len().saturating_sub(tail);
        (recent.lines.iter().skip(skipped).cloned().collect(), self.live.subscribe())
    }

    /// The latest calls, newest first.
    pub(crate) fn invocations(&self) -> Vec<InvocationRecord> {
        self.recent().invocations.iter().rev().cloned().collect()
    }
}

/// Where the output of one request goes.
pub(crate) struct RequestLog {
    pub(crate) journal: Arc<Journal>,
    pub(crate) namespace: String,
    pub(crate) function: String,
    pub(crate) version: u32,
    pub(crate) request_id: String,
}

impl RequestLog {
    pub(crate) fn write(&self, stream: &'static str, message: &str) {
        tracing::info!(
            target: "wasmway::function",
            namespace = self.namespace,
            function = self.function,
            version = self.version,
            request_id = self.request_id,
            stream,
            "{message}"
        );
        self.journal.append(LogLine {
            time: Timestamp::now(),
            stream,
            namespace: self.namespace.clone(),
            function: self.function.clone(),
            version: self.version,
            request_id: self.request_id.clone(),
            message: message.to_owned(),
        });
    }
}

impl LogSink for RequestLog {
    fn line(&self, stream: OutputStream, text: &str) {
        self.write(stream.as_str(), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
