//! Errors as clients see them: RFC 9457 problem documents with a stable `code`.

use crate::health::Check;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;
use wasmway_scheduler::{Failure, RETRY_AFTER, Receipt};

/// Whose failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// The platform, or the client's use of it.
    Platform,
    /// The function that was called.
    Function,
}

/// A problem document (RFC 9457), `application/problem+json`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Identifies the kind of problem; ends in `code`.
    #[serde(rename = "type")]
    kind: String,
    /// The kind of problem in words.
    title: &'static str,
    /// The HTTP status.
    #[serde(serialize_with = "status_number")]
    #[schema(value_type = u16)]
    status: StatusCode,
    /// What happened this time, and what to do.
    detail: String,
    /// Stable name of the kind, for programs.
    pub(crate) code: &'static str,
    /// Whose failure it is.
    source: Source,
    /// The id that the log knows this request by.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// Seconds to wait before the next attempt, where that is not the usual time.
    #[serde(skip)]
    retry_after_s: Option<u16>,
    #[serde(flatten)]
    explanation: Option<Box<Explanation>>,
}

/// What some problems say beside it.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
struct Explanation {
    /// What the call of a function with `debug = true` used.
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<Used>,
    /// The end of what it wrote to standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<String>,
    /// How what the process depends on is, where it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<Check>>,
}

/// What a call used.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Used {
    /// CPU time in microseconds.
    cpu_us: u64,
    /// Most memory at once, in bytes.
    memory_bytes: u64,
    /// Wall-clock time in microseconds.
    wall_us: u64,
}

fn status_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// A problem of the platform, or of how it was used.
    pub(crate) fn platform(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(Source::Platform, status, code, title, detail.into())
    }

    fn new(source: Source, status: StatusCode, code: &'static str, title: &'static str, detail: String) -> Self {
        let kind = format!("urn:wasmway:problem:{code}");
        Self { kind, title, status, detail, code, source, request_id: None, retry_after_s: None, explanation: None }
    }

    /// A failure of ours. Its cause goes to the log, not to the client.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        let reference = uuid::Uuid::now_v7().simple().to_string();
        tracing::error!(%cause, reference, "internal error");
        let detail = format!("the platform failed; its log has the cause under {reference}");
        Self::platform(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
    }

    /// The database or the object store is away. Its words go to the log, not to the client.
    pub(crate) fn unavailable(cause: anyhow::Error) -> Self {
        tracing::warn!(cause = format!("{cause:#}"), "the registry's stores do not answer");
        let detail =
            "the registry's database or object store does not answer; functions go on being served. Try again soon";
        Self::platform(StatusCode::SERVICE_UNAVAILABLE, "registry-unavailable", "The registry is unavailable", detail)
    }

    /// The disk is full.
    pub(crate) fn storage_full() -> Self {
        let detail = "no storage is left on this node; functions go on being served. Delete functions that nobody needs, or give the \
                      data directory a larger disk, and try again";
        Self::platform(StatusCode::INSUFFICIENT_STORAGE, "storage-full", "Storage full", detail)
    }

    /// The client has closed its side of the connection. Most that do are gone, and never read this.
    pub(crate) fn client_left() -> Self {
        let detail = "the connection was closed from your side before the answer; keep it open until then";
        Self::platform(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail)
    }

    /// There is no memory for more.
    pub(crate) fn memory_pressure() -> Self {
        let detail = "this node is short of memory; try again soon";
        Self::platform(StatusCode::SERVICE_UNAVAILABLE, "node-busy", "The node is busy", detail)
    }

    /// No function answers at this address.
    pub(crate) fn unknown_function(what: impl Into<String>) -> Self {
        Self::platform(StatusCode::NOT_FOUND, "unknown-function", "Unknown function", what)
    }

    /// What a failed invocation looks like to a stranger who called the function.
    pub(crate) fn of_failure(failure: &Failure) -> Self {
        let (source, status, code) = kind(failure);
        let (title, public) = words(failure);
        Self::new(source, status, code, title, public.to_owned())
    }

    /// Tells all there is to tell. For functions whose manifest says `debug = true`.
    pub(crate) fn explained(mut self, cause: String, used: &Receipt, stderr: Option<String>) -> Self {
        self.detail = cause;
        let used = Used {
            cpu_us: used.cpu.as_micros() as u64,
            memory_bytes: used.memory_bytes,
            wall_us: used.wall.as_micros() as u64,
        };
        self.explanation = Some(Box::new(Explanation { used: Some(used), stderr, checks: None }));
        self
    }

    /// Says what is missing.
    pub(crate) fn with_checks(mut self, checks: Vec<Check>) -> Self {
        self.explanation = Some(Box::new(Explanation { checks: Some(checks), ..Explanation::default() }));
        self
    }

    /// Says when to try again.
    pub(crate) fn retry_after(mut self, time: Duration) -> Self {
        let rounded_up = time + Duration::from_secs(1) - Duration::from_nanos(1);
        self.retry_after_s = Some(rounded_up.as_secs().try_into().unwrap_or(u16::MAX));
        self
    }

    pub(crate) fn with_request_id(mut self, request_id: &str) -> Self {
        self.request_id = Some(request_id.to_owned());
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn title(&self) -> &'static str {
        self.title
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }
}

