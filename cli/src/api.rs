//! The control API's answers, as far as the commands read them. `-o json` prints the whole answer instead.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;
use wasmway_registry::{Difference, NodeLoad, Quota, Trial};

/// A function as it is served now.
#[derive(Debug, Deserialize)]
pub(crate) struct Function {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) version: u32,
    /// The version of the content that was deployed; only where a deploy is answered.
    #[serde(default)]
    pub(crate) deployed_version: Option<u32>,
    /// Where that version alone is called; only where a deploy is answered.
    #[serde(default)]
    pub(crate) preview_url: Option<String>,
    /// How long its component was compiled, if it had to be; only where a deploy is answered.
    #[serde(default)]
    pub(crate) compile_ms: Option<u64>,
    /// How requests are split; `None` when one version gets them all.
    #[serde(default)]
    pub(crate) traffic: Option<Traffic>,
    /// The registry's revision when it last changed.
    #[serde(default)]
    pub(crate) revision: u64,
    pub(crate) digest: String,
    pub(crate) url: Url,
    /// Of the component, in bytes.
    pub(crate) size: u64,
    /// What it exports, such as `wasi:http/incoming-handler@0.2.10`.
    pub(crate) world: String,
    pub(crate) imports: Vec<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) deployed_at: Timestamp,
    pub(crate) manifest: serde_json::Value,
}

/// How the requests of a function are split over its versions.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Traffic {
    pub(crate) weights: BTreeMap<u32, u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sticky: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trial: Option<Trial>,
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum: u64 = self.weights.values().map(|weight| u64::from(*weight)).sum();
        for (place, (version, weight)) in self.weights.iter().enumerate() {
            let percent = f64::from(*weight) * 100.0 / sum as f64;
            write!(f, "{}v{version} {percent:.1}%", if place == 0 { "" } else { ", " })?;
        }
        if let Some(sticky) = &self.sticky {
            write!(f, ", by {sticky}")?;
        }
        if self.trial.is_some() {
            f.write_str(", on trial")?;
        }
        Ok(())
    }
}

/// What a deploy would change.
#[derive(Debug, Deserialize)]
pub(crate) struct Plan {
    pub(crate) version: Option<u32>,
    pub(crate) component_changes: bool,
    pub(crate) differences: Vec<Difference>,
    pub(crate) grows: bool,
}

/// All namespaces.
#[derive(Debug, Deserialize)]
pub(crate) struct NamespaceList {
    pub(crate) namespaces: Vec<NamespaceView>,
}

/// A namespace with what it has and may have.
#[derive(Debug, Deserialize)]
pub(crate) struct NamespaceView {
    pub(crate) name: String,
    pub(crate) functions: u64,
    pub(crate) component_bytes: u64,
    pub(crate) quota: Quota,
}

/// All tokens.
#[derive(Debug, Deserialize)]
pub(crate) struct TokenList {
    pub(crate) tokens: Vec<Token>,
}

/// A token, without its secret.
#[derive(Debug, Deserialize)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) namespace: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) last_used_at: Option<Timestamp>,
}

/// A token that was made.
#[derive(Deserialize)]
pub(crate) struct CreatedToken {
    pub(crate) secret: String,
}

