//! A bad neighbour: requests that are kept in flight all the time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::runtime;
use tokio::sync::{Barrier, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::client::{Connection, Target};

/// After a failed request, so that refusals do not become a load of their own.
const PAUSE: Duration = Duration::from_millis(20);
/// Longest time until all connections are open.
const CONNECT: Duration = Duration::from_secs(60);
/// The least priority that the kernel knows.
const NICE: i32 = 19;

/// How many requests ended how: `504`, `200`, or why there was no answer.
pub(crate) type Ends = BTreeMap<String, usize>;

/// What is kept in flight.
#[derive(Clone, Debug)]
pub(crate) struct Pressing {
    /// Each client asks for one after the other, beginning at different ones.
    pub(crate) targets: Vec<Target>,
    /// Clients: each has one request in flight.
    pub(crate) in_flight: usize,
    /// After this time a client goes away in the middle.
    pub(crate) patience: Duration,
}

/// Requests in flight until it is stopped. They come from a thread of their own, with the least priority, so that
/// what measures is not held up by what disturbs.
pub(crate) struct Pressure {
    stop: watch::Sender<bool>,
    thread: JoinHandle<Result<()>>,
    ends: Arc<Mutex<Ends>>,
}

impl Pressure {
    /// Keeps the requests in flight: one that ends is replaced. All connections are open before the first request is
    /// sent: a server that is too busy to accept would never have all of them.
    pub(crate) async fn start(pressing: Pressing) -> Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let (begin, mut begun) = watch::channel(false);
        let ends = Arc::new(Mutex::default());
        let noted = ends.clone();
        let thread = thread::Builder::new().name("pressure".into()).spawn(move || {
            // On Linux the priority of the calling thread alone.
            rustix::process::nice(NICE)?;
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(press(pressing, begin, stopped, &noted));
            Ok(())
        })?;
        let begun = timeout(CONNECT, begun.wait_for(|begun| *begun)).await;
        begun.context("the neighbour's clients cannot connect in time")?.context("the neighbour's clients failed")?;
        Ok(Self { stop, thread, ends })
    }

    /// Lets go of all requests, which the server sees as clients that went away; how those before had ended.
    pub(crate) fn stop(self) -> Result<Ends> {
        self.stop.send_replace(true);
        match self.thread.join() {
            Ok(result) => result?,
            Err(_) => bail!("the thread of the neighbour's clients failed"),
        }
        Ok(std::mem::take(&mut *self.ends.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

async fn press(
    pressing: Pressing,
    begin: watch::Sender<bool>,
    mut stopped: watch::Receiver<bool>,
    ends: &Arc<Mutex<Ends>>,
) {
    let mut clients = JoinSet::new();
    let start = Arc::new(Start { all: Barrier::new(pressing.in_flight), begin });
    let pressing = Arc::new(pressing);
    for client in 0..pressing.in_flight {
        clients.spawn(keep_calling(client, pressing.clone(), start.clone(), ends.clone()));
    }
    // Ends as well when nobody holds the other side any more.
    let _ = stopped.wait_for(|stopped| *stopped).await;
    clients.shutdown().await;
}

/// Where clients wait for each other.
struct Start {
    all: Barrier,
    begin: watch::Sender<bool>,
}

impl Start {
    /// Opens the connection, and returns when all of them are open.
    async fn open(&self, connection: &mut Connection, target: &Target) {
        while connection.prepare(target.address).await.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
        if self.all.wait().await.is_leader() {
            self.begin.send_replace(true);
        }
    }
}

async fn keep_calling(client: usize, pressing: Arc<Pressing>, start: Arc<Start>, ends: Arc<Mutex<Ends>>) {
    let mut connection = Connection::default();
    if let Some(target) = pressing.targets.first() {
        start.open(&mut connection, target).await;
    }
    for target in pressing.targets.iter().cycle().skip(client % pressing.targets.len().max(1)) {
        let (end, good) = match timeout(pressing.patience, connection.call(target)).await {
            Ok(Ok(status)) => (status.as_u16().to_string(), status.as_u16() < 429 || status.as_u16() == 504),
            Ok(Err(error)) => (error.to_string(), false),
            Err(_) => ("left by its client".to_owned(), true),
        };
        *ends.lock().unwrap_or_else(PoisonError::into_inner).entry(end).or_default() += 1;
        if !good {
            tokio::time::sleep(PAUSE).await;
        }
    }
}
