//! The end of a request: what it used and how it went, told to all whom it concerns.

use crate::{
    access_log::AccessLog,
    journal::{InvocationDetail, InvocationRecord, RequestLog},
    log_line::Stream,
    pace::Verdict,
    problem::Problem,
    recording::Take,
    traces::InvocationTrace,
    trial::Tally,
};
use http::Method;
use jiff::Timestamp;
use std::sync::Arc;
use wasmway_scheduler::{Blame, Failure, Outcome, Receipt};

/// What is written down when a request is over.
pub(crate) struct Ending {
    pub(crate) log: Arc<RequestLog>,
    pub(crate) access_log: Arc<AccessLog>,
    /// Where the requests of its version are counted, if several have a part.
    pub(crate) tally: Option<Arc<Tally>>,
    pub(crate) trace: Option<Arc<InvocationTrace>>,
    /// What became of the client that sends the body.
    pub(crate) client: Verdict,
    pub(crate) time: Timestamp,
    pub(crate) method: Method,
    /// As the function sees it.
    pub(crate) path: String,
    /// Of a call that is recorded.
    pub(crate) take: Option<Take>,
}

impl Ending {
    pub(crate) fn record(self, mut receipt: Receipt) {
        let Self { log, access_log, tally, trace, client, time, method, path, take } = self;
        if client.is_too_slow() {
            // Whatever the function made of a body that broke off was the client's doing.
            receipt.failure = Some(Failure::RequestTooSlow);
            receipt.status = receipt.status.filter(|_| !client.is_told());
        } else if client.is_broken() && receipt.failure.is_some() {
            receipt.failure = Some(Failure::Cancelled);
        }
        log.served.metrics.observe(&receipt, trace.as_ref().and_then(|trace| trace.recorded()));
        let outcome = receipt.outcome();
        if let Some(tally) = tally {
            tally.count(&receipt, outcome);
        }
        let status = receipt.status.or_else(|| {
            let failure = receipt.failure.as_ref()?;
            (outcome != Outcome::Cancelled).then(|| Problem::of_failure(failure).status())
        });
        let cause = receipt.failure.as_ref().map(|failure| cause(failure, &receipt));
        if let Some(cause) = &cause {
            explain(&log, cause, outcome);
        }
        let record = InvocationRecord {
            time,
            request_id: log.request_id.clone(),
            namespace: log.function().namespace().clone(),
            function: log.function().name().clone(),
            version: log.function().version(),
            method,
            path,
            status: status.map_or(0, |status| status.as_u16()),
            outcome,
            cpu_us: receipt.cpu.as_micros() as u64,
            memory_bytes: receipt.memory_bytes,
            wall_us: receipt.wall.as_micros() as u64,
            queued_us: receipt.queued.as_micros() as u64,
            cold: receipt.cold,
            bytes_in: receipt.bytes_in,
            bytes_out: receipt.bytes_out,
            outbound_requests: receipt.outbound_requests,
            outbound_bytes: receipt.outbound_bytes,
            error: cause,
        };
        if let Some(trace) = trace {
            trace.ended(&record);
        }
        if let Some(take) = take {
            take.finish(log.function(), &record, receipt.failure.as_ref());
        }
        let stderr = record.error.as_ref().and_then(|_| log.stderr_end());
        let detail = Arc::new(InvocationDetail { record, node: log.served.journal.node().clone(), stderr });
        // What was turned away did not run: it must not push what did out of the journal.
        if outcome != Outcome::Rejected {
            log.served.journal.record(detail.clone());
        }
        access_log.write(detail);
    }
}

/// Says why a call failed, to those whom it concerns.
fn explain(log: &RequestLog, cause: &str, outcome: Outcome) {
    match outcome.blame() {
        Blame::NotOurs => {}
        Blame::Platform => {
            tracing::error!(
                namespace = &**log.function().namespace(),
                function = &**log.function().name(),
                request_id = log.request_id.as_str(),
                cause,
                "the platform failed a call"
            );
        }
        Blame::Function => log.write(Stream::Platform, cause),
    }
}

/// Why a call failed, with what it used of the limit that ended it. For the function's developer.
pub(crate) fn cause(failure: &Failure, used: &Receipt) -> String {
    match failure {
        Failure::Cpu { .. } => format!("{failure}: it used {:.1?}", used.cpu),
        Failure::Timeout { .. } => {
            format!("{failure}: {:.1?} have passed, of which it used the CPU for {:.1?}", used.wall, used.cpu)
        }
        Failure::Memory { .. } => match used.memory_refused {
            Some(asked) => format!(
                "{failure}: it had {} and asked for {asked} in all; raise `memory` below [limits] in wasmway.toml",
                used.memory_bytes
            ),
            None => failure.to_string(),
        },
        Failure::ResponseTooLarge { .. } => format!("{failure}: it has sent {}", used.bytes_out),
        Failure::Trap(_)
        | Failure::NoResponse
        | Failure::ErrorCode(_)
        | Failure::HostLimit(_)
        | Failure::RequestTooLarge { .. }
        | Failure::RequestTooSlow
        | Failure::FunctionBusy { .. }
        | Failure::NamespaceBusy { .. }
        | Failure::RateExceeded { .. }
        | Failure::NodeBusy
        | Failure::Unloadable(_)
        | Failure::HostPanic
        | Failure::Cancelled => failure.to_string(),
    }
}
