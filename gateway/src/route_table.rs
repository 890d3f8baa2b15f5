//! Which function answers where: an immutable table that is swapped whole, so that a request sees one
//! state of it and takes no lock.

#[cfg(test)]
mod model;

use crate::{
    address::Address,
    backend::{Backend, SplitBackend},
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
    /// By `function` (in the namespace `default`) and by `function.namespace`.
    by_name: HashMap<String, Backend>,
    /// By host, then path prefix, longest first. The empty host is any.
    by_host: HashMap<String, Vec<(String, Backend)>>,
    /// Those whose requests are split.
    splits: Vec<Arc<SplitBackend>>,
    /// With a dot before it.
    domain: Option<String>,
}

impl RouteTable {
    pub(crate) fn new(functions: impl IntoIterator<Item = Backend>, domain: Option<&str>) -> Self {
        let mut table = Self { domain: domain.map(|domain| format!(".{domain}")), ..Self::default() };
        for backend in functions {
            if let Backend::Split(split) = &backend {
                table.splits.push(split.clone());
            }
            let served = backend.leader();
            let (namespace, name) = (served.function.namespace(), served.function.name());
            if **namespace == *"default" {
                table.by_name.insert(name.to_string(), backend.clone());
            }
            table.by_name.insert(format!("{name}.{namespace}"), backend.clone());
            for route in &served.routes {
                let host = route.host().unwrap_or_default().to_owned();
                table.by_host.entry(host).or_default().push((route.path().to_owned(), backend.clone()));
            }
        }
        for routes in table.by_host.values_mut() {
            routes.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        }
        table
    }

    /// The function of a name in a namespace.
    pub(crate) fn named(&self, namespace: &str, name: &str) -> Option<&Backend> {
        self.by_name.get(&format!("{name}.{namespace}"))
    }

    /// All functions, each once.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Backend> {
        // The name with the namespace behind it is that of one function; names have no dots.
        self.by_name.iter().filter(|(name, _)| name.contains('.')).map(|(_, backend)| backend)
    }

    /// All splits.
    pub(crate) fn splits(&self) -> &[Arc<SplitBackend>] {
        &self.splits
    }

    /// The function that answers at an address. A host that somebody declared comes first, then a host
    /// below our domain, then the name at the head of the path, and last the paths that were declared for
    /// any host: so that nobody can put a path before another's name.
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
        let declared = if host.is_empty() { None } else { self.declared(host, address.path) };
        declared
            .or_else(|| self.below_domain(host))
            .or_else(|| self.at_path(address.path))
            .or_else(|| self.declared("", address.path))
    }

    fn declared(&self, host: &str, path: &str) -> Option<Match<'_>> {
        let covers = |prefix: &str| {
            prefix == "/" || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let (prefix, backend) = self.by_host.get(host)?.iter().find(|(prefix, _)| covers(prefix))?;
        Some(Match { backend, prefix: if prefix == "/" { 0 } else { prefix.len() } })
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
