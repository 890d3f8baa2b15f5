//! What is served now: the registry's state, made into a route table.

use crate::{
    config::Config,
    journal::Journal,
    metrics::Metrics,
    route_table::{RouteTable, Served},
};
use arc_swap::ArcSwap;
use std::{collections::HashMap, sync::Arc};
use tokio::sync::Mutex;
use wasmway_registry::{self as registry, FunctionName, Namespace, Registry, RegistryError};
use wasmway_scheduler::{Function, Limits, OutboundPolicy, World};

/// The functions that are served, in a table that requests read and deploys replace.
pub(crate) struct Catalog {
    registry: Registry,
    metrics: Arc<Metrics>,
    table: ArcSwap<RouteTable>,
    domain: Option<String>,
    outbound_allow_private: bool,
    log_lines: usize,
    /// Held while a new table is made, so that an older state never replaces a newer one.
    refreshing: Mutex<Journals>,
}

/// By namespace and name. Kept over versions; gone with the function.
type Journals = HashMap<(Namespace, FunctionName), Arc<Journal>>;

impl Catalog {
    pub(crate) fn new(registry: Registry, metrics: Arc<Metrics>, config: &Config) -> Self {
        Self {
            registry,
            metrics,
            table: ArcSwap::default(),
            domain: config.domain.clone(),
            outbound_allow_private: config.outbound_allow_private,
            log_lines: config.log_lines,
            refreshing: Mutex::default(),
        }
    }

    /// The table as it is now.
    pub(crate) fn table(&self) -> Arc<RouteTable> {
        self.table.load_full()
    }

    /// Makes a new table of what the registry has, and puts it in place of the old one. What did not
    /// change is taken over, with the requests that it counts.
    pub(crate) async fn refresh(&self) -> Result<(), RegistryError> {
        let mut journals = self.refreshing.lock().await;
        let snapshot = self.registry.snapshot().await?;
        let old = self.table();
        let mut kept = Journals::with_capacity(snapshot.functions.len());
        let mut served = Vec::with_capacity(snapshot.functions.len());
        for function in snapshot.functions {
            let key = (function.namespace.clone(), function.name.clone());
            let journal = journals.remove(&key).unwrap_or_else(|| Arc::new(Journal::new(self.log_lines)));
            kept.insert(key, journal.clone());
            let same = |served: &&Arc<Served>| served.function.version() == function.active.version.get();
            match old.named(function.namespace.as_str(), function.name.as_str()).filter(same) {
                Some(unchanged) => served.push(unchanged.clone()),
                None => served.extend(self.serve(&function, journal).map(Arc::new)),
            }
        }
        *journals = kept;
        self.table.store(Arc::new(RouteTable::new(served, self.domain.as_deref())));
        Ok(())
    }

    /// A function as the data plane needs it.
    fn serve(&self, function: &registry::Function, journal: Arc<Journal>) -> Option<Served> {
        let active = &function.active;
        let Some(world) = World::of_export(&active.world) else {
            // Written by a newer version that knows worlds which this one does not.
            tracing::error!(function = %function.name, namespace = %function.namespace, world = active.world, "a function of an unknown world is not served");
            return None;
        };
        let manifest = &active.manifest;
        let origins = manifest.outbound.allow.clone();
        let allow = move |https: bool, host: &str, port| origins.iter().any(|origin| origin.allows(https, host, port));
        let program = (*active.digest.as_bytes(), world, self.registry.artifacts().path(&active.digest));
        Some(Served {
            function: Function::new(
                function.namespace.to_string(),
                function.name.to_string(),
                active.version.get(),
                program,
                limits(&manifest.limits),
                manifest.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
                OutboundPolicy::new(function.namespace.to_string(), Box::new(allow), self.outbound_allow_private),
            ),
            journal,
            metrics: self.metrics.function(function.namespace.as_str(), function.name.as_str()),
            debug: manifest.debug,
            server_timing: manifest.server_timing,
            routes: manifest.routes.clone(),
        })
    }
}

fn limits(limits: &registry::manifest::Limits) -> Limits {
    Limits {
        memory: limits.memory.as_u64(),
        cpu: limits.cpu,
        timeout: limits.timeout,
        cpu_weight: limits.cpu_weight,
        concurrency: limits.concurrency,
        request_body: limits.request_body.as_u64(),
        response_body: limits.response_body.as_u64(),
    }
}
