//! One instance: a fresh store, an instance in it, one call in turns, and how it ended.

mod call;
mod classify;

use crate::{
    answer::Answer,
    body::RequestBody,
    engine::ClockGuard,
    function::{Function, Pace},
    host::{Host, Surroundings},
    limits::{COMPONENT_HANDLES, HOST_RESOURCES, HOSTCALL_BYTES, Limits, MemoryLimiter},
    meter::{Check, Meter},
    outbound::RequestOutbound,
    outcome::Failure,
    places::Place,
    program::Program,
    spare::{Again, Left, Seat, Spare},
    stdio::LogSink,
    tape::Tape,
    trace::Step,
};
use bytes::Bytes;
use classify::classify;
use http::Request;
use http_body::Body;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::Duration,
};
use wasmtime::{Engine, Store, StoreContextMut, UpdateDeadline};

type GuestFuture = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// A guest that is over. With the store ends what the guest was writing, and ends well as it seems: so the store is
/// kept until it is known how the guest ended.
struct Ended {
    /// An outer error is a panic of the host. There may be what would serve another request.
    result: thread::Result<wasmtime::Result<Option<Left>>>,
    store: Store<Host>,
}

/// What an instance is started with.
pub(crate) struct Setup<'a> {
    pub(crate) function: &'a Function,
    pub(crate) outbound: RequestOutbound,
    pub(crate) logs: Arc<dyn LogSink>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) tape: Option<Tape>,
    pub(crate) places: [Place; 3],
    pub(crate) seat: Seat,
    pub(crate) clock: ClockGuard,
}

/// Prepares one call. Nothing runs before the guest is polled.
pub(crate) fn start<B>(program: &Program, setup: Setup<'_>, request: Request<B>) -> Running
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    let Setup { function, outbound, logs, meter, tape, places, seat, clock } = setup;
    let limits = &function.limits;
    let (used, slot, again) = match seat {
        Seat::Fresh(slot, again) => (None, slot, again),
        Seat::Spare(spare) => {
            let Spare { store, slot, left, again, .. } = *spare;
            (Some((store, left)), slot, Some(again.next()))
        }
    };
    let mark = again.as_ref().map(Again::mark);
    let request = RequestBody::of(request, limits.request_body, &meter, tape.as_ref(), mark);
    let answer = Arc::new(Answer::default());
    let given = answer.clone();
    let prepare = |engine: &Engine| match used {
        Some((mut store, left)) => {
            store.data_mut().work_for(logs, Some(outbound), meter.clone());
            store.set_epoch_deadline(1);
            (Some(left), store)
        }
        None => {
            let limiter = MemoryLimiter::new(limits.memory, meter.clone());
            let around = Surroundings { env: function.env.clone(), logs, tape };
            (None, store(engine, Host::new(around, outbound, limiter)))
        }
    };
    let future = call::prepare(&program.pre, prepare, request, given);
    Running {
        future,
        answer,
        meter,
        limits: limits.clone(),
        pace: function.pace.clone(),
        is_long: false,
        was_in_lane: false,
        turns_since_answer: 0,
        slot: Some(slot),
        again,
        _held: (places, clock),
    }
}

/// A store with every limit set, before any code of the guest runs: a start function can attack too.
fn store(engine: &Engine, host: Host) -> Store<Host> {
    let mut store = Store::new(engine, host);
    store.limiter(|host| &mut host.limiter);
    store.set_hostcall_fuel(HOSTCALL_BYTES);
    store.set_max_component_handles(COMPONENT_HANDLES);
    if let Some(table) = store.concurrent_resource_table() {
        table.set_max_capacity(HOST_RESOURCES);
    }
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store: StoreContextMut<'_, Host>| Ok(on_tick(store.data().meter())?));
    store
}

/// Called in the guest when an epoch has passed: ends it, makes it give up its turn, or lets it go on.
fn on_tick(meter: &Meter) -> Result<UpdateDeadline, Interrupted> {
    match meter.check() {
        Check::GoOn => Ok(UpdateDeadline::Continue(1)),
        Check::SliceSpent => Ok(UpdateDeadline::YieldCustom(1, Box::pin(GiveUpTurn { given_up: false }))),
        Check::BudgetSpent => Err(Interrupted::BudgetSpent),
        Check::Stopped => Err(Interrupted::Stopped),
    }
}

