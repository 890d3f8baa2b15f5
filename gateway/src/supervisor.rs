//! What a service manager that has started the process hears of it (systemd's `Type=notify`); without one, nothing is
//! said.

use sd_notify::NotifyState;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// The listeners are open. Whether a gateway serves all that it should is another matter: `/readyz` says it.
pub(crate) fn serving() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
    if let Some(limit) = sd_notify::watchdog_enabled() {
        tokio::spawn(keep_alive(limit / 3));
    }
}

/// Requests under way get to finish.
pub(crate) fn draining() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining: requests under way get to finish")]);
}

/// Says again and again that the threads that serve requests still turn to new tasks.
async fn keep_alive(every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told how the process is");
    }
}
