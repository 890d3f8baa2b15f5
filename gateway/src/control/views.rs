//! What the API says about functions.

use super::ControlPlane;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use wasmway_registry::{Function, FunctionName, Namespace, Split, Trial, Version, VersionRecord};

/// A function as it is served now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Function)]
pub(super) struct FunctionView {
    #[schema(example = "default")]
    pub(super) namespace: String,
    #[schema(example = "hello")]
    pub(super) name: String,
    /// The version that answers requests, or the greater part of them; counted from 1.
    pub(super) version: u32,
    /// How requests are split over versions; null when one version gets them all.
    pub(super) traffic: Option<TrafficView>,
    /// The registry's revision when the function last changed: a node that serves this revision serves the function as it
    /// is here.
    pub(super) revision: u64,
    /// SHA-256 of the component.
    #[schema(example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    pub(super) digest: String,
    /// Where it is called.
    #[schema(example = "http://127.0.0.1:8080/hello/")]
    pub(super) url: String,
    /// Bytes of the component.
    pub(super) size: u64,
    /// The interface that requests go to.
    #[schema(example = "wasi:http/incoming-handler@0.2.10")]
    pub(super) world: String,
    /// The interfaces that it imports.
    pub(super) imports: Vec<String>,
    /// When the function came to be.
    #[schema(value_type = String, format = DateTime)]
    pub(super) created_at: Timestamp,
    /// When this version began to answer requests.
    #[schema(value_type = String, format = DateTime)]
    pub(super) deployed_at: Timestamp,
    /// What the version asks for, with every default filled in.
    #[schema(value_type = Object)]
    pub(super) manifest: Value,
}

/// How the requests of a function are split over its versions.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Traffic, example = json!({"weights": {"3": 90, "4": 10}, "sticky": "header:x-user"}))]
#[serde(deny_unknown_fields)]
pub(super) struct TrafficView {
    /// Weights by version: each gets its weight's share of the sum. At most 10 versions; each weight at most 1000000.
    #[schema(value_type = BTreeMap<String, u32>)]
    pub(super) weights: BTreeMap<Version, u32>,
    /// What a client is known by, so that it gets the same version every time: `header:NAME` or `cookie:NAME`. Requests
    /// without it are split at random.
    #[serde(default)]
    pub(super) sticky: Option<String>,
    /// Takes a version back by itself that does worse than the active one: after so many `requests` of each on a node, if
    /// more than `errors` percentage points more of its requests fail, or its p99 latency is more than `slower` times as
    /// long. Off when it is left out.
    #[schema(value_type = Option<Object>)]
    #[serde(default)]
    pub(super) trial: Option<Trial>,
}

impl From<Split> for TrafficView {
    fn from(split: Split) -> Self {
        let weights = split.shares.into_iter().map(|(version, weight)| (version.version, weight));
        Self { weights: weights.collect(), sticky: split.sticky.map(|sticky| sticky.to_string()), trial: split.trial }
    }
}

/// A version of a function. It never changes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Version)]
pub(super) struct VersionView {
    pub(super) version: u32,
    /// SHA-256 of the component.
    pub(super) digest: String,
    /// Bytes of the component.
    pub(super) size: u64,
    /// The interface that requests go to.
    pub(super) world: String,
    /// The interfaces that it imports.
    pub(super) imports: Vec<String>,
    /// When it was deployed first.
    #[schema(value_type = String, format = DateTime)]
    pub(super) created_at: Timestamp,
    /// Whether it answers requests.
    pub(super) active: bool,
    /// Where this version alone is called; null where it has no address of its own: its manifest does not say
    /// `preview = true`, or it is not one of the newest ten.
    #[schema(example = "http://127.0.0.1:8080/hello@4/")]
    pub(super) preview_url: Option<String>,
    /// What it asks for, with every default filled in.
    #[schema(value_type = Object)]
    pub(super) manifest: Value,
}

impl ControlPlane {
    /// Where a function is called.
    pub(crate) fn url_of(&self, namespace: &Namespace, name: &FunctionName) -> String {
        format!("{}/{}/", self.data_url, address(namespace, name))
    }

    /// A function for the API.
    pub(super) fn view(&self, function: Function) -> Result<FunctionView, serde_json::Error> {
        let Function { namespace, name, active, split, created_at, deployed_at, revision, .. } = function;
        Ok(FunctionView {
            url: self.url_of(&namespace, &name),
            namespace: namespace.into(),
            name: name.into(),
            version: active.version.get(),
            traffic: split.map(TrafficView::from),
            revision,
            digest: active.digest.to_string(),
            size: active.size,
            world: active.world,
            imports: active.imports,
            created_at,
            deployed_at,
            manifest: serde_json::to_value(active.manifest)?,
        })
    }

    /// Where a version of the function alone is called, if it has an address of its own.
    pub(crate) fn preview_url(&self, function: &Function, version: Version) -> Option<String> {
        let has_one = function.previews.iter().any(|preview| preview.version == version);
        let address = address(&function.namespace, &function.name);
        has_one.then(|| format!("{}/{address}@{version}/", self.data_url))
    }

    /// A version of the function for the API.
    pub(super) fn version_view(
        &self,
        function: &Function,
        record: VersionRecord,
    ) -> Result<VersionView, serde_json::Error> {
        Ok(VersionView {
            preview_url: self.preview_url(function, record.version),
            version: record.version.get(),
            digest: record.digest.to_string(),
            size: record.size,
            world: record.world,
            imports: record.imports,
            created_at: record.created_at,
            active: record.active,
            manifest: serde_json::to_value(record.manifest)?,
        })
    }
}

/// What comes first in the path of a call.
fn address(namespace: &Namespace, name: &FunctionName) -> String {
    if namespace.as_str() == "default" { name.to_string() } else { format!("{name}.{namespace}") }
}
