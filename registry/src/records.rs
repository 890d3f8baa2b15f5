//! What the registry is told and what it answers.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::manifest::Manifest;
use crate::names::{FunctionName, Namespace, Version};

/// A version to be deployed. Its artifact is stored already.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// The namespace of the function.
    pub namespace: Namespace,
    /// The function, which need not exist yet.
    pub name: FunctionName,
    /// The component.
    pub digest: Digest,
    /// The component's size in bytes.
    pub size: u64,
    /// The interface that the component answers requests by, such as `wasi:http/incoming-handler@0.2.10`.
    pub world: String,
    /// The interfaces that the component imports.
    pub imports: Vec<String>,
    /// What the version asks for.
    pub manifest: Manifest,
    /// Percent of the function's requests that the version gets, from 0 to 100; the active version keeps the others. The
    /// first version of a function gets all of them.
    pub traffic: u32,
}

/// A function that has an active version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: FunctionName,
    /// The version that answers requests: all of them, or with a split the greater part.
    pub active: VersionRecord,
    /// How requests are split over several versions, of which the active one is one.
    pub split: Option<Split>,
    /// Versions that have addresses of their own, the newest first: those of the newest [`PREVIEWS_MAX`] whose manifests
    /// ask for it. The active one may be among them.
    #[serde(default)]
    pub previews: Vec<VersionRecord>,
    /// When it was first deployed, or first again after it was deleted.
    pub created_at: Timestamp,
    /// When its active version became active.
    pub deployed_at: Timestamp,
    /// The registry's revision when it last changed.
    pub revision: u64,
}

impl Function {
    /// Its namespace and name, by which it is known.
    pub fn key(&self) -> (Namespace, FunctionName) {
        (self.namespace.clone(), self.name.clone())
    }

    /// The versions that can be called, the active one first. One that is there for two reasons may be there twice.
    pub fn served_versions(&self) -> impl Iterator<Item = &VersionRecord> {
        let others = self.split.iter().flat_map(|split| split.shares.iter().map(|(version, _)| version));
        std::iter::once(&self.active).chain(others.chain(&self.previews).filter(|version| !version.active))
    }
}

/// How the requests of a function are split over its versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// The versions by number, with their weights: each gets its weight's share of the sum.
    pub shares: Vec<(VersionRecord, u32)>,
    /// What a client is known by, so that it gets the same version every time.
    pub sticky: Option<Sticky>,
    /// By what a version other than the active one is taken back by itself; `None` for never.
    pub trial: Option<Trial>,
}

/// By what a version on trial is taken back by itself: when it does worse than the active one on any node.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trial {
    /// Requests of each of the two on one node before they are compared. Default 100.
    pub requests: u32,
    /// Percentage points by which more of its requests may fail, or be answered 5xx. Default 5.
    pub errors: f64,
    /// How many times as long its p99 latency may be. Default 3.
    pub slower: f64,
}

impl Default for Trial {
    fn default() -> Self {
        Self { requests: 100, errors: 5.0, slower: 3.0 }
    }
}

/// A version on trial that does worse, and is to get no more requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeBack {
    /// The function's namespace.
    pub namespace: Namespace,
    /// The function.
    pub name: FunctionName,
    /// The version.
    pub version: Version,
    /// The function's revision when that was found out: if it has changed since, nothing is taken back.
    pub revision: u64,
    /// What is worse.
    pub why: String,
}

/// What a split asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// Weights by version; a weight of 0 is as good as no mention.
    pub weights: BTreeMap<Version, u32>,
    /// What a client is known by.
    pub sticky: Option<Sticky>,
    /// By what a version is taken back by itself.
    pub trial: Option<Trial>,
}

/// What a client is known by, so that a split gives it the same version every time. Written `header:NAME` or `cookie:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Sticky {
    /// The value of a header.
    Header(String),
    /// The value of a cookie.
    Cookie(String),
}

/// The longest name that a header or cookie may have which a split goes by, in bytes.
const STICKY_BYTES_MAX: usize = 64;

