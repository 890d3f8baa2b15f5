//! How fast a client has to send a body: one that dawdles holds a function's slot, or an upload's file, for nothing.
//!
//! What counts is the time that we wait for the client. A function that does not ask for more holds up its client, and
//! that is not the client's fault.

use axum::body::Body;
use bytes::Bytes;
use futures::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

/// What is asked of a client that sends a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Bytes a second, on average over the time that we waited for it; 0 asks for none.
    pub(crate) min_rate: u64,
    /// Time that it is waited for before its rate counts.
    pub(crate) grace: Duration,
    /// Longest time that it is waited for without a byte.
    pub(crate) idle: Duration,
}

/// What became of a client: said by the body, read by whoever handles the request. A client without a body is never
/// too slow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict(Option<Arc<Said>>);

#[derive(Debug, Default)]
struct Said {
    too_slow: AtomicBool,
    broken: AtomicBool,
    read: AtomicBool,
    head_sent: AtomicBool,
}

impl Verdict {
    /// The client was too slow, and its body was ended.
    pub(crate) fn is_too_slow(&self) -> bool {
        self.0.as_ref().is_some_and(|said| said.too_slow.load(SeqCst))
    }

    fn too_slow(&self) {
        if let Some(said) = &self.0 {
            said.too_slow.store(true, SeqCst);
        }
    }

    /// The body broke off, or was none: a chunk without a length, a connection that ended in the middle.
    pub(crate) fn is_broken(&self) -> bool {
        self.0.as_ref().is_some_and(|said| said.broken.load(SeqCst))
    }

    fn broken(&self) {
        if let Some(said) = &self.0 {
            said.broken.store(true, SeqCst);
        }
    }

    /// All of the body was read, or there was none.
    pub(crate) fn is_read(&self) -> bool {
        self.0.as_ref().is_none_or(|said| said.read.load(SeqCst))
    }

    fn read(&self) {
        if let Some(said) = &self.0 {
            said.read.store(true, SeqCst);
        }
    }

    /// Says that the client gets an answer other than that it is too slow.
    pub(crate) fn head_sent(&self) {
        if let Some(said) = &self.0 {
            said.head_sent.store(true, SeqCst);
        }
    }

    /// The client was, or will be, told that it is too slow.
    pub(crate) fn is_told(&self) -> bool {
        let said = self.0.as_ref();
        said.is_some_and(|said| said.too_slow.load(SeqCst) && !said.head_sent.load(SeqCst))
    }
}

/// The body of a client that was given up.
#[derive(Debug, thiserror::Error)]
#[error("the body came too slowly")]
struct TooSlow;

/// The time that a client was waited for, and what came of it.
#[derive(Debug)]
struct Account {
    pace: Pace,
    received: u64,
    /// Time that the client was waited for, up to `since`.
    waited: Duration,
    /// As much of it as had passed when the last byte came.
    waited_at_last_byte: Duration,
    /// Since when it is being waited for.
    since: Option<Instant>,
}

impl Account {
    fn new(pace: Pace) -> Self {
        Self { pace, received: 0, waited: Duration::ZERO, waited_at_last_byte: Duration::ZERO, since: None }
    }

    /// How long the client may be waited for in all before its next byte comes.
    fn patience(&self) -> Duration {
        let idle = self.waited_at_last_byte.saturating_add(self.pace.idle);
        match self.received.checked_div(self.pace.min_rate) {
            Some(seconds) => idle.min(self.pace.grace.max(Duration::from_secs(seconds))),
            None => idle,
        }
    }

    /// The client is being waited for at `now`; answers how long that may go on.
    fn wait(&mut self, now: Instant) -> Duration {
        let since = *self.since.get_or_insert(now);
        self.patience().saturating_sub(self.waited + now.saturating_duration_since(since))
    }

    /// Something of the client came at `at`, whenever it is looked at.
    fn came(&mut self, at: Instant) {
        if let Some(since) = self.since.take() {
            self.waited += at.saturating_duration_since(since);
        }
    }

    fn received(&mut self, bytes: usize) {
        if bytes > 0 {
            self.received += bytes as u64;
            self.waited_at_last_byte = self.waited;
        }
    }
}

/// A request body that ends with an error when its client is too slow.
pub(crate) struct PacedBody {
    body: Body,
    account: Account,
    arrival: Arc<Arrival>,
    timer: Option<Pin<Box<Sleep>>>,
    verdict: Verdict,
}

impl PacedBody {
    pub(crate) fn new(body: Body, pace: Pace) -> (Self, Verdict) {
        let verdict = Verdict(Some(Arc::default()));
        let (account, arrival) = (Account::new(pace), Arc::default());
        (Self { body, account, arrival, timer: None, verdict: verdict.clone() }, verdict)
    }

