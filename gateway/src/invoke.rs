//! The data plane: from a name to a function to an answer.

use crate::{
    address::Address,
    catalog::Catalog,
    config::Config,
    forwarding::{self, Hop},
    journal::{InvocationRecord, RequestLog},
    listener::Drain,
    metrics::Metrics,
    problem::Problem,
    route_table::Served,
};
use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use http::{StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use jiff::Timestamp;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tower_http::timeout::TimeoutBody;
use wasmway_scheduler::{Failure, Invocation, Outcome, Receipt, Scheduler};

/// What the data plane works with.
pub(crate) struct DataPlane {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) drain: Drain,
    pub(crate) own_address: SocketAddr,
    pub(crate) trust_forwarded: bool,
    pub(crate) body_idle_timeout: Duration,
}

/// The routes of the data plane: every path belongs to the functions.
pub(crate) fn router(plane: Arc<DataPlane>) -> axum::Router {
    axum::Router::new().fallback(invoke).with_state(plane)
}

impl DataPlane {
    pub(crate) fn new(
        catalog: Arc<Catalog>,
        scheduler: Arc<Scheduler>,
        metrics: Arc<Metrics>,
        drain: Drain,
        (own_address, config): (SocketAddr, &Config),
    ) -> Self {
        let (trust_forwarded, body_idle_timeout) = (config.trust_forwarded, config.body_idle_timeout);
        Self { catalog, scheduler, metrics, drain, own_address, trust_forwarded, body_idle_timeout }
    }
}

async fn invoke(State(plane): State<Arc<DataPlane>>, request: Request) -> Response {
    let id = forwarding::request_id(request.headers());
    let version = request.version();
    let has_body = !request.body().is_end_stream();
    let (mut response, refused) = match dispatch(&plane, request, &id).await {
        Ok(response) => (response, false),
        Err(problem) => (problem.with_request_id(&id).into_response(), true),
    };
    forwarding::set_request_id(response.headers_mut(), &id);
    // A body that nobody reads to its end stands between this request and a next one.
    if plane.drain.is_closing() || (refused && has_body) {
        forwarding::ask_to_leave(response.headers_mut(), version);
    }
    response
}

/// Finds the function and runs it.
async fn dispatch(plane: &DataPlane, mut request: Request, id: &str) -> Result<Response, Problem> {
    let (served, prefix) = find(plane, &request)?;
    refuse_loop(plane, &request)?;
    let hop = Hop { prefix, request_id: id, trusted: plane.trust_forwarded, own_address: plane.own_address };
    forwarding::rewrite(&mut request, &hop).map_err(|error| bad_request(plane, &error.to_string()))?;
    let request = prepare_body(request, plane.body_idle_timeout).await;
    let log = Arc::new(RequestLog {
        journal: served.journal.clone(),
        namespace: served.function.namespace().to_owned(),
        function: served.function.name().to_owned(),
        version: served.function.version(),
        request_id: id.to_owned(),
    });
    let ending = Ending {
        served: served.clone(),
        log: log.clone(),
        time: Timestamp::now(),
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
    };
    let invocation = Invocation { logs: log, on_end: move |receipt| ending.record(receipt) };
    match plane.scheduler.invoke(&served.function, request, invocation).await {
        Ok(response) => Ok(response.map(Body::new)),
        Err(failure) => Err(Problem::of_failure(&failure, served.debug)),
    }
}

fn find(plane: &DataPlane, request: &Request) -> Result<(Arc<Served>, usize), Problem> {
    let address = Address::of(request).map_err(|_| bad_request(plane, "the request names no host, or not just one"))?;
    let table = plane.catalog.table();
    let Some(found) = table.find(&address) else {
        plane.metrics.rejected("unknown-function");
        return Err(Problem::unknown_function(
            "no function answers at this address; call /FUNCTION/ or /FUNCTION.NAMESPACE/, or deploy one first",
        ));
    };
    Ok((found.served.clone(), found.prefix))
}

/// How often a request may come through functions on its way: calling each other is fine, calling each other for ever is not.
const PASSES: usize = 8;

/// Ends a loop of functions that call each other, or themselves. `CDN-Loop` says how far it has come.
fn refuse_loop(plane: &DataPlane, request: &Request) -> Result<(), Problem> {
    let passes = wasmway_scheduler::passes(request.headers());
    if passes <= PASSES {
        return Ok(());
    }
    plane.metrics.rejected("loop-detected");
    let detail = format!("functions called each other {passes} times to get here; {PASSES} are the most");
    Err(Problem::platform(StatusCode::LOOP_DETECTED, "loop-detected", "Loop detected", detail))
}

