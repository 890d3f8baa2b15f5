//! Who waits for the registry to change, and when it has.

use std::time::Duration;
use tokio::{sync::watch, time};
use wasmway_registry::{Registry, RegistryError};

/// How often a database that others change too is asked for its revision.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often, while it is away.
const LOOK_WHEN_AWAY: Duration = Duration::from_secs(1);

/// The registry's revision, as far as it is known here.
pub(crate) struct Revisions(watch::Sender<u64>);

impl Revisions {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Looks at the revision, and wakes who waits for it.
    pub(crate) async fn look(&self, registry: &Registry) -> Result<(), RegistryError> {
        let newest = registry.revision().await?;
        self.0.send_if_modified(|known| {
            let is_newer = newest > *known;
            *known = newest.max(*known);
            is_newer
        });
        Ok(())
    }

    /// Looks again and again, for what other processes change.
    pub(crate) async fn keep_looking(&self, registry: &Registry) {
        let mut is_away = false;
        loop {
            let was_away = is_away;
            is_away = match self.look(registry).await {
                Ok(()) => false,
                Err(error) => {
                    if !was_away {
                        tracing::warn!(%error, "the registry cannot be asked for changes; what is served stays");
                    }
                    true
                }
            };
            if was_away && !is_away {
                tracing::info!("the registry answers again");
            }
            time::sleep(if is_away { LOOK_WHEN_AWAY } else { LOOK_EVERY }).await;
        }
    }

    /// Waits until the revision is beyond `after`, or the time is up.
    pub(crate) async fn beyond(&self, after: u64, patience: Duration) {
        let mut revisions = self.0.subscribe();
        // The sender is `self`: it is not gone, and the time may be up, which is just as good an end.
        let _ = time::timeout(patience, revisions.wait_for(|newest| *newest > after)).await;
    }

    /// Waits until it changes once more.
    pub(crate) async fn changed(&self) {
        let newest = *self.0.borrow();
        self.beyond(newest, Duration::MAX).await;
    }
}
