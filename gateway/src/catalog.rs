//! What is served now: what the registry says should run, made into a route table.

use crate::{
    backend::{Backend, Published},
    config::Config,
    journal::Journal,
    metrics::Metrics,
    route_table::{RouteTable, Served},
    tenants::Tenants,
};
use arc_swap::ArcSwap;
use futures::{StreamExt, stream};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::Mutex, time};
use wasmway_registry::{
    self as registry, ArtifactStore, Changes, Digest, FunctionName, Namespace, NamespaceLimits, Registry,
    RegistryError, VersionRecord,
};
use wasmway_scheduler::{Function, Limits, OutboundPolicy, Tenant, World};

/// The functions that are served, in a table that requests read and changes replace.
pub(crate) struct Catalog {
    /// Where components are, for when native code has to be made again.
    artifacts: ArtifactStore,
    metrics: Arc<Metrics>,
    table: ArcSwap<RouteTable>,
    domain: Option<String>,
    outbound_allow_private: bool,
    log_lines: usize,
    node_name: Arc<str>,
    /// Components that another process has stored and this one has yet to fetch.
    missing: std::sync::Mutex<HashSet<Digest>>,
    /// Up to which the registry's changes are served.
    revision: AtomicU64,
    /// Held while a new table is made, so that an older state never replaces a newer one.
    state: Mutex<State>,
}

/// How long a change waits for the components that it needs.
const FETCH_PATIENCE: Duration = Duration::from_secs(10);
/// Components that are fetched at once.
const FETCHED_AT_ONCE: usize = 16;

/// A function by namespace and name.
pub(crate) type Key = (Namespace, FunctionName);

#[derive(Default)]
struct State {
    /// Up to which the registry's changes are in it.
    revision: u64,
    served: BTreeMap<Key, Published>,
    tenants: Tenants,
}

impl Catalog {
    pub(crate) fn new(artifacts: ArtifactStore, metrics: Arc<Metrics>, config: &Config) -> Self {
        Self {
            artifacts,
            metrics,
            table: ArcSwap::default(),
            domain: config.domain.clone(),
            outbound_allow_private: config.outbound_allow_private,
            log_lines: config.log_lines,
            node_name: config.node_name.as_str().into(),
            missing: std::sync::Mutex::default(),
            revision: AtomicU64::default(),
            state: Mutex::default(),
        }
    }

    /// The table as it is now.
    pub(crate) fn table(&self) -> Arc<RouteTable> {
        self.table.load_full()
    }

    /// Functions that are served.
    pub(crate) fn functions(&self) -> usize {
        self.table.load().functions()
    }

