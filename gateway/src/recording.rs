//! Recordings: the next calls of a function, taken down with everything that went into their sandboxes, so that
//! `wasmway replay` can run them once more. All of it is in memory, bounded, and gone after a while.

mod take;

pub(crate) use take::Take;

use crate::route_table::Served;
use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use utoipa::ToSchema;
use wasmway_scheduler::{Keep, Recorder, Redaction, World};

/// Captures of one recording.
pub(crate) const CAPTURES: u32 = 100;
/// How long a recording goes on, and is kept.
pub(crate) const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// Recordings of a node at once.
pub(crate) const RECORDINGS: usize = 16;
/// Calls of a node that are taken down at once; others pass.
const CALLS: usize = 32;
/// Bytes of all captures that a node keeps.
const KEPT_BYTES: usize = 128 << 20;

/// What all recordings of a node share.
pub(crate) struct Budget {
    recordings: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    kept_bytes: AtomicUsize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            recordings: Arc::new(Semaphore::new(RECORDINGS)),
            calls: Arc::new(Semaphore::new(CALLS)),
            kept_bytes: AtomicUsize::new(0),
        }
    }
}

impl Budget {
    /// Takes so many bytes, if they are there.
    fn keep(&self, bytes: usize) -> bool {
        let more = |kept: usize| Some(kept + bytes).filter(|kept| *kept <= KEPT_BYTES);
        self.kept_bytes.fetch_update(SeqCst, SeqCst, more).is_ok()
    }
}

/// Which calls are to be taken down.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// So many.
    pub(crate) next: u32,
    /// Those alone that fail: the function by what it did, or with an answer of 500 and above.
    pub(crate) failing: bool,
    /// What of them is not to be replaced by placeholders.
    pub(crate) keep: Keep,
}

/// One recording of one function.
pub(crate) struct Recording {
    pub(crate) id: String,
    /// Who wanted it.
    pub(crate) by: String,
    pub(crate) wanted: Wanted,
    pub(crate) started_at: Timestamp,
    redaction: Redaction,
    budget: Arc<Budget>,
    state: Mutex<State>,
    /// Says that the state has changed.
    changed: watch::Sender<()>,
    /// Until it is forgotten.
    _place: OwnedSemaphorePermit,
}

#[derive(Default)]
struct State {
    captures: Vec<Arc<KeptCapture>>,
    under_way: u32,
    passed_over: u64,
    is_over: bool,
}

impl State {
    /// Whether it has all that were wanted, or is to take no more.
    fn is_done(&self, wanted: &Wanted) -> bool {
        self.is_over || self.captures.len() >= wanted.next as usize
    }
}

/// A capture, ready to be sent.
pub(crate) struct KeptCapture {
    pub(crate) summary: CaptureSummary,
    pub(crate) json: Bytes,
}

/// One call that was taken down.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CaptureSummary {
    /// In its recording, counted from 1.
    pub(crate) number: usize,
    pub(crate) request_id: String,
    /// When the call came (RFC 3339).
    #[schema(value_type = String, format = DateTime)]
    pub(crate) time: Timestamp,
    pub(crate) version: u32,
    /// Of the component that ran.
    pub(crate) digest: String,
    pub(crate) method: String,
    /// As the function saw it, without the query.
    pub(crate) path: String,
    /// The status that the client got.
    pub(crate) status: u16,
    /// `ok`, or what ended it.
    pub(crate) outcome: String,
    /// Bytes of the capture.
    pub(crate) bytes: usize,
    /// What there was no room for.
    pub(crate) truncated: Vec<String>,
}

/// How far a recording is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Progress {
    /// It waits for more calls.
    Recording,
    /// It has all that were wanted.
    Done,
}

