//! One call that is taken down.

use super::{CaptureSummary, KeptCapture, Recording};
use crate::journal::InvocationRecord;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use wasmway_scheduler::{
    Blame, CAPTURE_FORMAT, Capture, CapturedFunction, CapturedLimits, End, Failure, Function, Outcome, Recorder, Tape,
};

/// A call that is being taken down.
pub(crate) struct Take {
    pub(super) recording: Arc<Recording>,
    pub(super) recorder: Arc<Recorder>,
    /// Among the calls that are.
    pub(super) _place: OwnedSemaphorePermit,
}

impl Take {
    pub(crate) fn tape(&self) -> Tape {
        Tape::Recording(self.recorder.clone())
    }

    /// Keeps it, now that it is over, if it is one that was wanted.
    pub(crate) fn finish(self, function: &Function, call: &InvocationRecord, failure: Option<&Failure>) {
        let failed = call.outcome.blame() != Blame::NotOurs || call.status >= 500;
        if self.recording.wanted.failing && !failed {
            return;
        }
        // What did not run to an end of its own cannot be run once more.
        if matches!(call.outcome, Outcome::Rejected | Outcome::Cancelled | Outcome::RequestTooSlow) {
            self.recording.state().passed_over += 1;
            return;
        }
        let mut capture = Capture {
            format: CAPTURE_FORMAT.to_owned(),
            recorded_at: call.time.to_string(),
            request_id: call.request_id.as_str().to_owned(),
            function: captured(function),
            recorded: self.recorder.take(),
            end: End {
                status: call.status,
                outcome: call.outcome.as_str().to_owned(),
                // Without what it used, which no two runs have in common.
                error: failure.map(Failure::to_string),
                cpu_us: call.cpu_us,
                wall_us: call.wall_us,
                memory_bytes: call.memory_bytes,
            },
            redacted: Vec::new(),
        };
        self.recording.redaction.apply(&mut capture);
        match serde_json::to_vec(&capture) {
            Ok(json) => self.keep(call, &capture, json),
            Err(error) => tracing::error!(%error, "a capture cannot be written as JSON"),
        }
    }

    fn keep(&self, call: &InvocationRecord, capture: &Capture, json: Vec<u8>) {
        let recording = &self.recording;
        let mut state = recording.state();
        if state.is_done(&recording.wanted) {
            return;
        }
        if !recording.budget.keep(json.len()) {
            state.passed_over += 1;
            return;
        }
        let summary = CaptureSummary {
            number: state.captures.len() + 1,
            request_id: capture.request_id.clone(),
            time: call.time,
            version: call.version,
            digest: capture.function.digest.clone(),
            method: call.method.to_string(),
            path: call.path.clone(),
            status: call.status,
            outcome: capture.end.outcome.clone(),
            bytes: json.len(),
            truncated: capture.recorded.truncated.clone(),
        };
        state.captures.push(Arc::new(KeptCapture { summary, json: json.into() }));
        drop(state);
        recording.changed.send_replace(());
    }
}

impl Drop for Take {
    fn drop(&mut self) {
        let mut state = self.recording.state();
        state.under_way -= 1;
    }
}

fn captured(function: &Function) -> CapturedFunction {
    let limits = function.limits();
    CapturedFunction {
        namespace: function.namespace().to_string(),
        name: function.name().to_string(),
        version: function.version(),
        digest: wasmway_registry::Digest::from(function.digest()).to_string(),
        wasi: function.world().as_str().to_owned(),
        limits: CapturedLimits {
            memory_bytes: limits.memory,
            cpu_us: limits.cpu.as_micros() as u64,
            timeout_us: limits.timeout.as_micros() as u64,
            request_body_bytes: limits.request_body,
            response_body_bytes: limits.response_body,
        },
        env: function.env().to_vec(),
    }
}