fn bad_request(plane: &DataPlane, detail: &str) -> Problem {
    plane.metrics.rejected("bad-request");
    Problem::platform(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail)
}

/// Puts a limit on the silence within the body. A client that waits for `100 Continue` gets it now: a
/// function that answers before it reads would keep it waiting.
async fn prepare_body(request: Request, idle: Duration) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    let waits = request.headers().contains_key(header::EXPECT);
    let (head, mut body) = request.into_parts();
    let mut first = None;
    if waits {
        first = body.frame().now_or_never();
        // The server says `100 Continue` once the body was asked for, and before it polls us again.
        tokio::task::yield_now().await;
    }
    let body = match first {
        // The whole body has ended, or its first frame is here already.
        Some(None) => Body::empty(),
        Some(Some(frame)) => {
            let first = futures::stream::iter([frame]);
            let rest = http_body_util::BodyStream::new(body);
            Body::new(http_body_util::StreamBody::new(futures::StreamExt::chain(first, rest)))
        }
        None => body,
    };
    Request::from_parts(head, Body::new(TimeoutBody::new(idle, body)))
}

/// What is written down when a request is over.
struct Ending {
    served: Arc<Served>,
    log: Arc<RequestLog>,
    time: Timestamp,
    method: String,
    path: String,
}

impl Ending {
    fn record(self, receipt: Receipt) {
        self.served.metrics.observe(&receipt);
        let outcome = receipt.outcome();
        let status = receipt.status.or_else(|| {
            let failure = receipt.failure.as_ref()?;
            (outcome != Outcome::Cancelled).then(|| Problem::of_failure(failure, false).status())
        });
        if let Some(failure) = &receipt.failure {
            self.explain(failure, outcome);
        }
        let record = InvocationRecord {
            time: self.time,
            request_id: self.log.request_id.clone(),
            namespace: self.log.namespace.clone(),
            function: self.log.function.clone(),
            version: self.log.version,
            method: self.method,
            path: self.path,
            status: status.map_or(0, |status| status.as_u16()),
            outcome: outcome.as_str(),
            cpu_us: receipt.cpu.as_micros() as u64,
            memory_bytes: receipt.memory_bytes,
            wall_us: receipt.wall.as_micros() as u64,
            cold: receipt.cold,
            bytes_in: receipt.bytes_in,
            bytes_out: receipt.bytes_out,
            outbound_requests: receipt.outbound_requests,
            outbound_bytes: receipt.outbound_bytes,
            error: receipt.failure.as_ref().map(ToString::to_string),
        };
        access_line(&record);
        // What was turned away did not run: it must not push what did out of the journal.
        if outcome != Outcome::Rejected {
            self.served.journal.record(record);
        }
    }

    /// Says why a call failed, to those whom it concerns.
    fn explain(&self, failure: &Failure, outcome: Outcome) {
        match outcome {
            // Neither the function's doing nor ours, and as many as there are clients.
            Outcome::Ok | Outcome::Rejected | Outcome::Cancelled | Outcome::RequestTooLarge => {}
            Outcome::Unloadable | Outcome::PlatformError => {
                let Self { log, .. } = self;
                tracing::error!(namespace = log.namespace, function = log.function, request_id = log.request_id, %failure, "the platform failed a call");
            }
            Outcome::Trap
            | Outcome::NoResponse
            | Outcome::MemoryLimit
            | Outcome::CpuLimit
            | Outcome::Timeout
            | Outcome::HostLimit
            | Outcome::ResponseTooLarge => self.log.write("platform", &failure.to_string()),
        }
    }
}

fn access_line(record: &InvocationRecord) {
    tracing::info!(
        target: "wasmway::access",
        namespace = record.namespace,
        function = record.function,
        version = record.version,
        request_id = record.request_id,
        method = record.method,
        path = record.path,
        status = record.status,
        outcome = record.outcome,
        wall_us = record.wall_us,
        cpu_us = record.cpu_us,
        memory_bytes = record.memory_bytes,
        bytes_in = record.bytes_in,
        bytes_out = record.bytes_out,
        cold = record.cold,
    );
}