    /// The registry's revision up to which all is served, of a registry in this process.
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Relaxed)
    }

    /// Takes over what has changed in the registry since it was last looked at. Answers the revision up to which all of it
    /// is served.
    pub(crate) async fn refresh(&self, registry: &Registry) -> Result<u64, RegistryError> {
        let mut state = self.state.lock().await;
        let mut changed = false;
        loop {
            let mut changes = registry.changes(state.revision).await?;
            if changes.revision < state.revision {
                tracing::warn!(
                    from = state.revision,
                    to = changes.revision,
                    "the registry was set back; starting over"
                );
                changes = whole(registry).await?;
                changes.forget_others(state.served.keys(), state.tenants.limited());
            }
            changed |= !changes.functions.is_empty() || !changes.gone.is_empty();
            if registry.is_shared() {
                self.fetch(&changes.functions).await;
            }
            state.revision = changes.revision;
            state.tenants.limit(&changes.namespaces);
            self.take(&mut state, changes.functions, changes.gone);
            if !changes.more {
                if changed {
                    self.publish(&mut state);
                }
                self.revision.store(state.revision, Relaxed);
                return Ok(state.revision);
            }
        }
    }

    /// Gets the components here that another process has stored, or tries to for a while. What is missing then is
    /// [fetched again](Self::fetch_missing).
    async fn fetch(&self, functions: &[registry::Function]) {
        let versions = functions.iter().flat_map(registry::Function::served_versions);
        self.missing().extend(versions.map(|version| version.digest));
        if time::timeout(FETCH_PATIENCE, self.fetch_missing()).await.is_err() {
            tracing::warn!("components are still being fetched; calls of their functions may fail meanwhile");
        }
    }

    /// Gets the components that are to be here and are not yet.
    pub(crate) async fn fetch_missing(&self) {
        let missing: Vec<Digest> = self.missing().iter().copied().collect();
        let fetched = stream::iter(missing).map(|digest| {
            let artifacts = self.artifacts.clone();
            async move { (digest, artifacts.ensure(&digest).await) }
        });
        let mut fetched = fetched.buffer_unordered(FETCHED_AT_ONCE);
        while let Some((digest, result)) = fetched.next().await {
            match result {
                Ok(is_there) => {
                    if !is_there {
                        tracing::error!(%digest, "a component is not stored where this process finds it");
                    }
                    self.missing().remove(&digest);
                }
                Err(error) => tracing::warn!(%digest, %error, "a component cannot be fetched; it is tried again"),
            }
        }
    }

    fn missing(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves these functions as they are, and no longer those that are gone.
    pub(crate) async fn apply(&self, functions: Vec<registry::Function>, gone: Vec<Key>) {
        let mut state = self.state.lock().await;
        self.take(&mut state, functions, gone);
        self.publish(&mut state);
    }

    /// Has namespaces have these limits.
    pub(crate) async fn limit(&self, namespaces: &[NamespaceLimits]) {
        self.state.lock().await.tenants.limit(namespaces);
    }

    fn take(&self, state: &mut State, functions: Vec<registry::Function>, gone: Vec<Key>) {
        for key in gone {
            state.served.remove(&key);
            self.metrics.forget(key.0.as_str(), key.1.as_str());
        }
        for function in functions {
            let key = function.key();
            let tenant = state.tenants.of(&function.namespace);
            let published = self.published(&function, &tenant, state.served.get(&key));
            match published {
                Some(published) => state.served.insert(key, published),
                None => state.served.remove(&key),
            };
        }
    }

    fn publish(&self, state: &mut State) {
        self.table.store(Arc::new(RouteTable::new(state.served.values().cloned(), self.domain.as_deref())));
        state.tenants.forget_unused();
    }

    /// The versions of a function that are served. Those that were served before are taken over, with the requests that
    /// they count.
    fn published(
        &self,
        function: &registry::Function,
        tenant: &Arc<Tenant>,
        before: Option<&Published>,
    ) -> Option<Published> {
        let journal = before.map(|before| before.backend.leader().journal.clone());
        let journal = journal.unwrap_or_else(|| Arc::new(Journal::new(self.log_lines, self.node_name.clone())));
        let serve = |version: &VersionRecord| {
            // Of the same number it is another one when the registry was set back in between.
            let is_same = |served: &&Arc<Served>| {
                served.created_at == version.created_at && served.function.digest() == *version.digest.as_bytes()
            };
            let same = before.and_then(|before| before.version(version.version.get())).filter(is_same).cloned();
            same.or_else(|| self.serve(function, tenant, version, journal.clone()).map(Arc::new))
        };
        let leader = serve(&function.active)?;
        let backend = match &function.split {
            None => Backend::One(leader),
            Some(split) => {
                let of = (function.namespace.clone(), function.name.clone(), function.revision);
                Backend::split(leader, split, of, serve)
            }
        };
        let preview = |version: &VersionRecord| match backend.version(version.version.get()) {
            Some(served) => Some(served.clone()),
            None => serve(version),
        };
        let previews = function.previews.iter().filter_map(preview).collect();
        Some(Published { backend, previews })
    }

    /// A version of a function as the data plane needs it.
    fn serve(
        &self,
        function: &registry::Function,
        tenant: &Arc<Tenant>,
        version: &VersionRecord,
        journal: Arc<Journal>,
    ) -> Option<Served> {
        let Some(world) = World::of_export(&version.world) else {
            // Written by a newer version that knows worlds which this one does not.
            tracing::error!(function = %function.name, namespace = %function.namespace, world = version.world, "a function of an unknown world is not served");
            return None;
        };
        let manifest = &version.manifest;
        let origins = manifest.outbound.allow.clone();
        let allow = move |https: bool, host: &str, port| origins.iter().any(|origin| origin.allows(https, host, port));
        let program = (*version.digest.as_bytes(), world, self.artifacts.path(&version.digest));
        Some(Served {
            function: Function::new(
                tenant.clone(),
                function.name.to_string(),
                version.version.get(),
                program,
                limits(&manifest.limits),
                manifest.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
                OutboundPolicy::new(function.namespace.to_string(), Box::new(allow), self.outbound_allow_private),
            )
            .with_instances_reused_for(manifest.instances.reuse),
            journal,
            created_at: version.created_at,
            metrics: self.metrics.function(function.namespace.as_str(), function.name.as_str()),
            debug: manifest.debug,
            server_timing: manifest.server_timing,
            routes: manifest.routes.clone(),
        })
    }
}

/// Everything that the registry has.
async fn whole(registry: &Registry) -> Result<Changes, RegistryError> {
    let mut whole = registry.changes(0).await?;
    while whole.more {
        whole.append(registry.changes(whole.revision).await?);
    }
    Ok(whole)
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