impl FromStr for Sticky {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once(':').unwrap_or((text, ""));
        // What RFC 9110 and RFC 6265 call a token.
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || name.len() > STICKY_BYTES_MAX || !name.bytes().all(is_token) {
            return Err(format!(
                "write it as header:NAME or cookie:NAME, with a name of at most {STICKY_BYTES_MAX} bytes"
            ));
        }
        match kind {
            "header" => Ok(Self::Header(name.to_ascii_lowercase())),
            "cookie" => Ok(Self::Cookie(name.to_owned())),
            _ => Err(format!("{kind:?} is not header or cookie")),
        }
    }
}

impl TryFrom<String> for Sticky {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Sticky> for String {
    fn from(sticky: Sticky) -> String {
        sticky.to_string()
    }
}

impl fmt::Display for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

/// A version of a function. All but `active` never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// Its number.
    pub version: Version,
    /// Its component.
    pub digest: Digest,
    /// The component's size in bytes.
    pub size: u64,
    /// The interface that the component answers requests by.
    pub world: String,
    /// The interfaces that the component imports.
    pub imports: Vec<String>,
    /// What it asks for.
    pub manifest: Manifest,
    /// When it was first deployed.
    pub created_at: Timestamp,
    /// Whether it is the one that answers requests.
    pub active: bool,
}

/// What a deployment came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployed {
    /// The function as it is now.
    pub function: Function,
    /// The version of this content.
    pub version: Version,
    /// Whether it is a new one; otherwise one of the same content was there.
    pub created: bool,
}

/// What has changed since a revision, up to one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// The revision up to which this is all: what to ask after next.
    pub revision: u64,
    /// Functions that came to be or changed, as they are now, in the order of their last changes.
    pub functions: Vec<Function>,
    /// Functions that were deleted.
    pub gone: Vec<(Namespace, FunctionName)>,
    /// Namespaces whose quotas changed. A registry of before there were any does not say.
    #[serde(default)]
    pub namespaces: Vec<NamespaceLimits>,
    /// Whether there is more after this: a page has at most [`CHANGES_MAX`] functions.
    pub more: bool,
}

impl Changes {
    /// Adds the page that comes after this one.
    pub fn append(&mut self, next: Changes) {
        let Changes { revision, functions, gone, namespaces, more } = next;
        (self.revision, self.more) = (revision, more);
        self.functions.extend(functions);
        self.gone.extend(gone);
        self.namespaces.extend(namespaces);
    }

    /// Says of the functions in `known` that are not here that they are gone, and of the namespaces in `limited` that are
    /// not here that they have no limits. For what is everything that a registry has.
    pub fn forget_others<'a>(
        &mut self,
        known: impl Iterator<Item = &'a (Namespace, FunctionName)>,
        limited: impl Iterator<Item = &'a Namespace>,
    ) {
        let there: HashSet<_> = self.functions.iter().map(Function::key).collect();
        self.gone = known.filter(|key| !there.contains(*key)).cloned().collect();
        let named: HashSet<_> = self.namespaces.iter().map(|limits| limits.namespace.clone()).collect();
        let others = limited.filter(|namespace| !named.contains(*namespace)).cloned();
        self.namespaces.extend(others.map(NamespaceLimits::none));
    }
}

/// What all functions of a namespace may have of each node together: the part of its quota that nodes see to. What is
/// `None` has no bound of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceLimits {
    /// The namespace.
    pub namespace: Namespace,
    /// Requests at once.
    pub concurrency: Option<u32>,
    /// Requests that may begin in a second.
    pub requests_per_second: Option<u32>,
    /// Share of CPU time beside other namespaces.
    pub cpu_weight: Option<u32>,
}

impl NamespaceLimits {
    fn none(namespace: Namespace) -> Self {
        Self { namespace, concurrency: None, requests_per_second: None, cpu_weight: None }
    }

    /// Whether nothing has a bound of its own.
    pub fn is_none(&self) -> bool {
        *self == Self::none(self.namespace.clone())
    }
}

/// The newest versions of a function, so many, may have addresses of their own.
pub const PREVIEWS_MAX: u32 = 10;

/// The most functions that one page of [`Changes`] has.
pub const CHANGES_MAX: u32 = 1000;
