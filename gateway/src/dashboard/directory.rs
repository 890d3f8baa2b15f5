//! All functions by name, as the registry has them: the little of each that lists show, kept up to date by the registry's
//! changes, so that a list of ten thousand is not read from the database each time that it is looked at.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use tokio::sync::Mutex;
use wasmway_registry::{Function, FunctionName, Namespace, Registry, RegistryError};

/// What lists show of a function.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) namespace: Namespace,
    pub(super) name: FunctionName,
    pub(super) version: u32,
    /// Versions with their percentages, where several get requests.
    pub(super) split: Option<String>,
    pub(super) deployed_at: Timestamp,
}

impl Entry {
    fn of(function: Function) -> Self {
        let split = function.split.map(|split| {
            let sum: u64 = split.shares.iter().map(|(_, weight)| u64::from(*weight)).sum();
            let share = |weight: u32| f64::from(weight) * 100.0 / sum.max(1) as f64;
            let shares =
                split.shares.iter().map(|(version, weight)| format!("{} {:.0}%", version.version, share(*weight)));
            shares.collect::<Vec<_>>().join(", ")
        });
        let version = function.active.version.get();
        let Function { namespace, name, deployed_at, .. } = function;
        Self { namespace, name, version, split, deployed_at }
    }
}

/// All functions, read as far as somebody has asked for.
#[derive(Default)]
pub(super) struct Directory(Mutex<State>);

#[derive(Default)]
struct State {
    revision: u64,
    functions: BTreeMap<(Namespace, FunctionName), Entry>,
    /// The same, for those who read.
    list: Arc<Vec<Entry>>,
}

impl Directory {
    /// All functions by namespace and name.
    pub(super) async fn functions(&self, registry: &Registry) -> Result<Arc<Vec<Entry>>, RegistryError> {
        let mut state = self.0.lock().await;
        let mut changed = false;
        loop {
            let mut changes = registry.changes(state.revision).await?;
            if changes.revision < state.revision {
                // It was set back: from the beginning.
                *state = State::default();
                changes = registry.changes(0).await?;
                changed = true;
            }
            changed |= !changes.functions.is_empty() || !changes.gone.is_empty();
            state.revision = changes.revision;
            for key in &changes.gone {
                state.functions.remove(key);
            }
            for function in changes.functions {
                state.functions.insert(function.key(), Entry::of(function));
            }
            if !changes.more {
                break;
            }
        }
        if changed {
            state.list = Arc::new(state.functions.values().cloned().collect());
        }
        Ok(state.list.clone())
    }
}
