//! What a request takes time for, told while it runs to whoever traces it. What becomes of that is not known here.

use crate::program::LoadSource;
use http::{StatusCode, request};
use std::{sync::Arc, time::Instant};
use wasmtime_wasi_http::Error;

/// A step of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its program was not in memory. `None` when it could not be loaded.
    Load(Option<LoadSource>),
    /// It waited for its first turn in the lane of long requests.
    Queue,
    /// Its instance was made.
    Instantiate,
}

/// Traces one request. Called on the threads that run it: it must not wait for anything.
pub trait Trace: Send + Sync {
    /// A step is over.
    fn step(&self, step: Step, began: Instant, ended: Instant);

    /// The guest sends a request, whose head may be marked for whoever gets it. `None` when nobody wants to know more of
    /// it.
    fn outbound(&self, head: &mut request::Parts) -> Option<Arc<dyn TraceOutbound>>;
}

/// Traces one request of a guest. It is over, and its answer read or given up, when this is dropped.
pub trait TraceOutbound: Send + Sync {
    /// The head of the answer is here.
    fn answered(&self, status: StatusCode);

    /// There is no answer, or no whole one. `kind` is one of few names, `cause` says more.
    fn failed(&self, kind: &str, cause: &str);
}

/// Tells how a request of a guest went so far.
pub(crate) fn tell(trace: &dyn TraceOutbound, result: Result<StatusCode, &Error>) {
    match result {
        Ok(status) => trace.answered(status),
        Err(error) => trace.failed(&kind(error), &error.to_string()),
    }
}

/// What an error is called, without what it says of this one time: `ConnectionTimeout`.
fn kind(error: &Error) -> String {
    let mut name = format!("{error:?}");
    name.truncate(name.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(name.len()));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_few_names() {
        assert_eq!(kind(&Error::DnsTimeout), "DnsTimeout");
        assert_eq!(kind(&Error::Connect(std::io::Error::other("at 192.0.2.1"))), "Connect");
        assert_eq!(kind(&Error::DnsError { rcode: Some("NXDOMAIN".into()), info_code: None }), "DnsError");
    }
}
