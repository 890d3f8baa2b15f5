//! What a version of a function asks for: the `wasmway.toml` that came with its component.

mod byte_size;
mod human_duration;
mod outbound;
mod ranges;
mod reading;
mod routes;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use byte_size::{ByteSize, ByteSizeError};
pub use outbound::{AllowedHost, AllowedOrigin, OriginError, Outbound};
pub(crate) use ranges::check_cpu_weight;
pub use reading::ManifestError;
pub use routes::{RouteError, RouteRule};

use crate::names::FunctionName;

/// What a version of a function asks for. Fields that a manifest leaves out have their defaults.
///
/// [`Manifest::from_toml`] is the strict way in, for what a person wrote: it refuses unknown fields and values out
/// of range. Deserializing is the tolerant one, for what a Wasmway process wrote, in the registry or in an answer of
/// the control API: a newer version may know fields and ranges that this one does not, and after going back to this
/// one its functions must still load. So unknown fields are passed over there and ranges are not checked; only the
/// form of each value is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// The function to deploy to, for tools that are not told another way.
    pub name: Option<FunctionName>,
    /// How the component is made. For tools; the platform never runs it.
    pub build: Build,
    /// What one request may use.
    pub limits: Limits,
    /// How its instances are used.
    pub instances: Instances,
    /// Environment variables that the function sees.
    pub env: BTreeMap<String, String>,
    /// What the function may reach over the network.
    pub outbound: Outbound,
    /// Addresses that the function answers at besides its name.
    pub routes: Vec<RouteRule>,
    /// Whether each version has an address of its own, as long as it is one of the newest ten: to try it out before it
    /// gets requests.
    pub preview: bool,
    /// Whether answers to failed requests may tell the client what the function did.
    pub debug: bool,
    /// Whether answers tell the client what they took, in a `Server-Timing` header.
    pub server_timing: bool,
}

/// How a component is made from its project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Build {
    /// The command that builds the component, run by a shell in the project's folder.
    pub command: Option<String>,
    /// The path of the built component, from the project's folder.
    pub component: Option<String>,
}

/// How the instances of a function are used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Instances {
    /// Requests that one instance serves, one after the other, before there is a new one. Of more than one, each finds in
    /// memory what those before it have left. Default 1; more only for components of WASI 0.3.
    pub reuse: u32,
}

impl Default for Instances {
    fn default() -> Self {
        Self { reuse: 1 }
    }
}

/// What one request, and on one node one function, may use. A node may cap each of them lower.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// All memories and tables of one instance together. Default 128MiB.
    pub memory: ByteSize,
    /// CPU time of one request. Default 1s.
    #[serde(with = "human_duration")]
    pub cpu: Duration,
    /// Wall-clock time of one request, its body and the answer's included. Default 30s.
    #[serde(with = "human_duration")]
    pub timeout: Duration,
    /// The share of CPU time beside other functions that want more than there is: one of 200 gets twice what one of
    /// 100 gets. Default 100.
    pub cpu_weight: u32,
    /// Requests at once on one node. Default 256.
    pub concurrency: u32,
    /// The body of a request. Default 1GiB.
    pub request_body: ByteSize,
    /// The body of an answer. Default 1GiB.
    pub response_body: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: ByteSize::mib(128),
            cpu: Duration::from_secs(1),
            timeout: Duration::from_secs(30),
            cpu_weight: 100,
            concurrency: 256,
            request_body: ByteSize::gib(1),
            response_body: ByteSize::gib(1),
        }
    }
}
