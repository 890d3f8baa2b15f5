//! The end of a process, which loses nothing.

use std::time::Duration;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long clients with kept connections are told to leave before connections at rest are closed, and how
/// long a new client gets to say what it wants.
pub(crate) const CLOSING: Duration = Duration::from_millis(500);

/// The stages of the end: answers ask clients to come back on a new connection, then no connection is
/// taken any more, then what is left is cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drain {
    closing: CancellationToken,
    stopping: CancellationToken,
    cut: CancellationToken,
    tasks: TaskTracker,
}

impl Drain {
    /// True from the first moment of the end on.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Runs a task that has to be over before the end is.
    pub(crate) fn track(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Waits for the end to begin.
    pub(crate) async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// Waits until no connection is taken any more.
    pub(crate) async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Waits until what is left is to be cut.
    pub(crate) async fn cut(&self) {
        self.cut.cancelled().await;
    }

    /// Brings everything to an end within `timeout`. True when nothing had to be cut.
    pub(crate) async fn finish(&self, timeout: Duration) -> bool {
        self.closing.cancel();
        let whole = async {
            // Meanwhile new connections are still served: a load balancer learns of the end with delay.
            tokio::time::sleep(CLOSING.min(timeout / 2)).await;
            self.stopping.cancel();
            self.tasks.close();
            self.tasks.wait().await;
        };
        let finished = tokio::time::timeout(timeout, whole).await.is_ok();
        self.stopping.cancel();
        self.cut.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        finished
    }
}