/// Failure -> whose, status and code. Without a wildcard: a new failure must be given an answer.
fn kind(failure: &Failure) -> (Source, StatusCode, &'static str) {
    use Source::{Function, Platform};
    match failure {
        Failure::Trap(_) => (Function, StatusCode::BAD_GATEWAY, "function-trapped"),
        Failure::NoResponse | Failure::ErrorCode(_) => (Function, StatusCode::BAD_GATEWAY, "no-response"),
        Failure::Memory { .. } => (Function, StatusCode::BAD_GATEWAY, "memory-limit"),
        Failure::Cpu { .. } => (Function, StatusCode::GATEWAY_TIMEOUT, "cpu-limit"),
        Failure::Timeout { .. } => (Function, StatusCode::GATEWAY_TIMEOUT, "timeout"),
        Failure::HostLimit(_) => (Function, StatusCode::BAD_GATEWAY, "host-limit"),
        Failure::ResponseTooLarge { .. } => (Function, StatusCode::BAD_GATEWAY, "response-too-large"),
        Failure::RequestTooLarge { .. } => (Platform, StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"),
        Failure::RequestTooSlow => (Platform, StatusCode::REQUEST_TIMEOUT, "body-too-slow"),
        Failure::FunctionBusy { .. } => (Platform, StatusCode::TOO_MANY_REQUESTS, "function-busy"),
        Failure::NamespaceBusy { .. } => (Platform, StatusCode::TOO_MANY_REQUESTS, "namespace-busy"),
        Failure::RateExceeded { .. } => (Platform, StatusCode::TOO_MANY_REQUESTS, "rate-exceeded"),
        Failure::NodeBusy => (Platform, StatusCode::SERVICE_UNAVAILABLE, "node-busy"),
        Failure::Unloadable(_) => (Platform, StatusCode::INTERNAL_SERVER_ERROR, "function-unloadable"),
        Failure::HostPanic | Failure::Cancelled => (Platform, StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

/// Failure -> title, and the text for strangers.
fn words(failure: &Failure) -> (&'static str, &'static str) {
    match failure {
        Failure::Trap(_) => ("The function failed", "the function stopped with an error"),
        Failure::NoResponse | Failure::ErrorCode(_) => {
            ("The function sent no response", "the function ended without a response")
        }
        Failure::Memory { .. } => ("Memory limit reached", "the function needed more memory than it may use"),
        Failure::Cpu { .. } => ("CPU limit reached", "the function used up its CPU time for one request"),
        Failure::Timeout { .. } => ("Time limit reached", "the function did not finish in time"),
        Failure::HostLimit(_) => ("Host limit reached", "the function asked the host for more than it may"),
        Failure::ResponseTooLarge { .. } => ("Response too large", "the function's response is larger than it may be"),
        Failure::RequestTooLarge { .. } => {
            ("Request body too large", "the request body is larger than the function takes; send less")
        }
        Failure::RequestTooSlow => (
            "Request body too slow",
            "the request body stood still, or came slower than this node waits for; send it faster",
        ),
        Failure::FunctionBusy { .. } => {
            ("The function is busy", "the function has as many requests open as it may; try again soon")
        }
        Failure::NamespaceBusy { .. } => (
            "The namespace is busy",
            "the functions of this namespace have as many requests open together as they may; try again soon",
        ),
        Failure::RateExceeded { .. } => (
            "Too many requests",
            "the functions of this namespace get more requests in a second than they may; try again soon",
        ),
        Failure::NodeBusy => ("The node is busy", "all slots are taken; try again soon"),
        Failure::Unloadable(_) => {
            ("The function cannot be loaded", "the platform could not load the function; its log has the cause")
        }
        Failure::HostPanic | Failure::Cancelled => ("Internal error", "the platform failed; its log has the cause"),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(&self)).into_response();
        // For whoever knows the request's id.
        response.extensions_mut().insert(self.clone());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        // It may name what the client sent: no browser shall take it for a page.
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let seconds = self.retry_after_s.map_or(RETRY_AFTER.as_secs(), u64::from);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"wasmway\""));
        }
        response
    }
}
