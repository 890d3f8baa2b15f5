//! Who waits for the registry to change, and when it has.

use std::time::Duration;
use tokio::{sync::watch, time};
use wasmway_registry::Registry;

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

    /// Wakes who waits for this revision, which the registry has by now.
    pub(crate) fn reached(&self, revision: u64) {
        self.note(revision, |known| revision > known);
    }

    fn note(&self, newest: u64, is_news: impl Fn(u64) -> bool) {
        self.0.send_if_modified(|known| {
            let is_news = is_news(*known);
            if is_news {
                *known = newest;
            }
            is_news
        });
    }

    /// Looks again and again, for what other processes change.
    pub(crate) async fn keep_looking(&self, registry: &Registry) {
        let mut is_away = false;
        loop {
            let was_away = is_away;
            is_away = match registry.revision().await {
                Ok(newest) => {
                    // Also a lower one: the database may have been set back to an earlier state.
                    self.note(newest, |known| newest != known);
                    false
                }
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

    /// Waits until the revision is another than `after`, or the time is up. It is a lower one when the registry was set
    /// back.
    pub(crate) async fn other_than(&self, after: u64, patience: Duration) {
        // What the registry has been seen to have is no news, however long ago it was looked at from here.
        self.reached(after);
        let mut revisions = self.0.subscribe();
        // The sender is `self`: it is not gone, and the time may be up, which is just as good an end.
        let _ = time::timeout(patience, revisions.wait_for(|newest| *newest != after)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const SOON: Duration = Duration::from_millis(50);

    /// Whether a wait for another revision than `after` goes on to its end.
    async fn waits(revisions: &Revisions, after: u64) -> bool {
        let begin = Instant::now();
        revisions.other_than(after, SOON).await;
        begin.elapsed() >= SOON
    }

    #[tokio::test]
    async fn what_has_been_seen_is_no_news() {
        let revisions = Revisions::new();
        assert!(waits(&revisions, 5).await, "nobody has looked here yet");
        assert!(!waits(&revisions, 4).await);
        revisions.reached(3);
        assert!(waits(&revisions, 5).await, "an older look does not count");
        revisions.reached(6);
        assert!(!waits(&revisions, 5).await);
        revisions.note(2, |known| known != 2);
        assert!(waits(&revisions, 2).await, "the registry was set back");
    }
}
