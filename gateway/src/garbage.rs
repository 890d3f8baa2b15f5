//! What nobody needs any more, on the disk and in the object store.

use std::{collections::HashSet, sync::Arc, time::Duration};
use tokio::time;
use wasmway_registry::{Digest, Registry, RegistryError};
use wasmway_scheduler::Scheduler;

/// How often it is looked for.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// How long native code is kept that nothing needs: a deploy that has had it made names its component by then.
const CODE_KEPT: Duration = Duration::from_secs(60 * 60);

/// Removes components that no version names, and their native code, for ever.
pub(crate) async fn keep_collecting(registry: Registry, scheduler: Arc<Scheduler>) {
    // Not at once: who has started with the wrong database has time to notice.
    let mut times = time::interval_at(time::Instant::now() + EVERY, EVERY);
    loop {
        times.tick().await;
        if let Err(error) = collect(&registry, &scheduler).await {
            tracing::warn!(%error, "components that no version names cannot be removed");
        }
    }
}

async fn collect(registry: &Registry, scheduler: &Scheduler) -> Result<(), RegistryError> {
    let collected = registry.collect_garbage().await?;
    if collected.artifacts > 0 {
        let (artifacts, bytes) = (collected.artifacts, collected.bytes);
        tracing::info!(artifacts, bytes, "removed components that no version names");
    }
    forget_code(scheduler, registry.named().await?).await;
    Ok(())
}

/// Removes native code of other components than these.
pub(crate) async fn forget_code(scheduler: &Scheduler, needed: HashSet<Digest>) {
    let needed: HashSet<[u8; 32]> = needed.iter().map(|digest| *digest.as_bytes()).collect();
    match scheduler.forget_code(CODE_KEPT, move |digest| needed.contains(digest)).await {
        Ok(0) => {}
        Ok(bytes) => tracing::info!(bytes, "removed native code that nothing needs"),
        Err(error) => tracing::warn!(%error, "native code that nothing needs cannot be removed"),
    }
}
