//! A well-behaved function that is called all the time while others misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::Platform;

/// Between two calls.
const PAUSE: Duration = Duration::from_millis(10);

/// Calls `hello` until it is asked how that went.
pub(crate) struct Neighbour {
    stop: Arc<AtomicBool>,
    calls: JoinHandle<u32>,
}

impl Neighbour {
    /// Deploys `hello` and begins to call it.
    pub(crate) async fn watch(platform: &Platform) -> Self {
        platform.deploy("hello").await;
        let stop = Arc::new(AtomicBool::new(false));
        let (http, url) = (super::http_client(), format!("{}/hello/", platform.process().run().data));
        let stopped = stop.clone();
        let calls = tokio::spawn(async move {
            let mut calls = 0;
            while !stopped.load(Relaxed) {
                let answer = http.get(&url).timeout(super::PATIENCE).send().await.unwrap();
                assert_eq!(answer.status(), 200);
                assert_eq!(answer.text().await.unwrap(), "Hello from Wasmway!\n");
                calls += 1;
                tokio::time::sleep(PAUSE).await;
            }
            calls
        });
        Self { stop, calls }
    }

    /// Stops calling; fails when any call went wrong.
    pub(crate) async fn was_served(self) {
        self.stop.store(true, Relaxed);
        let calls = self.calls.await.expect("a neighbour's call went wrong");
        assert!(calls > 0, "the neighbour was never served");
    }
}
