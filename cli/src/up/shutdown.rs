//! When the server is to stop.

use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a shell reports for a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Resolves at the first SIGTERM or Ctrl-C. From then on a Ctrl-C ends the process at once: whoever presses it again
/// does not want to wait for requests under way.
pub(crate) async fn requested() {
    // Without handlers the system's own apply, which end the process at once; draining is what gets lost.
    let (mut interrupt, mut terminate) = match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!("signals cannot be listened to, so stopping will not drain: {error}");
            return std::future::pending().await;
        }
    };
    tokio::select! {
        _ = interrupt.recv() => tracing::info!("stopping; press Ctrl-C again to stop at once"),
        _ = terminate.recv() => tracing::info!("stopping"),
    }
    tokio::spawn(stop_at_once(interrupt));
}

async fn stop_at_once(mut interrupt: Signal) {
    if interrupt.recv().await.is_some() {
        process::exit(INTERRUPTED);
    }
}
