//! A guest on its way: first on the thread of its connection, then, if need be, in the lane; and its deadline.

use crate::{
    answer::{Answer, Head},
    fair_queue::Share,
    function::Function,
    instance::{End, Running, Turn},
    lane::{InLane, Lane, SLICE},
    meter::Meter,
    outcome::Failure,
    player::{Player, VirtualTime},
    spare::Spare,
};
use futures::{FutureExt, future::Either};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

/// A guest under way, as a future that ends when the guest does or when a limit ends it. Dropping it frees its slot.
///
/// Its first slice runs where it is polled; if that is not enough it goes on in the [`Lane`].
pub(crate) struct Guest {
    stage: Stage,
    answer: Arc<Answer>,
    lane: Arc<Lane>,
    share: Share,
    timeout: Duration,
    deadline: Instant,
    timer: Option<Timer>,
    meter: Arc<Meter>,
    /// What is left of it at its end.
    spare: Option<Box<Spare>>,
    /// Of a recorded request that is played, which runs in one piece.
    time: Option<Arc<VirtualTime>>,
}

/// Ends when the deadline is there: by the clock on the wall alone, or by that of a recording as well.
type Timer = Pin<Box<Either<Sleep, Pin<Box<dyn Future<Output = ()> + Send>>>>>;

enum Stage {
    /// Likely to need more than a slice: goes to the lane at once.
    New(Running),
    Here(Running),
    InLane(InLane),
    Over,
}

impl Guest {
    /// A guest that has not run yet. It gets to run when it is polled.
    pub(crate) fn new(running: Running, function: &Function, lane: Arc<Lane>, player: Option<&Player>) -> Self {
        let (meter, answer) = (running.meter().clone(), running.answer().clone());
        let timeout = function.limits.timeout;
        let deadline = Instant::from_std(meter.started() + timeout);
        let stage = if function.pace.is_long() { Stage::New(running) } else { Stage::Here(running) };
        let time = player.map(|player| player.time().clone());
        time.iter().for_each(|time| time.set_running(true));
        let share = function.share.clone();
        Self { stage, answer, lane, share, timeout, deadline, timer: None, meter, spare: None, time }
    }

    /// CPU time that it may take here.
    fn slice(&self) -> Duration {
        match self.time {
            None => SLICE.saturating_sub(self.meter.cpu_used()),
            // It is ended by its budget alone: others must not run between its turns, now more and now fewer.
            Some(_) => Duration::from_nanos(u64::MAX),
        }
    }

    fn timer(&mut self) -> &mut Timer {
        let (deadline, time) = (self.deadline, &self.time);
        self.timer.get_or_insert_with(|| {
            let by_the_wall = tokio::time::sleep_until(deadline);
            Box::pin(match time.clone() {
                None => Either::Left(by_the_wall),
                Some(time) => Either::Right(Box::pin(async move {
                    tokio::select! {
                        () = by_the_wall => {}
                        () = time.limit() => {}
                    }
                })),
            })
        })
    }

    /// The answer, once the turn in which the guest gave it is over.
    pub(crate) fn take_answer(&self) -> Option<Head> {
        self.answer.take()
    }

    /// The instance that is left of a guest that is over, if it may serve another request. It must not before the answer has
    /// come to its end: a guest may have left it open, and only the end of the instance closes it then.
    pub(crate) fn take_spare(&mut self) -> Option<Box<Spare>> {
        self.spare.take()
    }

    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let slice = self.slice();
        match &mut self.stage {
            Stage::Over => return Poll::Pending,
            Stage::InLane(guest) => return guest.poll(cx),
            Stage::Here(running) => match running.turn(cx, slice) {
                Turn::Ended(result) => return Poll::Ready(result),
                Turn::Waiting => return Poll::Pending,
                Turn::Preempted => {}
            },
            Stage::New(_) => {}
        }
        if let Stage::New(running) | Stage::Here(running) = std::mem::replace(&mut self.stage, Stage::Over) {
            self.stage = Stage::InLane(self.lane.submit(self.share.clone(), running));
        }
        self.advance(cx)
    }
}

impl Future for Guest {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Poll::Ready(end) = this.advance(cx) {
            this.stage = Stage::Over;
            this.answer.fall_due();
            return Poll::Ready(end.map(|spare| this.spare = spare));
        }
        if matches!(this.stage, Stage::Over) {
            return Poll::Pending;
        }
        if this.timer().poll_unpin(cx).is_pending() {
            return Poll::Pending;
        }
        let failure = Failure::Timeout { limit: this.timeout };
        this.meter.end(Some(failure.clone()));
        this.meter.stop();
        this.stage = Stage::Over;
        Poll::Ready(Err(failure))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.time.iter().for_each(|time| time.set_running(false));
        self.meter.stop();
    }
}