/// A part of the log of changes.
#[derive(Debug, Deserialize)]
pub(crate) struct AuditPage {
    pub(crate) entries: Vec<AuditEntry>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct AuditEntry {
    pub(crate) id: i64,
    pub(crate) at: Timestamp,
    pub(crate) author: String,
    pub(crate) address: String,
    pub(crate) action: String,
    pub(crate) subject: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

/// The nodes of a fleet.
#[derive(Debug, Deserialize)]
pub(crate) struct NodeList {
    pub(crate) nodes: Vec<Node>,
    pub(crate) revision: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) revision: u64,
    pub(crate) failing: Vec<String>,
    pub(crate) seen_at: Timestamp,
    pub(crate) live: bool,
    pub(crate) load: Option<NodeLoad>,
}

/// One page of a namespace's functions.
#[derive(Debug, Deserialize)]
pub(crate) struct FunctionPage {
    pub(crate) functions: Vec<serde_json::Value>,
    /// Last name of this page when there are more.
    pub(crate) next: Option<String>,
}

/// Every version of a function, newest first.
#[derive(Debug, Deserialize)]
pub(crate) struct VersionList {
    pub(crate) versions: Vec<Version>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Version {
    pub(crate) version: u32,
    pub(crate) digest: String,
    /// Of the component, in bytes.
    pub(crate) size: u64,
    pub(crate) world: String,
    pub(crate) created_at: Timestamp,
    pub(crate) active: bool,
    /// Where this version alone is called.
    #[serde(default)]
    pub(crate) preview_url: Option<String>,
}

/// One line that a function wrote to its standard output or error, or that the platform wrote about one of its calls.
#[derive(Debug, Deserialize)]
pub(crate) struct LogLine {
    pub(crate) time: Timestamp,
    pub(crate) level: String,
    pub(crate) stream: String,
    pub(crate) version: u32,
    pub(crate) request_id: String,
    pub(crate) message: String,
}

/// The latest calls of a function, newest first.
#[derive(Debug, Deserialize)]
pub(crate) struct InvocationList {
    pub(crate) invocations: Vec<InvocationRecord>,
}

/// One call of a function, with what it used.
#[derive(Debug, Deserialize)]
pub(crate) struct InvocationRecord {
    pub(crate) time: Timestamp,
    pub(crate) request_id: String,
    pub(crate) namespace: String,
    pub(crate) function: String,
    pub(crate) version: u32,
    pub(crate) method: String,
    pub(crate) path: String,
    /// 0 when the client left before there was one.
    pub(crate) status: u16,
    pub(crate) outcome: String,
    pub(crate) wall_us: u64,
    pub(crate) queued_us: u64,
    pub(crate) cpu_us: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) cold: bool,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) outbound_requests: u64,
    pub(crate) outbound_bytes: u64,
    /// The node that ran it; only where one call is asked for.
    #[serde(default)]
    pub(crate) node: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub(crate) error: Option<String>,
    /// The end of its standard error, when it failed; only where one call is asked for.
    #[serde(default)]
    pub(crate) stderr: Option<String>,
}

/// The recording of a function.
#[derive(Debug, Deserialize)]
pub(crate) struct RecordingView {
    pub(crate) id: String,
    /// `recording`, or `done`.
    pub(crate) progress: String,
    /// Calls that there was no room for, or whose clients left.
    pub(crate) passed_over: u64,
    pub(crate) captures: Vec<CaptureSummary>,
}

/// A call that was recorded.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CaptureSummary {
    pub(crate) number: usize,
    pub(crate) request_id: String,
    pub(crate) time: Timestamp,
    pub(crate) version: u32,
    pub(crate) digest: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) outcome: String,
    /// Of the capture.
    pub(crate) bytes: u64,
    /// What there was no room for.
    pub(crate) truncated: Vec<String>,
}

/// An RFC 9457 problem.
#[derive(Debug, Deserialize)]
pub(crate) struct Problem {
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) detail: String,
    pub(crate) code: String,
    /// `platform`, or `function` when the function itself failed.
    pub(crate) source: String,
    #[serde(default)]
    pub(crate) request_id: Option<String>,
}

/// Media type of [`Problem`].
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        match &self.request_id {
            Some(request_id) => write!(f, " ({}, {request_id})", self.code)?,
            None => write!(f, " ({})", self.code)?,
        }
        if self.code == "unauthorized" {
            f.write_str(
                "\npass the token by --token or WASMWAY_TOKEN; it is in the file admin.token of the platform's data directory",
            )?;
        }
        Ok(())
    }
}
