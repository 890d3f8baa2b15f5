//! One call of a guest, by the kind of its program.

use super::{Ended, GuestFuture};
use crate::{
    answer::Answer,
    body::RequestBody,
    flat::{FlatInstance, FlatPre},
    host::Host,
    program::Pre,
    spare::Left,
    trace::Step,
};
use bytes::Bytes;
use futures::FutureExt;
use http::Request;
use http_body::Body;
use std::{future::poll_fn, panic::AssertUnwindSafe, sync::Arc};
use wasmtime::{Engine, Store, component::Resource};
use wasmtime_wasi_http::{
    WasiHttpView,
    p2::bindings::{
        ProxyPre,
        http::types::{IncomingRequest, ResponseOutparam, Scheme},
    },
    p3::{
        self,
        bindings::{Service, ServicePre},
    },
};

/// What is called.
enum Callee {
    Flat(Arc<FlatPre>),
    Restored(FlatInstance),
    P2(ProxyPre<Host>),
    P3(ServicePre<Host>),
    Used(Service),
}

/// Prepares a call, in a store that `store` makes, or that it has with what is left of an instance. Nothing runs before
/// it is polled.
pub(super) fn prepare<B>(
    pre: &Pre,
    store: impl FnOnce(&Engine) -> (Option<Left>, Store<Host>),
    request: Request<RequestBody<B>>,
    answer: Arc<Answer>,
) -> GuestFuture
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    let (left, mut store) = store(pre.engine());
    let callee = match (left, pre) {
        (Some(Left::Flat(instance)), _) => Callee::Restored(instance),
        (Some(Left::Service(service)), _) => Callee::Used(service),
        (None, Pre::Flat(pre)) => Callee::Flat(pre.clone()),
        (None, Pre::P2(pre)) => Callee::P2(pre.clone()),
        (None, Pre::P3(pre)) => Callee::P3(pre.clone()),
    };
    Box::pin(async move {
        let run = run(callee, &mut store, request, answer);
        Ended { result: AssertUnwindSafe(run).catch_unwind().await, store }
    })
}

/// Runs it to its end. There may be what would serve another request.
async fn run<B>(
    callee: Callee,
    store: &mut Store<Host>,
    request: Request<RequestBody<B>>,
    answer: Arc<Answer>,
) -> wasmtime::Result<Option<Left>>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    let meter = store.data().meter().clone();
    match callee {
        Callee::Flat(pre) => {
            let exchange = exchange_02(store, request, answer)?;
            let instance = meter.timed(Step::Instantiate, pre.instantiate(store)).await?;
            run_flat(instance, store, exchange).await
        }
        Callee::Restored(instance) => {
            let exchange = exchange_02(store, request, answer)?;
            run_flat(instance, store, exchange).await
        }
        Callee::P2(pre) => {
            let (request, out) = exchange_02(store, request, answer)?;
            let proxy = meter.timed(Step::Instantiate, pre.instantiate_async(&mut *store)).await?;
            proxy.wasi_http_incoming_handler().call_handle(store, request, out).await?;
            Ok(None)
        }
        // Boxed: the others need not carry the place for this.
        Callee::P3(pre) => {
            let service = meter.timed(Step::Instantiate, pre.instantiate_async(&mut *store)).await?;
            Box::pin(run_03(service, store, request, answer)).await
        }
        Callee::Used(service) => Box::pin(run_03(service, store, request, answer)).await,
    }
}

/// A request and the place for its answer, as a guest of WASI 0.2 gets them.
type Exchange02 = (Resource<IncomingRequest>, Resource<ResponseOutparam>);

fn exchange_02<B>(
    store: &mut Store<Host>,
    request: Request<RequestBody<B>>,
    answer: Arc<Answer>,
) -> wasmtime::Result<Exchange02>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    let scheme = if request.uri().scheme_str() == Some("https") { Scheme::Https } else { Scheme::Http };
    let request = store.data_mut().http().new_incoming_request(scheme, request)?;
    let out = store.data_mut().http().new_response_outparam_from_callback(move |head| {
        answer.give(head.map_err(|code| format!("{code:?}")));
    })?;
    Ok((request, out))
}

async fn run_flat(
    instance: FlatInstance,
    store: &mut Store<Host>,
    (request, out): Exchange02,
) -> wasmtime::Result<Option<Left>> {
    instance.handle(store, request, out).await?;
    Ok(Some(Left::Flat(instance)))
}

async fn run_03<B>(
    service: Service,
    store: &mut Store<Host>,
    request: Request<RequestBody<B>>,
    answer: Arc<Answer>,
) -> wasmtime::Result<Option<Left>>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
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
        answer.give(head);
        // The guest may still be writing the body, in tasks of its own.
        poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
        Ok(Some(Left::Service(service)))
    };
    store.run_concurrent(call).await?
}
