//! Between a guest and those who wait for its answer.

use http::Response;
use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering::SeqCst},
};
use wasmtime_wasi_http::WasiBody;

/// A response head with its body, or the name of the error that the guest set in its place.
pub(crate) type Head = Result<Response<WasiBody>, String>;

/// Where the guest leaves its answer. It is taken when the guest waits for something or is over, or has had some more
/// turns: a guest that is at its end by then is answered for as a whole.
#[derive(Default)]
pub(crate) struct Answer {
    head: Mutex<Option<Head>>,
    due: AtomicBool,
}

impl Answer {
    pub(crate) fn give(&self, head: Head) {
        *self.lock() = Some(head);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Head>> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that it may be taken, if it is there.
    pub(crate) fn fall_due(&self) {
        let given = self.lock().is_some();
        self.due.store(given, SeqCst);
    }

    /// The answer, once the turn in which the guest gave it is over.
    pub(crate) fn take(&self) -> Option<Head> {
        if self.due.load(SeqCst) { self.lock().take() } else { None }
    }

    /// True when the guest has given it and nobody has taken it yet.
    pub(crate) fn is_given(&self) -> bool {
        self.lock().is_some()
    }

    /// True when it may be taken and nobody has yet.
    pub(crate) fn is_there(&self) -> bool {
        self.due.load(SeqCst) && self.is_given()
    }
}
