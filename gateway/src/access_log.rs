//! The access log: a line on standard error for each request that is over, written by a thread of its own, so that no
//! request waits for whoever reads the log.

use crate::journal::{InvocationDetail, InvocationRecord};
use jiff::{SignedDuration, Timestamp};
use prometheus::IntCounter;
use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// How the access log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogForm {
    /// Not at all.
    Off,
    /// As one JSON object a line, like the rest of the log.
    Json,
    /// As events of `tracing`, whatever becomes of them.
    Events,
}

/// The target of the lines, by which a log filter names them.
const TARGET: &str = "wasmway::access";
/// How long lines are gathered before they are written: a busy server writes many at once.
const GATHER: Duration = Duration::from_millis(5);
/// Lines that may wait for a reader who does not keep up; those that come beyond are left out, and counted.
const WAITING: usize = 1 << 16;

/// Takes the records of requests, to be written soon.
pub(crate) struct AccessLog {
    waiting: Arc<Waiting>,
    /// `None` when nothing is written.
    writer: Option<JoinHandle<()>>,
}

struct Waiting {
    records: Mutex<Vec<Arc<InvocationDetail>>>,
    closed: AtomicBool,
    dropped: IntCounter,
}

impl AccessLog {
    /// Starts the writer. `dropped` counts the lines that are left out.
    pub(crate) fn start(form: AccessLogForm, dropped: IntCounter) -> io::Result<Self> {
        let waiting = Arc::new(Waiting { records: Mutex::default(), closed: AtomicBool::new(false), dropped });
        let writer = match form {
            AccessLogForm::Off => None,
            AccessLogForm::Json => Some(waiting.clone().written_by(write_json)?),
            AccessLogForm::Events => Some(waiting.clone().written_by(emit_events)?),
        };
        Ok(Self { waiting, writer })
    }

    /// Takes a record. Never waits for the log.
    pub(crate) fn write(&self, record: Arc<InvocationDetail>) {
        let Some(writer) = &self.writer else { return };
        if self.waiting.push(record) {
            writer.thread().unpark();
        }
    }
}

/// Writes what is left.
impl Drop for AccessLog {
    fn drop(&mut self) {
        self.waiting.closed.store(true, SeqCst);
        if let Some(writer) = self.writer.take() {
            writer.thread().unpark();
            // It does not panic; if it did, it has said so.
            let _ = writer.join();
        }
    }
}

impl Waiting {
    fn records(&self) -> MutexGuard<'_, Vec<Arc<InvocationDetail>>> {
        // A vector is whole between any two statements that could panic.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when it is the first of a batch.
    fn push(&self, record: Arc<InvocationDetail>) -> bool {
        let mut records = self.records();
        if records.len() >= WAITING {
            self.dropped.inc();
            return false;
        }
        records.push(record);
        records.len() == 1
    }

    fn written_by(self: Arc<Self>, write: fn(&[Arc<InvocationDetail>])) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name("access-log".into()).spawn(move || {
            let (mut batch, mut told) = (Vec::new(), 0);
            loop {
                let closed = self.closed.load(SeqCst);
                std::mem::swap(&mut batch, &mut self.records());
                write(&batch);
                let left_out = self.dropped.get() - told;
                if left_out > 0 {
                    told += left_out;
                    tracing::warn!(
                        lines = left_out,
                        "lines of the access log were left out: it is not read fast enough"
                    );
                }
                match (batch.is_empty(), closed) {
                    (true, true) => return,
                    (true, false) => thread::park(),
                    (false, _) => batch.clear(),
                }
                if !closed {
                    thread::sleep(GATHER);
                }
            }
        })
    }
}

/// A record as a line of the log.
struct Line<'a> {
    timestamp: Timestamp,
    namespace: &'a str,
    function: &'a str,
    version: u32,
    request_id: &'a str,
    method: &'a str,
    path: &'a str,
    status: u16,
    outcome: &'static str,
    wall_us: u64,
    queued_us: u64,
    cpu_us: u64,
    memory_bytes: u64,
    bytes_in: u64,
    bytes_out: u64,
    outbound_requests: u64,
    outbound_bytes: u64,
    cold: bool,
}

impl<'a> From<&'a InvocationRecord> for Line<'a> {
    fn from(record: &'a InvocationRecord) -> Self {
        Self {
            timestamp: ended(record),
            namespace: &record.namespace,
            function: &record.function,
            version: record.version,
            request_id: record.request_id.as_str(),
            method: record.method.as_str(),
            path: &record.path,
            status: record.status,
            outcome: record.outcome.as_str(),
            wall_us: record.wall_us,
            queued_us: record.queued_us,
            cpu_us: record.cpu_us,
            memory_bytes: record.memory_bytes,
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
            outbound_requests: record.outbound_requests,
            outbound_bytes: record.outbound_bytes,
            cold: record.cold,
        }
    }
}

