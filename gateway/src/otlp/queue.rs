//! A queue that nobody waits for, and the task that sends what is in it.

use super::{Origin, delivery::Delivery};
use prometheus::IntCounter;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

/// Items that may wait to be sent, and bytes of their texts; what comes beyond is left out, and counted.
const WAITING: usize = 4096;
const WAITING_BYTES: usize = 8 << 20;
/// Items that are sent at once.
const BATCH: usize = 512;
/// How long items are gathered before they are sent: a busy server sends many at once.
const GATHER: Duration = Duration::from_millis(100);

/// What is sent in batches.
pub(crate) trait Item: Send + Sized + 'static {
    /// Bytes of it that its kind does not put a bound to.
    fn bytes(&self) -> usize;

    /// A message in OTLP.
    fn message(batch: Vec<Self>, origin: &Origin) -> Vec<u8>;
}

/// Takes items.
pub(crate) struct Queue<T> {
    waiting: mpsc::Sender<T>,
    bytes: Arc<AtomicUsize>,
    dropped: IntCounter,
}

impl<T: Item> Queue<T> {
    /// Takes an item, to be sent soon. Never waits.
    pub(crate) fn push(&self, item: T) {
        let bytes = item.bytes();
        let before = self.bytes.fetch_add(bytes, Relaxed);
        if before + bytes > WAITING_BYTES || self.waiting.try_send(item).is_err() {
            self.bytes.fetch_sub(bytes, Relaxed);
            self.dropped.inc();
        }
    }
}

pub(super) fn new<T: Item>(dropped: IntCounter, delivery: Delivery, origin: Arc<Origin>) -> (Queue<T>, Sending<T>) {
    let (queue, taken) = bounded(dropped);
    (queue, Sending { taken, delivery, origin })
}

fn bounded<T: Item>(dropped: IntCounter) -> (Queue<T>, Taken<T>) {
    let (waiting, items) = mpsc::channel(WAITING);
    let bytes = Arc::<AtomicUsize>::default();
    (Queue { waiting, bytes: bytes.clone(), dropped }, Taken { items, bytes })
}

/// What waits to be sent.
struct Taken<T> {
    items: mpsc::Receiver<T>,
    bytes: Arc<AtomicUsize>,
}

impl<T: Item> Taken<T> {
    /// The next items, as soon as there are any; none when there will be none.
    async fn next(&mut self) -> Vec<T> {
        let mut batch = Vec::with_capacity(BATCH);
        self.items.recv_many(&mut batch, BATCH).await;
        self.bytes.fetch_sub(batch.iter().map(T::bytes).sum(), Relaxed);
        batch
    }
}

/// Sends what is taken.
pub(super) struct Sending<T> {
    taken: Taken<T>,
    delivery: Delivery,
    origin: Arc<Origin>,
}

impl<T: Item> Sending<T> {
    pub(super) async fn run(mut self, closing: CancellationToken) {
        while let Some(batch) = closing.run_until_cancelled(self.taken.next()).await
            && !batch.is_empty()
        {
            self.send(batch).await;
            if self.taken.items.len() < BATCH {
                closing.run_until_cancelled(sleep(GATHER)).await;
            }
        }
        self.taken.items.close();
        loop {
            let batch = self.taken.next().await;
            if batch.is_empty() {
                return;
            }
            self.send(batch).await;
        }
    }

    async fn send(&mut self, batch: Vec<T>) {
        let count = batch.len() as u64;
        self.delivery.send(T::message(batch, &self.origin), count).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Item for usize {
        fn bytes(&self) -> usize {
            *self
        }

        fn message(_: Vec<Self>, _: &Origin) -> Vec<u8> {
            Vec::new()
        }
    }

    #[tokio::test]
    async fn what_waits_is_bounded_by_number_and_by_size() {
        let dropped = IntCounter::new("dropped", "Dropped.").unwrap();
        let (queue, mut taken) = bounded::<usize>(dropped.clone());
        for _ in 0..WAITING + 3 {
            queue.push(0);
        }
        assert_eq!(dropped.get(), 3);
        for _ in 0..WAITING / BATCH {
            assert_eq!(taken.next().await.len(), BATCH);
        }
        queue.push(WAITING_BYTES - 1);
        queue.push(2);
        queue.push(1);
        assert_eq!((dropped.get(), taken.next().await), (4, vec![WAITING_BYTES - 1, 1]));
        queue.push(WAITING_BYTES);
        assert_eq!((dropped.get(), taken.next().await), (4, vec![WAITING_BYTES]), "what was sent takes no room");
    }
}
