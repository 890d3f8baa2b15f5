//! Waiting.

use std::time::Duration;

use crate::host;

/// Waits for so long. That costs wall-clock time, which is limited too, but no CPU time.
pub async fn sleep(duration: Duration) {
    host::sleep(duration).await;
}
