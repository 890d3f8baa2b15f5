//! Clients that call a function again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

/// A client rests so long between two calls, so that many clients leave the processor to those whom they call.
const REST: Duration = Duration::from_millis(5);

/// Clients at work.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    answered: AtomicU64,
    /// When, and how.
    failures: Mutex<Vec<(Instant, String)>>,
}

impl Load {
    /// So many clients, each of which calls one of these addresses, in turn.
    pub(crate) fn start(urls: &[String], clients: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let http = crate::harness::http_client();
        let clients = (0..clients)
            .map(|place| tokio::spawn(call(shared.clone(), http.clone(), urls[place % urls.len()].clone())))
            .collect();
        Self { shared, clients }
    }

    /// Calls answered so far, and when others failed.
    pub(crate) async fn stop(self) -> (u64, Vec<(Instant, String)>) {
        self.shared.is_over.store(true, Ordering::Release);
        for client in self.clients {
            client.await.unwrap();
        }
        let failures = std::mem::take(&mut *self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner));
        (self.shared.answered.load(Ordering::Acquire), failures)
    }
}

async fn call(shared: Arc<Shared>, http: reqwest::Client, url: String) {
    while !shared.is_over.load(Ordering::Acquire) {
        let answer = async { http.get(&url).send().await?.error_for_status()?.bytes().await };
        match answer.await {
            Ok(_) => {
                shared.answered.fetch_add(1, Ordering::AcqRel);
            }
            Err(error) => {
                let mut failures = shared.failures.lock().unwrap_or_else(PoisonError::into_inner);
                failures.push((Instant::now(), format!("{error:?}")));
            }
        }
        tokio::time::sleep(REST).await;
    }
}
