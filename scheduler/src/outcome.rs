//! How an invocation ended.

use std::time::Duration;

/// Why an invocation did not end well. The gateway turns it into a status and a problem document; the
/// text here is for the function's developer, never for a stranger who calls the function.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// The guest trapped: `unreachable`, a failed check, a stack that ran out.
    #[error("the function trapped: {0}")]
    Trap(String),
    /// The guest returned without setting a response.
    #[error("the function returned without sending a response")]
    NoResponse,
    /// The guest set an error code of `wasi:http` in place of a response.
    #[error("the function answered with the error {0}")]
    ErrorCode(String),
    /// A growth of memory was refused, and the guest did not survive it.
    #[error("the function needed more than its {limit} bytes of memory")]
    Memory { limit: u64 },
    /// The CPU budget is spent.
    #[error("the function used up its {limit:?} of CPU time")]
    Cpu { limit: Duration },
    /// The wall-clock deadline has passed.
    #[error("the function did not finish within {limit:?}")]
    Timeout { limit: Duration },
    /// A cap on what a request may make the host allocate was reached.
    #[error("the function reached a limit of the host: {0}")]
    HostLimit(String),
    /// The request body is larger than the function takes.
    #[error("the request body is larger than the {limit} bytes that the function takes")]
    RequestTooLarge { limit: u64 },
    /// The client sent the request body too slowly, and was given up.
    #[error("the request body came too slowly")]
    RequestTooSlow,
    /// The response body is larger than the function may send.
    #[error("the response body is larger than the {limit} bytes that the function may send")]
    ResponseTooLarge { limit: u64 },
    /// The function has as many requests open as it may have on this node.
    #[error("the function already has {limit} requests open on this node")]
    FunctionBusy { limit: u32 },
    /// The functions of the namespace have as many requests open as they may have on this node.
    #[error("the functions of the namespace already have {limit} requests open on this node")]
    NamespaceBusy { limit: u32 },
    /// The functions of the namespace had as many requests on this node in the last second as they may have.
    #[error("the functions of the namespace already had {limit} requests in a second on this node")]
    RateExceeded { limit: u32 },
    /// The node has no free slot.
    #[error("the node has no free slot")]
    NodeBusy,
    /// The program could not be loaded; the cause is in the log of the platform.
    #[error("the function cannot be loaded: {0}")]
    Unloadable(String),
    /// A defect of the platform: host code panicked while it served the guest.
    #[error("the platform failed while it ran the function")]
    HostPanic,
    /// The client went away before the end.
    #[error("the client went away")]
    Cancelled,
}

/// The end of an invocation as a metric label: few values, stable names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Ok,
    Trap,
    NoResponse,
    MemoryLimit,
    CpuLimit,
    Timeout,
    HostLimit,
    RequestTooLarge,
    RequestTooSlow,
    ResponseTooLarge,
    Rejected,
    Unloadable,
    PlatformError,
    Cancelled,
}

/// Whose doing the end of an invocation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Nobody's, or the client's: there are as many of these as there are clients.
    NotOurs,
    Function,
    Platform,
}

impl Outcome {
    /// Whose doing it is.
    pub fn blame(self) -> Blame {
        match self {
            Outcome::Ok
            | Outcome::Rejected
            | Outcome::Cancelled
            | Outcome::RequestTooLarge
            | Outcome::RequestTooSlow => Blame::NotOurs,
            Outcome::Unloadable | Outcome::PlatformError => Blame::Platform,
            Outcome::Trap
            | Outcome::NoResponse
            | Outcome::MemoryLimit
            | Outcome::CpuLimit
            | Outcome::Timeout
            | Outcome::HostLimit
            | Outcome::ResponseTooLarge => Blame::Function,
        }
    }

    /// The value of the label `outcome`.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Trap => "trap",
            Outcome::NoResponse => "no-response",
            Outcome::MemoryLimit => "memory-limit",
            Outcome::CpuLimit => "cpu-limit",
            Outcome::Timeout => "timeout",
            Outcome::HostLimit => "host-limit",
            Outcome::RequestTooLarge => "request-too-large",
            Outcome::RequestTooSlow => "request-too-slow",
            Outcome::ResponseTooLarge => "response-too-large",
            Outcome::Rejected => "rejected",
            Outcome::Unloadable => "unloadable",
            Outcome::PlatformError => "platform-error",
            Outcome::Cancelled => "cancelled",
        }
    }
}

impl Failure {
    /// The metric label of this failure.
    pub fn outcome(&self) -> Outcome {
        match self {
            Failure::Trap(_) => Outcome::Trap,
            Failure::NoResponse | Failure::ErrorCode(_) => Outcome::NoResponse,
            Failure::Memory { .. } => Outcome::MemoryLimit,
            Failure::Cpu { .. } => Outcome::CpuLimit,
            Failure::Timeout { .. } => Outcome::Timeout,
            Failure::HostLimit(_) => Outcome::HostLimit,
            Failure::RequestTooLarge { .. } => Outcome::RequestTooLarge,
            Failure::RequestTooSlow => Outcome::RequestTooSlow,
            Failure::ResponseTooLarge { .. } => Outcome::ResponseTooLarge,
            Failure::FunctionBusy { .. }
            | Failure::NamespaceBusy { .. }
            | Failure::RateExceeded { .. }
            | Failure::NodeBusy => Outcome::Rejected,
            Failure::Unloadable(_) => Outcome::Unloadable,
            Failure::HostPanic => Outcome::PlatformError,
            Failure::Cancelled => Outcome::Cancelled,
        }
    }
}
