//! What a process depends on, and how that is.

use crate::{
    catalog::Catalog,
    disk::{self, Disk},
    drain::Drain,
    follower::Progress,
    metrics::{Metrics, NodeState},
};
use serde::Serialize;
use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval, timeout};
use utoipa::ToSchema;
use wasmway_registry::Registry;
use wasmway_scheduler::Scheduler;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) ok: bool,
    /// Whether the process is not ready without it. What functions do not need to be served is told, and no reason to
    /// take the process away from its clients.
    pub(crate) needed: bool,
    /// What was seen, and what follows from it.
    pub(crate) detail: String,
}

/// What an operator looks at, of any role.
pub(crate) struct Health {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) drain: Drain,
    pub(crate) source: Source,
    /// What is served, where functions are.
    pub(crate) catalog: Option<Arc<Catalog>>,
    pub(crate) data_dir: PathBuf,
}

/// Where the process learns what should run.
pub(crate) enum Source {
    /// From a database and a store of artifacts.
    Own(Arc<StoreWatch>),
    /// From a registry elsewhere.
    Followed(Arc<Progress>),
}

impl Health {
    /// Everything that the process depends on, what it cannot do without first.
    pub(crate) fn checks(&self) -> Vec<Check> {
        self.checks_with(&Disk::of(&self.data_dir))
    }

    fn checks_with(&self, disk: &io::Result<Disk>) -> Vec<Check> {
        let mut checks = vec![self.drain()];
        match &self.source {
            Source::Followed(progress) => {
                checks.push(needed("catalog", progress.lacks(), "what the registry asked for is served"));
                let away = (!progress.standing().answers)
                    .then(|| "the registry does not answer; what is served stays, what is deployed comes later".into());
                checks.push(useful("registry", away, "the registry answers"));
            }
            Source::Own(stores) => {
                if let Some(catalog) = &self.catalog {
                    checks.push(needed("catalog", None, &format!("{} functions are served", catalog.functions())));
                }
                let away = |ok: &AtomicBool, what| {
                    (!ok.load(Relaxed))
                        .then(|| format!("the {what} does not answer; what is served stays, deploys are refused"))
                };
                checks.push(useful("database", away(&stores.database, "database"), "the database answers"));
                checks.push(useful("store", away(&stores.artifacts, "store of components"), "the store answers"));
            }
        }
        checks.push(of_disk(disk));
        checks
    }

    fn drain(&self) -> Check {
        let ending = self.drain.is_closing().then(|| "the process is about to stop".to_owned());
        needed("drain", ending, "the process is not about to stop")
    }

    /// What is measured, as of now.
    pub(crate) fn measured(&self) -> &Metrics {
        let disk = Disk::of(&self.data_dir);
        let checks = self.checks_with(&disk);
        let catalog = self.catalog.as_ref();
        let mut node = NodeState {
            ready: is_ready(&checks),
            checks,
            disk: disk.ok(),
            functions: catalog.map(|catalog| catalog.functions() as u64),
            registry_revision: None,
            served_revision: None,
            pending: None,
            failing: None,
        };
        match &self.source {
            Source::Own(stores) => {
                node.served_revision = catalog.map(|catalog| catalog.revision());
                // Looked at now and then; what is served is never ahead of it.
                node.registry_revision = Some(stores.revision.load(Relaxed).max(node.served_revision.unwrap_or(0)));
            }
            Source::Followed(progress) => {
                let standing = progress.standing();
                node.registry_revision = Some(standing.heard);
                node.served_revision = Some(standing.served);
                node.pending = Some(standing.pending);
                node.failing = Some(standing.failing);
            }
        }
        self.metrics.refresh(&self.scheduler, &node);
        &self.metrics
    }
}

fn of_disk(disk: &io::Result<Disk>) -> Check {
    match disk {
        Ok(disk) => {
            let mib = disk.free >> 20;
            let low = (disk.free < disk::LOW)
                .then(|| format!("{mib} MiB are free; deploys may be refused soon, so make room"));
            useful("disk", low, &format!("{mib} MiB are free"))
        }
        Err(error) => useful("disk", Some(format!("the data folder cannot be looked at: {error}")), ""),
    }
}

/// Whether nothing that is needed is missing.
pub(crate) fn is_ready(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.ok || !check.needed)
}

fn needed(name: &'static str, trouble: Option<String>, well: &str) -> Check {
    Check { name, ok: trouble.is_none(), needed: true, detail: trouble.unwrap_or_else(|| well.to_owned()) }
}

fn useful(name: &'static str, trouble: Option<String>, well: &str) -> Check {
    Check { needed: false, ..needed(name, trouble, well) }
}

/// How often the database is asked whether it is there.
const DATABASE_EVERY: Duration = Duration::from_secs(5);
/// How often the store is, each time for a price where it is somebody else's: this many times less often.
const STORE_EVERY: u32 = 6;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Looks again and again whether database and store are there, so that nobody who asks has to wait for them.
pub(crate) struct StoreWatch {
    database: AtomicBool,
    artifacts: AtomicBool,
    revision: AtomicU64,
}

impl StoreWatch {
    /// Watches a registry that could be opened a moment ago, for as long as the process runs.
    pub(crate) fn start(registry: Registry) -> Arc<Self> {
        let watch = Arc::new(Self { database: true.into(), artifacts: true.into(), revision: AtomicU64::default() });
        let looking = watch.clone();
        tokio::spawn(async move {
            let mut ticks = interval(DATABASE_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for round in (0..STORE_EVERY).cycle() {
                ticks.tick().await;
                looking.look(&registry, round == 0).await;
            }
        });
        watch
    }

    async fn look(&self, registry: &Registry, store_too: bool) {
        let revision = timeout(PATIENCE, registry.revision()).await;
        if let Ok(Ok(revision)) = revision {
            self.revision.store(revision, Relaxed);
        }
        note(&self.database, "database", matches!(revision, Ok(Ok(_))));
        // One that is away is looked at as often as the database, so that its return is seen.
        if store_too || !self.artifacts.load(Relaxed) {
            let answer = timeout(PATIENCE, registry.artifacts().answers()).await;
            note(&self.artifacts, "store of components", matches!(answer, Ok(Ok(()))));
        }
    }
}

fn note(ok: &AtomicBool, what: &str, is: bool) {
    match (ok.swap(is, Relaxed), is) {
        (true, false) => tracing::warn!("the {what} does not answer; what is served stays"),
        (false, true) => tracing::info!("the {what} answers again"),
        (true, true) | (false, false) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_leaves_a_process_ready() {
        let fine = needed("drain", None, "fine");
        let away = useful("database", Some("away".into()), "fine");
        assert!(is_ready(&[fine.clone(), away.clone()]));
        assert_eq!((away.ok, away.detail.as_str()), (false, "away"));
        assert!(!is_ready(&[fine, needed("catalog", Some("missing".into()), "")]));
    }
}