impl Line<'_> {
    /// Writes it as a JSON object on a line. By hand, since a busy server writes one for each request: serde would
    /// look for something to escape in every name and every word of ours, which takes five times as long.
    fn write_json(&self, out: &mut Vec<u8>) {
        let text = |out: &mut Vec<u8>, name: &[u8], value: &str| {
            out.extend_from_slice(name);
            // There is no text that JSON could not say, nor a vector not take.
            let _ = serde_json::to_writer(out, value);
        };
        // Of letters, digits and marks that JSON needs not escape: names, ids and methods are.
        let word = |out: &mut Vec<u8>, name: &[u8], value: &str| {
            out.extend_from_slice(name);
            out.extend_from_slice(value.as_bytes());
            out.push(b'"');
        };
        let number = |out: &mut Vec<u8>, name: &[u8], value: u64| {
            out.extend_from_slice(name);
            let _ = serde_json::to_writer(out, &value);
        };
        let _ = write!(out, r#"{{"timestamp":"{}","level":"INFO""#, self.timestamp);
        word(out, br#","namespace":""#, self.namespace);
        word(out, br#","function":""#, self.function);
        number(out, br#","version":"#, self.version.into());
        word(out, br#","request_id":""#, self.request_id);
        word(out, br#","method":""#, self.method);
        text(out, br#","path":"#, self.path);
        number(out, br#","status":"#, self.status.into());
        word(out, br#","outcome":""#, self.outcome);
        number(out, br#","wall_us":"#, self.wall_us);
        number(out, br#","queued_us":"#, self.queued_us);
        number(out, br#","cpu_us":"#, self.cpu_us);
        number(out, br#","memory_bytes":"#, self.memory_bytes);
        number(out, br#","bytes_in":"#, self.bytes_in);
        number(out, br#","bytes_out":"#, self.bytes_out);
        number(out, br#","outbound_requests":"#, self.outbound_requests);
        number(out, br#","outbound_bytes":"#, self.outbound_bytes);
        out.extend_from_slice(if self.cold { br#","cold":true"# } else { br#","cold":false"# });
        word(out, br#","target":""#, TARGET);
        out.extend_from_slice(b"}\n");
    }
}

fn write_json(records: &[Arc<InvocationDetail>]) {
    let mut lines = Vec::with_capacity(records.len() * 512);
    for InvocationDetail { record, .. } in records.iter().map(Arc::as_ref) {
        Line::from(record).write_json(&mut lines);
    }
    // Nobody is left to be told when standard error is gone.
    let _ = io::stderr().lock().write_all(&lines);
}

/// When the request was over.
fn ended(record: &InvocationRecord) -> Timestamp {
    let lasted = SignedDuration::from_micros(record.wall_us as i64);
    record.time.checked_add(lasted).unwrap_or(record.time)
}

fn emit_events(records: &[Arc<InvocationDetail>]) {
    for line in records.iter().map(|detail| Line::from(&detail.record)) {
        tracing::info!(
            target: TARGET,
            namespace = line.namespace,
            function = line.function,
            version = line.version,
            request_id = line.request_id,
            method = line.method,
            path = line.path,
            status = line.status,
            outcome = line.outcome,
            wall_us = line.wall_us,
            queued_us = line.queued_us,
            cpu_us = line.cpu_us,
            memory_bytes = line.memory_bytes,
            bytes_in = line.bytes_in,
            bytes_out = line.bytes_out,
            outbound_requests = line.outbound_requests,
            outbound_bytes = line.outbound_bytes,
            cold = line.cold,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::call;
    use http::Method;
    use wasmway_scheduler::Outcome;

    #[test]
    fn a_log_that_nobody_reads_is_bounded_and_says_what_is_missing() {
        let dropped = IntCounter::new("dropped", "Lines.").unwrap();
        let waiting = Waiting { records: Mutex::default(), closed: AtomicBool::new(false), dropped: dropped.clone() };
        let record = call("id", Outcome::Ok);
        assert!(waiting.push(record.clone()), "the first of a batch wakes the writer");
        for _ in 1..WAITING {
            assert!(!waiting.push(record.clone()), "and the others do not");
        }
        assert_eq!(dropped.get(), 0);
        waiting.push(record);
        assert_eq!((dropped.get(), waiting.records().len()), (1, WAITING));
    }

    #[test]
    fn a_line_is_one_json_object_with_what_the_rest_of_the_log_has() {
        let mut call = (*call("id:1/2+3=", Outcome::CpuLimit)).clone();
        // RFC 9110, section 5.6.2: all that a method may be made of.
        call.record.method = Method::from_bytes(b"!#$%&'*+-.^_`|~aZ9").unwrap();
        call.record.path = "/a\"b\\c\u{7f}\nd".into();
        let mut lines = Vec::new();
        Line::from(&call.record).write_json(&mut lines);
        assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 1, "a line is one line");
        let line: serde_json::Value = serde_json::from_slice(&lines).unwrap();
        assert_eq!(line["target"], "wasmway::access");
        assert_eq!((line["level"].as_str(), line["timestamp"].as_str()), (Some("INFO"), Some("1970-01-01T00:00:00Z")));
        let record = serde_json::to_value(&call.record).unwrap();
        let said = record.as_object().unwrap().iter().filter(|(name, _)| *name != "time");
        for (name, value) in said {
            assert_eq!(&line[name], value, "{name}");
        }
    }
}
