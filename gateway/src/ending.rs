//! The end of a request: what it used and how it went, told to all whom it concerns.

use crate::{
    journal::{InvocationDetail, InvocationRecord, RequestLog},
    pace::Verdict,
    problem::Problem,
    route_table::Served,
};
use jiff::Timestamp;
use std::sync::Arc;
use wasmway_scheduler::{Blame, Failure, Outcome, Receipt};

/// What is written down when a request is over.
pub(crate) struct Ending {
    pub(crate) served: Arc<Served>,
    pub(crate) log: Arc<RequestLog>,
    /// What became of the client that sends the body.
    pub(crate) client: Verdict,
    pub(crate) time: Timestamp,
    pub(crate) method: String,
    /// As the function sees it.
    pub(crate) path: String,
}

impl Ending {
    pub(crate) fn record(self, mut receipt: Receipt) {
        if self.client.is_too_slow() {
            // Whatever the function made of a body that broke off was the client's doing.
            receipt.failure = Some(Failure::RequestTooSlow);
            receipt.status = receipt.status.filter(|_| !self.client.is_told());
        } else if self.client.is_broken() && receipt.failure.is_some() {
            receipt.failure = Some(Failure::Cancelled);
        }
        self.served.metrics.observe(&receipt);
        let outcome = receipt.outcome();
        let status = receipt.status.or_else(|| {
            let failure = receipt.failure.as_ref()?;
            (outcome != Outcome::Cancelled).then(|| Problem::of_failure(failure).status())
        });
        let cause = receipt.failure.as_ref().map(|failure| cause(failure, &receipt));
        if let Some(cause) = &cause {
            self.explain(cause, outcome);
        }
        let record = InvocationRecord {
            time: self.time,
            request_id: self.log.request_id.clone(),
            namespace: self.log.namespace.clone(),
            function: self.log.function.clone(),
            version: self.log.version,
            method: self.method,
            path: self.path,
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
        access_line(&record);
        // What was turned away did not run: it must not push what did out of the journal.
        if outcome != Outcome::Rejected {
            let stderr = record.error.as_ref().and_then(|_| self.log.stderr_end());
            self.served.journal.record(InvocationDetail { record, stderr });
        }
    }

    /// Says why a call failed, to those whom it concerns.
    fn explain(&self, cause: &str, outcome: Outcome) {
        match outcome.blame() {
            Blame::NotOurs => {}
            Blame::Platform => {
                let Self { log, .. } = self;
                tracing::error!(
                    namespace = log.namespace,
                    function = log.function,
                    request_id = log.request_id,
                    cause,
                    "the platform failed a call"
                );
            }
            Blame::Function => self.log.write("platform", cause),
        }
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
            Some(asked) => format!("{failure}: it had {} and asked for {asked} in all", used.memory_bytes),
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
        | Failure::NodeBusy
        | Failure::Unloadable(_)
        | Failure::HostPanic
        | Failure::Cancelled => failure.to_string(),
    }
}

fn access_line(record: &InvocationRecord) {
    tracing::info!(
        target: "wasmway::access",
        namespace = record.namespace,
        function = record.function,
        version = record.version,
        request_id = record.request_id,
        method = record.method,
        path = record.path,
        status = record.status,
        outcome = record.outcome.as_str(),
        wall_us = record.wall_us,
        queued_us = record.queued_us,
        cpu_us = record.cpu_us,
        memory_bytes = record.memory_bytes,
        bytes_in = record.bytes_in,
        bytes_out = record.bytes_out,
        outbound_requests = record.outbound_requests,
        outbound_bytes = record.outbound_bytes,
        cold = record.cold,
    );
}