/// Why a guest was ended from outside.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error("the CPU budget is spent")]
    BudgetSpent,
    #[error("nobody waits for it any more")]
    Stopped,
}

/// Waits once. Who polls the guest sees on the meter that its turn is over and decides when it has the next one.
struct GiveUpTurn {
    given_up: bool,
}

impl Future for GiveUpTurn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.given_up, true) {
            return Poll::Ready(());
        }
        // Whatever stands between this and who polls the guest must come by here again.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// An instance under way.
pub(crate) struct Running {
    future: GuestFuture,
    answer: Arc<Answer>,
    meter: Arc<Meter>,
    limits: Limits,
    pace: Arc<Pace>,
    /// It did not end within a slice.
    is_long: bool,
    /// It has had a turn in the lane.
    was_in_lane: bool,
    /// Turns that were cut short since it gave its answer.
    turns_since_answer: u32,
    /// Its place in the pool, until the guest is gone.
    slot: Option<Place>,
    again: Option<Again>,
    /// Until the request is over.
    _held: ([Place; 3], ClockGuard),
}

/// Turns that a guest which goes on computing after its answer may take before the answer is sent without its end.
const ANSWER_HELD: u32 = 8;

/// What came of a turn.
pub(crate) enum Turn {
    /// The guest waits for something that will wake it.
    Waiting,
    /// Its slice is spent, and it would go on.
    Preempted,
    /// It is over. Its places are free when the [`Running`] is dropped.
    Ended(End),
}

/// How a guest ended. After a good end its instance may be left, to serve another request.
pub(crate) type End = Result<Option<Box<Spare>>, Failure>;

impl Running {
    /// Lets the guest run for about `slice` of CPU time.
    pub(crate) fn turn(&mut self, cx: &mut Context<'_>, slice: Duration) -> Turn {
        let Self { future, meter, .. } = self;
        let polled = meter.turn(slice, || future.as_mut().poll(cx));
        match polled {
            // Its answer falls due when the end is known to who waits for it: not before, or it would be sent without.
            Poll::Ready(ended) => Turn::Ended(self.end(ended)),
            Poll::Pending if self.meter.was_preempted() => {
                if !std::mem::replace(&mut self.is_long, true) {
                    self.pace.long();
                }
                if self.answer.is_given() {
                    self.turns_since_answer += 1;
                }
                if self.turns_since_answer > ANSWER_HELD {
                    self.answer.fall_due();
                }
                Turn::Preempted
            }
            Poll::Pending => {
                self.answer.fall_due();
                Turn::Waiting
            }
        }
    }

    /// Ends the guest, in this order: say why, then let go of it. A body that it was writing ends with it, and must
    /// know by then that the end is not a good one.
    fn end(&mut self, Ended { result, store }: Ended) -> End {
        let result = match result {
            Ok(Ok(left)) => Ok(left),
            Ok(Err(error)) => classify(&error, &self.meter, &self.limits).map(|()| None),
            Err(_) => Err(Failure::HostPanic),
        };
        match &result {
            Ok(_) => self.meter.guest_done(),
            Err(failure) => self.meter.end(Some(failure.clone())),
        }
        if !self.is_long {
            self.pace.short();
        }
        // Unless it is kept it is dropped here, before its place: who has a place must find a slot.
        result.map(|left| Spare::of(store, &mut self.slot, left?, self.again.take()?))
    }

    /// Says that it stood in the lane's queue for so long, and has its turn now.
    pub(crate) fn waited(&mut self, waited: Duration) {
        self.meter.queued(waited);
        if !std::mem::replace(&mut self.was_in_lane, true) {
            let began = self.meter.step_begins().and_then(|now| now.checked_sub(waited));
            self.meter.step_ended(Step::Queue, began);
        }
    }

    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// The place where its answer will be.
    pub(crate) fn answer(&self) -> &Arc<Answer> {
        &self.answer
    }

    /// True when there is an answer that nobody has taken yet.
    pub(crate) fn has_answered(&self) -> bool {
        self.answer.is_there()
    }
}
