//! A well-behaved function that is called all the time while others misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use super::{PATIENCE, Server};

/// Between two calls.
const PAUSE: Duration = Duration::from_millis(5);

/// Calls `hello` until it is asked how that went. It does so from a thread of its own, so that a test that is busy
/// does not keep it waiting.
pub(crate) struct Neighbour {
    stop: Arc<AtomicBool>,
    calls: thread::JoinHandle<Result<Served, String>>,
}

/// How the neighbour was served.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Served {
    pub(crate) calls: u32,
    pub(crate) slowest: Duration,
}

impl Neighbour {
    /// Deploys `hello` and begins to call it.
    pub(crate) async fn watch(server: &Server) -> Self {
        server.deploy("hello").await;
        Self::calling(server, "/hello/")
    }

    /// Begins to call the `hello` that answers at `path`.
    pub(crate) fn calling(server: &Server, path: &str) -> Self {
        let url = format!("{}{path}", server.data());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let calls = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| error.to_string())?.block_on(call_until(&stopped, &url))
        });
        Self { stop, calls }
    }

    /// Stops calling; an error when any call went wrong.
    pub(crate) fn served(self) -> Result<Served, String> {
        self.stop.store(true, Relaxed);
        self.calls.join().map_err(|_| "the neighbour's thread panicked".to_owned())?
    }

    /// As [`Self::served`]; fails when any call went wrong.
    pub(crate) async fn was_served(self) {
        tokio::task::spawn_blocking(|| self.served()).await.unwrap().unwrap();
    }
}

/// Calls on one connection, one call after the other.
async fn call_until(stop: &AtomicBool, url: &str) -> Result<Served, String> {
    let http = super::server::http_client();
    let mut served = Served::default();
    loop {
        let asked = Instant::now();
        let wrong = |what: &dyn std::fmt::Display| format!("the neighbour's call {}: {what}", served.calls + 1);
        let answer = http.get(url).timeout(PATIENCE).send().await.map_err(|error| wrong(&error))?;
        let (status, text) = (answer.status(), answer.text().await.map_err(|error| wrong(&error))?);
        if status != 200 || text != "Hello from Wasmway!\n" {
            return Err(wrong(&format!("{status} {text}")));
        }
        served.slowest = served.slowest.max(asked.elapsed());
        served.calls += 1;
        // After the call: however short the test was, there is one.
        if stop.load(Relaxed) {
            return Ok(served);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