    /// Waits on, if there is patience left.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(woken) = self.arrival.take() {
            // For nothing, as it turned out.
            self.account.came(woken);
        }
        let now = Instant::now();
        let left = self.account.wait(now);
        if left.is_zero() {
            return Poll::Ready(());
        }
        let end = now + left;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        if timer.deadline() != end {
            timer.as_mut().reset(end);
        }
        timer.as_mut().poll(cx)
    }
}

impl http_body::Body for PacedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.verdict.is_too_slow() {
            return Poll::Ready(Some(Err(axum::Error::new(TooSlow))));
        }
        if this.account.since.is_none() {
            this.arrival.take();
        }
        this.arrival.reader.register(cx.waker());
        let waker = Waker::from(this.arrival.clone());
        match Pin::new(&mut this.body).poll_frame(&mut Context::from_waker(&waker)) {
            Poll::Ready(frame) => {
                this.account.came(this.arrival.take().unwrap_or_else(Instant::now));
                match &frame {
                    Some(Err(_)) => this.verdict.broken(),
                    None => this.verdict.read(),
                    Some(Ok(_)) if this.body.is_end_stream() => this.verdict.read(),
                    Some(Ok(_)) => {}
                }
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
                this.account.received(data.map_or(0, Bytes::len));
                Poll::Ready(frame)
            }
            Poll::Pending => this.wait(cx).map(|()| {
                this.verdict.too_slow();
                Some(Err(axum::Error::new(TooSlow)))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The moment at which more of the body came. Whoever reads it may look at it much later.
#[derive(Default)]
struct Arrival {
    at: Mutex<Option<Instant>>,
    reader: AtomicWaker,
}

impl Arrival {
    fn take(&self) -> Option<Instant> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Wake for Arrival {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
        self.reader.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;

    const PACE: Pace = Pace { min_rate: 100, grace: Duration::from_secs(10), idle: Duration::from_secs(30) };

    /// What becomes of a client that sends so many bytes after so many seconds, again and again: the second at which
    /// it is given up, if it is.
    fn given_up(pace: Pace, pieces: impl IntoIterator<Item = (u64, usize)>) -> Option<u64> {
        let (mut account, began) = (Account::new(pace), Instant::now());
        let mut now = began;
        for (seconds, bytes) in pieces {
            let (comes, left) = (now + Duration::from_secs(seconds), account.wait(now));
            if now + left < comes {
                return Some((now + left - began).as_secs());
            }
            now = comes;
            account.came(now);
            account.received(bytes);
        }
        None
    }

    #[test]
    fn a_body_that_drips_is_cut_after_its_grace() {
        assert_eq!(given_up(PACE, (0..100).map(|_| (1, 10))), Some(10));
        assert_eq!(given_up(PACE, (0..9).map(|_| (1, 10))), None, "a short one gets through");
        assert_eq!(given_up(PACE, (0..100).map(|_| (1, 120))), None, "so does one at the rate");
    }

    #[test]
    fn what_came_early_pays_for_waiting_later() {
        assert_eq!(given_up(PACE, [(0, 2_000), (19, 1)]), None);
        assert_eq!(given_up(PACE, [(0, 2_000), (21, 1)]), Some(20));
    }

    #[test]
    fn a_body_that_stands_still_is_cut_whatever_came_before() {
        assert_eq!(given_up(PACE, [(0, 1 << 20), (31, 1)]), Some(30));
        let any_rate = Pace { min_rate: 0, ..PACE };
        assert_eq!(given_up(any_rate, (0..10).map(|_| (29, 1))), None, "without a least rate");
        assert_eq!(given_up(any_rate, [(31, 1)]), Some(30));
    }

    #[test]
    fn waiting_is_counted_once() {
        let (mut account, began) = (Account::new(PACE), Instant::now());
        for second in 0..=9 {
            assert_eq!(account.wait(began + Duration::from_secs(second)), Duration::from_secs(10 - second));
        }
    }

    #[tokio::test]
    async fn time_in_which_nobody_asks_for_more_does_not_count() {
        let pace = Pace { min_rate: 1 << 20, grace: Duration::from_secs(2), idle: Duration::from_secs(2) };
        let (to, mut from) = mpsc::channel::<Bytes>(1);
        let pieces = stream::poll_fn(move |cx| from.poll_recv(cx));
        let pieces = futures::StreamExt::map(pieces, Ok::<_, std::convert::Infallible>);
        let (mut paced, verdict) = PacedBody::new(Body::from_stream(pieces), pace);
        // It asks, and does something else for a long time while the piece comes at once.
        assert!(futures::poll!(paced.frame()).is_pending());
        to.send(Bytes::from_static(b"x")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert!(paced.frame().await.unwrap().is_ok());
        assert!(!verdict.is_too_slow());
        // Now it waits for a client that sends nothing.
        assert!(paced.frame().await.unwrap().is_err());
        assert!(verdict.is_too_slow());
    }
}
