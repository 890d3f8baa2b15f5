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
        ProxyPre as ProxyPre02,
        http::types::{IncomingRequest, ResponseOutparam, Scheme},
    },
    p3::{
        self,
        bindings::{Service, ServicePre as ProxyPre03},
    },
};

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
    match pre {
        Pre::Flat(pre) => {
            let (left, mut store) = store(pre.engine());
            let callee = match left {
                Some(Left::Flat(instance)) => Flat::Restored(instance),
                _ => Flat::Fresh(pre.clone()),
            };
            Box::pin(async move {
                let run = run_flat(callee, &mut store, request, answer);
                Ended { result: AssertUnwindSafe(run).catch_unwind().await, store }
            })
        }
        Pre::P2(pre) => {
            let (pre, (_, mut store)) = (pre.clone(), store(pre.engine()));
            Box::pin(async move {
                let run = run_02(&pre, &mut store, request, answer);
                Ended { result: AssertUnwindSafe(run).catch_unwind().await, store }
            })
        }
        Pre::P3(pre) => {
            let (left, mut store) = store(pre.engine());
            let callee = match left {
                Some(Left::Service(service)) => Callee::Used(service),
                _ => Callee::Fresh(pre.clone()),
            };
            Box::pin(async move {
                let run = run_03(callee, &mut store, request, answer);
                Ended { result: AssertUnwindSafe(run).catch_unwind().await, store }
            })
        }
    }
}

/// What is called, of a flat component.
enum Flat {
    Fresh(Arc<FlatPre>),
    Restored(FlatInstance),
}

async fn run_flat<B>(
    callee: Flat,
    store: &mut Store<Host>,
    request: Request<RequestBody<B>>,
    answer: Arc<Answer>,
) -> wasmtime::Result<Option<Left>>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    let (request, out) = exchange_02(store, request, answer)?;
    let instance = match callee {
        Flat::Restored(instance) => instance,
        Flat::Fresh(pre) => {
            let began = store.data().meter().step_begins();
            let instance = pre.instantiate(store).await;
            store.data().meter().step_ended(Step::Instantiate, began);
            instance?
        }
    };
    instance.handle(store, request, out).await?;
    Ok(Some(Left::Flat(instance)))
}

/// The request and the place for its answer, as a guest of WASI 0.2 gets them.
fn exchange_02<B>(
    store: &mut Store<Host>,
    request: Request<RequestBody<B>>,
    answer: Arc<Answer>,
) -> wasmtime::Result<(Resource<IncomingRequest>, Resource<ResponseOutparam>)>
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

async fn run_02<B>(
    pre: &ProxyPre02<Host>,
    store: &mut Store<Host>,
    request: Request<RequestBody<B>>,
    answer: Arc<Answer>,
) -> wasmtime::Result<Option<Left>>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    let (request, out) = exchange_02(store, request, answer)?;
    let began = store.data().meter().step_begins();
    let proxy = pre.instantiate_async(&mut *store).await;
    store.data().meter().step_ended(Step::Instantiate, began);
    proxy?.wasi_http_incoming_handler().call_handle(store, request, out).await?;
    Ok(None)
}

/// What is called, of WASI 0.3.
enum Callee {
    Fresh(ProxyPre03<Host>),
    Used(Service),
}

async fn run_03<B>(
    callee: Callee,
    store: &mut Store<Host>,
    request: Request<RequestBody<B>>,
    answer: Arc<Answer>,
) -> wasmtime::Result<Option<Left>>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display,
{
    let service = match callee {
        Callee::Used(service) => service,
        Callee::Fresh(pre) => {
            let began = store.data().meter().step_begins();
            let service = pre.instantiate_async(&mut *store).await;
            store.data().meter().step_ended(Step::Instantiate, began);
            service?
        }
    };
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
