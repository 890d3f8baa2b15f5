//! The namespaces whose functions are served, with what these may have of the node together.

use std::{collections::HashMap, sync::Arc};
use wasmway_registry::{Namespace, NamespaceLimits};
use wasmway_scheduler::{Tenant, TenantLimits};

/// Namespaces that have a function here, or limits.
#[derive(Default)]
pub(crate) struct Tenants(HashMap<Namespace, Arc<Tenant>>);

impl Tenants {
    /// What the functions of the namespace share.
    pub(crate) fn of(&mut self, namespace: &Namespace) -> Arc<Tenant> {
        let tenant = self.0.entry(namespace.clone());
        tenant.or_insert_with(|| Arc::new(Tenant::new(namespace.as_str()))).clone()
    }

    /// Has namespaces have these limits from now on: the functions that are served need not be told.
    pub(crate) fn limit(&mut self, namespaces: &[NamespaceLimits]) {
        for NamespaceLimits { namespace, concurrency, requests_per_second, cpu_weight } in namespaces {
            let (concurrency, requests_per_second, cpu_weight) = (*concurrency, *requests_per_second, *cpu_weight);
            self.of(namespace).limit(TenantLimits { concurrency, requests_per_second, cpu_weight });
        }
    }

    /// The namespaces that have limits.
    pub(crate) fn limited(&self) -> impl Iterator<Item = &Namespace> {
        self.0.iter().filter(|(_, tenant)| tenant.is_limited()).map(|(namespace, _)| namespace)
    }

    /// Drops namespaces that have neither functions nor requests nor limits.
    pub(crate) fn forget_unused(&mut self) {
        self.0.retain(|_, tenant| tenant.is_limited() || Arc::strong_count(tenant) > 1);
    }
}
