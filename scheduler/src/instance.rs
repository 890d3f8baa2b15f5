//! One instance: a fresh store, an instance in it, one call, and how it ended.

use crate::{
    body::RequestBody,
    engine::ClockGuard,
    function::Permits,
    host::{Host, HostSetup},
    limits::{COMPONENT_HANDLES, HOST_RESOURCES, HOSTCALL_BYTES, Limits, MemoryLimiter},
    meter::Meter,
    outbound::RequestOutbound,
    outcome::Failure,
    program::Program,
    stdio::GuestOutput,
};
use bytes::Bytes;
use futures::FutureExt;
use http::{Request, Response};
use http_body::Body;
use std::{
    future::poll_fn,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread,
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, Sleep},
};
use wasmtime::{PoolConcurrencyLimitError, Store, StoreContextMut, UpdateDeadline, component::ResourceTableError};
use wasmtime_wasi_http::{
    WasiBody, WasiHttpView,
    handler::ProxyPre,
    p2::bindings::{ProxyPre as ProxyPre02, http::types::Scheme},
    p3::{self, bindings::ServicePre as ProxyPre03},
};

/// A response head with its body, or the name of the error that the guest set in its place.
pub(crate) type Head = Result<Response<WasiBody>, String>;

type GuestFuture = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// A guest that is over. With the store ends what the guest was writing, and ends well as it seems: so the store is
/// kept until it is known how the guest ended.
struct Ended {
    /// An outer error is a panic of the host.
    result: thread::Result<wasmtime::Result<()>>,
    store: Store<Host>,
}

/// What an instance is started with.
pub(crate) struct Setup<'a> {
    pub(crate) env: &'a [(String, String)],
    pub(crate) limits: &'a Limits,
    pub(crate) outbound: RequestOutbound,
    pub(crate) stdout: GuestOutput,
    pub(crate) stderr: GuestOutput,
    pub(crate) meter: Arc<Meter>,
    pub(crate) permits: Permits,
    pub(crate) clock: ClockGuard,
}

/// Prepares one call. Nothing runs before the guest is polled.
pub(crate) fn start<B>(program: &Program, setup: Setup<'_>, request: Request<B>) -> (Guest, oneshot::Receiver<Head>)
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    let Setup { env, limits, outbound, stdout, stderr, meter, permits, clock } = setup;
    let limiter = MemoryLimiter::new(limits.memory, meter.clone());
    let host = Host::new(HostSetup { env, stdout, stderr, outbound, limiter });
    let (answer, head) = oneshot::channel();
    let request = request.map(|inner| RequestBody { inner, limit: limits.request_body, meter: meter.clone() });
    let future: GuestFuture = match &program.pre {
        ProxyPre::P2(pre) => {
            let (pre, mut store) = (pre.clone(), store(pre.engine(), host, &meter));
            Box::pin(async move {
                let run = run_02(&pre, &mut store, request, answer);
                Ended { result: AssertUnwindSafe(run).catch_unwind().await, store }
            })
        }
        ProxyPre::P3(pre) => {
            let (pre, mut store) = (pre.clone(), store(pre.engine(), host, &meter));
            Box::pin(async move {
                let run = run_03(&pre, &mut store, request, answer);
                Ended { result: AssertUnwindSafe(run).catch_unwind().await, store }
            })
        }
    };
    let running = Running { future, _permits: permits, _clock: clock };
    let deadline = Instant::from_std(meter.started() + limits.timeout);
    let guest = Guest { running: Some(running), limits: limits.clone(), deadline, timer: None, meter };
    (guest, head)
}

/// A store with every limit set, before any code of the guest runs: a start function can attack too.
fn store(engine: &wasmtime::Engine, host: Host, meter: &Arc<Meter>) -> Store<Host> {
    let mut store = Store::new(engine, host);
    store.limiter(|host| &mut host.limiter);
    store.set_hostcall_fuel(HOSTCALL_BYTES);
    store.set_max_component_handles(COMPONENT_HANDLES);
    if let Some(table) = store.concurrent_resource_table() {
        table.set_max_capacity(HOST_RESOURCES);
    }
    store.set_epoch_deadline(1);
    let meter = meter.clone();
    store.epoch_deadline_callback(move |_: StoreContextMut<'_, Host>| Ok(on_tick(&meter)?));
    store
}

/// How long a guest holds a thread before it lets others run.
const SLICE: Duration = Duration::from_micros(900);

/// Called in the guest when an epoch has passed: ends it when its budget is spent, and otherwise lets
/// other tasks run. Yielding goes through tokio: wasmtime's own `Yield` wakes itself at once, and would
/// starve the timers.
fn on_tick(meter: &Meter) -> Result<UpdateDeadline, CpuExhausted> {
    let used = meter.poll_cpu();
    if meter.over_budget(used) {
        return Err(CpuExhausted);
    }
    // The tick that it sees first may have passed while it was waiting.
    if used < SLICE {
        return Ok(UpdateDeadline::Continue(1));
    }
    Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
}

#[derive(Debug, thiserror::Error)]
#[error("the CPU budget is spent")]
struct CpuExhausted;

async fn run_02<B>(
    pre: &ProxyPre02<Host>,
    store: &mut Store<Host>,
    request: Request<RequestBody<B>>,
    answer: oneshot::Sender<Head>,
) -> wasmtime::Result<()>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
    let out = store.data_mut().http().new_response_outparam_from_callback(move |head| {
        // Nobody listens any more when the client has gone.
        let _ = answer.send(head.map_err(|code| format!("{code:?}")));
    })?;
    let proxy = pre.instantiate_async(&mut *store).await?;
    proxy.wasi_http_incoming_handler().call_handle(store, request, out).await
}

