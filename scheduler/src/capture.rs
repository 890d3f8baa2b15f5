//! A recorded call, as it is written down: everything that came into the sandbox while it ran, and what came out.
//!
//! A call is what the host tells the guest, so with this, the component and nothing else it can be run once more. The
//! format is documented for people in `docs/record-and-replay.md`.

mod data;
mod fault;
mod redaction;

pub use data::Data;
pub use fault::Fault;
pub(crate) use redaction::is_redacted;
pub use redaction::{Keep, Redaction};

use http::HeaderMap;
use serde::{Deserialize, Serialize};

/// What a capture says that it is. Another number is another format.
pub const CAPTURE_FORMAT: &str = "wasmway-capture/1";

/// One call with everything that is needed to run it once more, but its component.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Capture {
    /// [`CAPTURE_FORMAT`].
    pub format: String,
    /// When the call came (RFC 3339).
    pub recorded_at: String,
    /// The `x-request-id` of its answer.
    pub request_id: String,
    pub function: CapturedFunction,
    /// What went into the sandbox, and what the function answered.
    #[serde(flatten)]
    pub recorded: Recorded,
    /// How the call ended.
    pub end: End,
    /// What is not in here since it may be a secret: in its place is a placeholder, the same for the same value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redacted: Vec<String>,
}

/// The version of a function that was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedFunction {
    pub namespace: String,
    pub name: String,
    pub version: u32,
    /// Of its component: `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// The version of WASI that it is written for.
    pub wasi: String,
    pub limits: CapturedLimits,
    /// Its environment, in order.
    pub env: Vec<(String, String)>,
}

/// What a request of the function may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedLimits {
    pub memory_bytes: u64,
    pub cpu_us: u64,
    pub timeout_us: u64,
    pub request_body_bytes: u64,
    pub response_body_bytes: u64,
}

/// What went into the sandbox while a call ran, and what the function answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Recorded {
    pub request: Message,
    pub clocks: Clocks,
    pub random: Random,
    #[serde(default)]
    pub waits: Waits,
    /// In the order in which they were sent.
    pub outbound: Vec<Exchange>,
    /// The function's answer, where it gave one.
    pub response: Option<Response>,
    /// What there was no room for: a replay cannot go beyond it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub truncated: Vec<String>,
}

/// A request: the one that the function got, or one that it sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub method: String,
    pub uri: String,
    pub headers: Headers,
    pub body: Body,
}

/// An answer: the function's, or one that it got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub status: u16,
    pub headers: Headers,
    pub body: Body,
}

/// Names and values of headers, in order.
pub type Headers = Vec<(String, Data)>;

/// As much of a body as somebody read of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    pub data: Data,
    /// Its pieces: the bytes of each, and the nanoseconds that it came after what was before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<(usize, u64)>,
    /// Bytes that there were, also of those for which there was no room.
    pub bytes: u64,
    /// It was read to its end.
    pub complete: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trailers: Headers,
    /// It broke off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

impl Body {
    /// Whether there was no room for all of it.
    pub fn is_cut(&self) -> bool {
        self.bytes > self.data.0.len() as u64
    }
}

/// What the guest read from its clocks, in order, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clocks {
    /// Since 1970.
    pub wall_ns: Vec<u64>,
    /// Since the call came.
    pub monotonic_ns: Vec<u64>,
}

/// The random bytes that the guest got, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Random {
    pub secure: Data,
    pub insecure: Data,
    /// 32 hexadecimal digits.
    pub insecure_seed: String,
}

/// What the guest got to know of what it waited for, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// Of each `poll`: how many things it was about, and which of them were there.
    pub polls: Vec<(u32, Vec<u32>)>,
    /// Of each look at one thing: whether it was there.
    pub looks: Vec<bool>,
}

/// An outbound request and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    pub request: Message,
    /// Nanoseconds until the head of the answer, or the error, was there.
    pub after_ns: u64,
    pub result: ExchangeResult,
}

/// What came of an outbound request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExchangeResult {
    Response(Response),
    Error(Fault),
    /// The call was over before there was any.
    Nothing,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The status that the client got: the function's, or that of the problem that the platform answered in its place.
    pub status: u16,
    /// `ok`, or what ended it.
    pub outcome: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub cpu_us: u64,
    pub wall_us: u64,
    pub memory_bytes: u64,
}

/// Headers as a capture has them.
pub(crate) fn headers_of(headers: &HeaderMap) -> Headers {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), Data(value.as_bytes().to_vec()))).collect()
}

/// Headers of a capture as they are; those that are none are left out.
pub(crate) fn header_map(headers: &Headers) -> HeaderMap {
    let parsed = headers.iter().filter_map(|(name, value)| {
        Some((http::HeaderName::try_from(name).ok()?, http::HeaderValue::from_bytes(&value.0).ok()?))
    });
    let mut map = HeaderMap::new();
    for (name, value) in parsed {
        map.append(name, value);
    }
    map
}