impl Recording {
    /// A recording that is about to begin; `None` when the node has as many as it may.
    pub(crate) fn new(wanted: Wanted, by: String, budget: &Arc<Budget>) -> Option<Arc<Self>> {
        let place = budget.recordings.clone().try_acquire_owned().ok()?;
        Some(Arc::new(Self {
            id: uuid::Uuid::now_v7().to_string(),
            by,
            redaction: Redaction::new(wanted.keep.clone()),
            wanted,
            started_at: Timestamp::now(),
            budget: budget.clone(),
            state: Mutex::default(),
            changed: watch::Sender::new(()),
            _place: place,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What it holds is whole between any two statements that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn progress(&self) -> Progress {
        if self.state().is_done(&self.wanted) { Progress::Done } else { Progress::Recording }
    }

    /// Calls that would have been wanted, but that there was no room for, or whose client had left.
    pub(crate) fn passed_over(&self) -> u64 {
        self.state().passed_over
    }

    /// The captures after that number.
    pub(crate) fn captures_after(&self, number: usize) -> Vec<Arc<KeptCapture>> {
        self.state().captures.iter().skip(number).cloned().collect()
    }

    /// The capture of that number.
    pub(crate) fn capture(&self, number: usize) -> Option<Arc<KeptCapture>> {
        self.state().captures.get(number.checked_sub(1)?).cloned()
    }

    /// Resolves when there are captures after that number, or will be none.
    pub(crate) async fn beyond(&self, number: usize) {
        let mut changed = self.changed.subscribe();
        while self.progress() == Progress::Recording && self.state().captures.len() <= number {
            // The sender is ours: it is there.
            let _ = changed.changed().await;
        }
    }

    /// Takes no more.
    fn end(&self) {
        self.state().is_over = true;
        self.changed.send_replace(());
    }

    /// Whether it will not take another call, whatever becomes of those that are under way.
    fn is_full(&self) -> bool {
        let state = self.state();
        let sure = if self.wanted.failing { 0 } else { state.under_way as usize };
        state.is_over || state.captures.len() + sure >= self.wanted.next as usize
    }

    /// Begins to take a call down, if it is wanted.
    fn take(self: &Arc<Self>) -> Option<Take> {
        if self.is_full() {
            return None;
        }
        let Ok(place) = self.budget.calls.clone().try_acquire_owned() else {
            self.state().passed_over += 1;
            return None;
        };
        self.state().under_way += 1;
        Some(Take { recording: self.clone(), recorder: Arc::new(Recorder::new()), _place: place })
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let kept = self.state().captures.iter().map(|capture| capture.json.len()).sum();
        self.budget.kept_bytes.fetch_sub(kept, SeqCst);
    }
}

/// Where a function's recording is, if there is one.
#[derive(Default)]
pub(crate) struct Slot {
    /// It is there and takes calls. This is all that a call looks at where nothing is recorded.
    is_taking: AtomicBool,
    current: Mutex<Option<Arc<Recording>>>,
}

impl Slot {
    /// What takes a call of `served` down, if it is to be.
    pub(crate) fn take(&self, served: &Served) -> Option<Take> {
        if !self.is_taking.load(Relaxed) {
            return None;
        }
        // Another version may have been written for another WASI.
        let recording = self.current().filter(|_| served.function.world() == World::Http02)?;
        if recording.progress() == Progress::Done {
            self.is_taking.store(false, Relaxed);
        }
        recording.take()
    }

    fn locked(&self) -> MutexGuard<'_, Option<Arc<Recording>>> {
        // A pointer is whole at any time.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn current(&self) -> Option<Arc<Recording>> {
        self.locked().clone()
    }

    /// Begins a recording in place of one that is done; an error is one that is not.
    pub(crate) fn begin(&self, recording: Arc<Recording>) -> Result<(), Arc<Recording>> {
        let mut current = self.locked();
        if let Some(other) = current.as_ref().filter(|other| other.progress() == Progress::Recording) {
            return Err(other.clone());
        }
        *current = Some(recording);
        self.is_taking.store(true, Relaxed);
        Ok(())
    }

    /// Ends the recording and forgets it; if `id` is given, no other than that.
    pub(crate) fn forget(&self, id: Option<&str>) -> Option<Arc<Recording>> {
        let mut current = self.locked();
        let recording = current.take_if(|recording| id.is_none_or(|id| recording.id == id))?;
        self.is_taking.store(false, Relaxed);
        recording.end();
        Some(recording)
    }
}
