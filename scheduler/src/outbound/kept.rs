//! Connections that stay open after an answer, for the next request of the same function to the same origin. Never for
//! another function's: what one has left on a connection is no other's to find.

use super::{destination::Target, upload::Upload};
use crate::meter::Meter;
use hyper::client::conn::http1::{Connection, SendRequest};
use hyper_util::rt::TokioIo;
use std::{
    collections::HashMap,
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use wasmtime_wasi::runtime::AbortOnDropJoinHandle;

/// How long a connection rests before it is closed: less than the 5 s of servers that wait for the shortest.
const REST: Duration = Duration::from_secs(4);
/// How long it is used, so that a name that leads elsewhere now is followed.
const AGE: Duration = Duration::from_secs(60);
/// Connections of one function that rest.
const OF_FUNCTION: usize = 64;

/// The connections of one function that rest.
#[derive(Default)]
pub(super) struct Kept(Mutex<Resting>);

#[derive(Default)]
struct Resting {
    /// Those to one origin, the one that rests for longest first.
    connections: HashMap<Target, Vec<Rested>>,
    count: usize,
    swept: bool,
}

struct Rested {
    link: Link,
    since: Instant,
    _place: OwnedSemaphorePermit,
}

impl Kept {
    fn resting(&self) -> MutexGuard<'_, Resting> {
        // Connections that are lost are opened again.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to `target` that was used last, if there is one.
    pub(super) fn take(&self, target: &Target) -> Option<Link> {
        let mut resting = self.resting();
        let rested = resting.connections.get_mut(target)?.pop()?;
        resting.count -= 1;
        Some(rested.link)
    }

    /// Keeps a connection whose answer has been read to its end, if it is good for another, and there is a place for it
    /// here and on the node.
    pub(super) fn put(self: &Arc<Self>, target: Target, mut link: Link, node: &Arc<Semaphore>) {
        link.paid_by(None);
        if link.sender.is_closed() || link.opened.elapsed() > AGE {
            return;
        }
        let Ok(place) = node.clone().try_acquire_owned() else { return };
        let mut resting = self.resting();
        if resting.count >= OF_FUNCTION {
            return;
        }
        resting.count += 1;
        let rested = Rested { link, since: Instant::now(), _place: place };
        resting.connections.entry(target).or_default().push(rested);
        if !std::mem::replace(&mut resting.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }
}

/// Closes connections that have rested for long enough; ends when there are none.
async fn sweep(kept: Weak<Kept>) {
    loop {
        tokio::time::sleep(REST / 4).await;
        let Some(kept) = kept.upgrade() else { return };
        let mut resting = kept.resting();
        resting.connections.retain(|_, rested| {
            rested.retain(|rested| rested.since.elapsed() < REST && !rested.link.sender.is_closed());
            !rested.is_empty()
        });
        resting.count = resting.connections.values().map(Vec::len).sum();
        resting.swept = resting.count > 0;
        if !resting.swept {
            return;
        }
    }
}

/// An open connection. Closed when it is dropped.
pub(super) struct Link {
    pub(super) sender: SendRequest<Upload>,
    payer: Arc<Payer>,
    opened: Instant,
    _driver: AbortOnDropJoinHandle<()>,
}

/// Whose CPU time the connection takes.
type Payer = Mutex<Option<Arc<Meter>>>;

impl Link {
    /// Drives the connection in a task of its own: an answer moves on while the guest does something else.
    pub(super) fn new<S>(sender: SendRequest<Upload>, connection: Connection<TokioIo<S>, Upload>) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let payer = Arc::<Payer>::default();
        let paid = payer.clone();
        let driver = wasmtime_wasi::runtime::spawn(async move {
            let mut connection = pin!(connection);
            let ended = poll_fn(|cx| match payer_of(&paid) {
                Some(meter) => meter.charge_elsewhere(|| connection.as_mut().poll(cx)),
                None => connection.as_mut().poll(cx),
            });
            if let Err(error) = ended.await {
                tracing::debug!(%error, "an outbound connection ended badly");
            }
        });
        Self { sender, payer, opened: Instant::now(), _driver: driver }
    }

    /// Says whose request it serves from now on.
    pub(super) fn paid_by(&mut self, meter: Option<Arc<Meter>>) {
        let earlier = std::mem::replace(&mut *self.payer.lock().unwrap_or_else(PoisonError::into_inner), meter);
        // It may be the last holder of a meter, which then tells the world: not under the lock.
        drop(earlier);
    }
}

fn payer_of(payer: &Payer) -> Option<Arc<Meter>> {
    payer.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