async fn run_03<B>(
    pre: &ProxyPre03<Host>,
    store: &mut Store<Host>,
    request: Request<RequestBody<B>>,
    answer: oneshot::Sender<Head>,
) -> wasmtime::Result<()>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    let service = pre.instantiate_async(&mut *store).await?;
    let call = async move |accessor: &wasmtime::component::Accessor<Host>| {
        let (request, sent) = accessor.with(|mut store| {
            let (request, sent) = p3::Request::from_http(store.get().http().hooks, request);
            // Boxed, since the type of the future names the borrow of the store, which it does not keep.
            (request, sent.boxed())
        });
        let head = match service.handle(accessor, request).await? {
            Ok(response) => Ok(accessor.with(|mut store| response.into_http(&mut store, sent))?),
            Err(code) => Err(format!("{code:?}")),
        };
        let _ = answer.send(head);
        // The guest may still be writing the body, in tasks of its own.
        poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
        Ok(())
    };
    store.run_concurrent(call).await?
}

/// A guest under way, as a future that ends when the guest does or when a limit ends it. Dropping it
/// frees its slot.
pub(crate) struct Guest {
    running: Option<Running>,
    limits: Limits,
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    meter: Arc<Meter>,
}

struct Running {
    future: GuestFuture,
    _permits: Permits,
    _clock: ClockGuard,
}

impl Guest {
    /// Ends the guest, in this order: say why, then let go of it. A body that it was writing ends with
    /// it, and must know by then that the end is not a good one.
    fn end(&mut self, result: Result<(), Failure>, store: Option<Store<Host>>) -> Poll<Result<(), Failure>> {
        match &result {
            Ok(()) => self.meter.guest_done(),
            Err(failure) => self.meter.end(Some(failure.clone())),
        }
        // Before the permits: who has a permit must find a slot.
        drop(store);
        self.running = None;
        Poll::Ready(result)
    }
}

impl Future for Guest {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(running) = &mut this.running else { return Poll::Pending };
        match this.meter.charge(|| running.future.as_mut().poll(cx)) {
            Poll::Ready(Ended { result, store }) => {
                let result = match result {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error)) => classify(&error, &this.meter, &this.limits),
                    Err(_) => Err(Failure::HostPanic),
                };
                this.end(result, Some(store))
            }
            Poll::Pending => {
                let deadline = this.deadline;
                let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
                match timer.poll_unpin(cx) {
                    Poll::Ready(()) => this.end(Err(Failure::Timeout { limit: this.limits.timeout }), None),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

/// Bytes of a trap's description that are kept.
const TRAP_BYTES: usize = 4 << 10;

/// What an error that ended the guest means.
fn classify(error: &wasmtime::Error, meter: &Meter, limits: &Limits) -> Result<(), Failure> {
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return if exit.0 == 0 {
            Ok(())
        } else {
            Err(Failure::Trap(format!("the function exited with status {}", exit.0)))
        };
    }
    if error.downcast_ref::<CpuExhausted>().is_some() {
        return Err(Failure::Cpu { limit: limits.cpu });
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return Err(Failure::NodeBusy);
    }
    // A guest that fails over a request body which is too large fails because of the client.
    if meter.was_request_too_large() {
        return Err(Failure::RequestTooLarge { limit: limits.request_body });
    }
    if meter.was_memory_denied() {
        return Err(Failure::Memory { limit: limits.memory });
    }
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        return Err(Failure::HostLimit(format!("{HOST_RESOURCES} host resources at once")));
    }
    let mut description = format!("{error:?}");
    // wasmtime has no type for these two.
    if description.contains("fuel allocated for hostcalls has been exhausted") {
        return Err(Failure::HostLimit(format!("{HOSTCALL_BYTES} bytes in one call of the host")));
    }
    if description.contains("store handle limit exceeded") {
        return Err(Failure::HostLimit(format!("{COMPONENT_HANDLES} handles at once")));
    }
    description.truncate(description.floor_char_boundary(TRAP_BYTES));
    Err(Failure::Trap(description))
}
