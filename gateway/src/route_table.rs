//! Which function answers where: an immutable table that is swapped whole, so that a request sees one
//! state of it and takes no lock.

#[cfg(test)]
mod lookup;
#[cfg(test)]
mod model;

use crate::{
    address::Address,
    backend::{Backend, Published, SplitBackend},
    journal::Journal,
    metrics::FunctionMetrics,
};
use jiff::Timestamp;
use std::{collections::HashMap, sync::Arc};
use wasmway_registry::manifest::RouteRule;
use wasmway_scheduler::Function;

/// A version of a function that is served, with all that its requests need.
pub(crate) struct Served {
    pub(crate) function: Function,
    pub(crate) journal: Arc<Journal>,
    /// When the version was first deployed: with its number and its digest, which version it is.
    pub(crate) created_at: Timestamp,
    pub(crate) metrics: FunctionMetrics,
    /// Failures are shown to the client in full.
    pub(crate) debug: bool,
    /// The client is told what its request took.
    pub(crate) server_timing: bool,
    /// The addresses that it asked for.
    pub(crate) routes: Vec<RouteRule>,
}

/// A function and how much of the path led to it.
pub(crate) struct Match<'a> {
    pub(crate) backend: &'a Backend,
    /// Bytes of the path that the function does not see.
    pub(crate) prefix: usize,
}

/// The routes of all functions.
#[derive(Default)]
pub(crate) struct RouteTable {
    /// By `function` (in the namespace `default`) and by `function.namespace`; a version that has an address of its own
    /// also by `function@version` and, for hosts, by `version.function`. No name begins with a digit.
    by_name: HashMap<String, Backend>,
    /// By host, then path prefix, longest first. The empty host is any.
    by_host: HashMap<String, Declared>,
    /// By what stands behind the `*.` of the host.
    by_wildcard: HashMap<String, Declared>,
    /// Those whose requests are split.
    splits: Vec<Arc<SplitBackend>>,
    functions: usize,
    /// With a dot before it.
    domain: Option<String>,
}

impl RouteTable {
    pub(crate) fn new(functions: impl IntoIterator<Item = Published>, domain: Option<&str>) -> Self {
        let mut table = Self { domain: domain.map(|domain| format!(".{domain}")), ..Self::default() };
        for Published { backend, previews } in functions {
            if let Backend::Split(split) = &backend {
                table.splits.push(split.clone());
            }
            table.functions += 1;
            let served = backend.leader();
            let (namespace, name) = (served.function.namespace(), served.function.name());
            let is_default = **namespace == *"default";
            for called in is_default.then(|| name.to_string()).into_iter().chain([format!("{name}.{namespace}")]) {
                for preview in &previews {
                    let version = preview.function.version();
                    table.by_name.insert(format!("{called}@{version}"), Backend::One(preview.clone()));
                    table.by_name.insert(format!("{version}.{called}"), Backend::One(preview.clone()));
                }
                table.by_name.insert(called, backend.clone());
            }
            for route in &served.routes {
                let host = route.host().unwrap_or_default();
                let routes = match host.strip_prefix("*.") {
                    Some(behind) => table.by_wildcard.entry(behind.to_owned()),
                    None => table.by_host.entry(host.to_owned()),
                };
                routes.or_default().push((route.path().to_owned(), backend.clone()));
            }
        }
        for routes in table.by_host.values_mut().chain(table.by_wildcard.values_mut()) {
            routes.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        }
        table
    }

    /// The function of a name in a namespace.
    pub(crate) fn named(&self, namespace: &str, name: &str) -> Option<&Backend> {
        self.by_name.get(&format!("{name}.{namespace}"))
    }

    /// How many functions there are.
    pub(crate) fn functions(&self) -> usize {
        self.functions
    }

    /// All functions, each once, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Backend> {
        // Each is there by its full name, some once more by a short one, which has no dot, and versions by names that are
        // none of functions.
        let is_full = |name: &str| {
            name.contains('.') && !name.contains('@') && name.starts_with(|c: char| c.is_ascii_lowercase())
        };
        self.by_name.iter().filter(move |(name, _)| is_full(name)).map(|(_, backend)| backend)
    }

    /// All functions of a namespace, in no order.
    pub(crate) fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &Backend> {
        self.all().filter(move |backend| **backend.leader().function.namespace() == *namespace)
    }

    /// All splits.
    pub(crate) fn splits(&self) -> &[Arc<SplitBackend>] {
        &self.splits
    }

    /// The function that answers at an address. A host that somebody declared comes first, then a host
    /// below our domain, then the hosts that `*` was declared for, then the name at the head of the path, and last the
    /// paths that were declared for any host: so that nobody can put a path, or a `*`, before another's name.
    pub(crate) fn find(&self, address: &Address<'_>) -> Option<Match<'_>> {
        let lower;
        let host = match address.host {
            Some(host) if host.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                lower = host.to_ascii_lowercase();
                lower.as_str()
            }
            Some(host) => host,
            None => "",
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        let own_host = if host.is_empty() { None } else { declared(&self.by_host, host, address.path) };
        own_host
            .or_else(|| self.below_domain(host))
            .or_else(|| declared(&self.by_wildcard, host.split_once('.')?.1, address.path))
            .or_else(|| self.at_path(address.path))
            .or_else(|| declared(&self.by_host, "", address.path))
    }

    fn below_domain(&self, host: &str) -> Option<Match<'_>> {
        let name = host.strip_suffix(self.domain.as_deref()?)?;
        Some(Match { backend: self.by_name.get(name)?, prefix: 0 })
    }

    fn at_path(&self, path: &str) -> Option<Match<'_>> {
        let rest = path.strip_prefix('/')?;
        let name = rest.split('/').next()?;
        Some(Match { backend: self.by_name.get(name)?, prefix: 1 + name.len() })
    }
}

/// The paths that were declared for one host, longest first.
type Declared = Vec<(String, Backend)>;

fn declared<'a>(by_host: &'a HashMap<String, Declared>, host: &str, path: &str) -> Option<Match<'a>> {
    let covers = |prefix: &str| {
        prefix == "/" || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let (prefix, backend) = by_host.get(host)?.iter().find(|(prefix, _)| covers(prefix))?;
    Some(Match { backend, prefix: if prefix == "/" { 0 } else { prefix.len() } })
}
