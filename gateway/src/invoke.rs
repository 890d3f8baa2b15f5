//! The data plane: from a name to a function to an answer.

use crate::{
    abandoned::{self, WatchedBody},
    access_log::AccessLog,
    acme::Acme,
    address::Address,
    catalog::Catalog,
    drain::Drain,
    ending::{self, Ending},
    forwarding::{self, Hop},
    journal::RequestLog,
    listener::{Arrival, Handler},
    metrics::Metrics,
    otlp::{Line, LogExport, Queue},
    pace::{Pace, PacedBody, Verdict},
    pressure::Pressure,
    problem::Problem,
    recording::Take,
    request_id::RequestId,
    route_table::Served,
    server_timing::{self, TimedBody},
    traces::{InvocationTrace, Traces},
    trial::Tally,
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use http::{Request, StatusCode, header, uri::Authority};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use jiff::Timestamp;
use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc};
use wasmway_scheduler::{Failure, Invocation, Receipt, ResponseBody, Scheduler};

/// What the data plane works with.
pub(crate) struct DataPlane {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) access_log: Arc<AccessLog>,
    pub(crate) traces: Option<Traces>,
    /// Where lines that functions print are sent, if they are.
    pub(crate) logs: Option<Arc<Queue<Line>>>,
    pub(crate) drain: Drain,
    pub(crate) pressure: Pressure,
    pub(crate) own_address: SocketAddr,
    pub(crate) trust_forwarded: bool,
    pub(crate) pace: Pace,
    /// Asked by an authority for certificates, at a path that no function gets then.
    pub(crate) acme: Option<Arc<Acme>>,
}

/// Every path belongs to the functions: there is no router before them.
impl Handler for Arc<DataPlane> {
    async fn handle(self, request: Request<Incoming>, arrival: Arrival) -> Result<Response, Infallible> {
        if let Some(answer) = self.acme.as_ref().and_then(|acme| acme.answer(request.uri().path())) {
            return Ok(answer.into_response());
        }
        let id = RequestId::of(request.headers());
        let version = request.version();
        let has_body = !request.body().is_end_stream();
        let request = request.map(|body| if has_body { Body::new(body) } else { Body::empty() });
        let (mut response, refused) = match dispatch(&self, request, arrival, &id).await {
            Ok(response) => (response, false),
            Err(problem) => (problem.with_request_id(id.as_str()).into_response(), true),
        };
        id.put(response.headers_mut());
        // A body that nobody reads to its end stands between this request and a next one.
        if self.drain.is_closing() || (refused && has_body) {
            forwarding::ask_to_leave(response.headers_mut(), version);
        }
        Ok(response)
    }
}

/// Finds the function and runs it.
async fn dispatch(
    plane: &DataPlane,
    mut request: Request<Body>,
    Arrival { peer, client: connection }: Arrival,
    id: &RequestId,
) -> Result<Response, Problem> {
    let Destination { served, tally, prefix, authority } = find(plane, &request)?;
    refuse_loop(plane, &request)?;
    refuse_under_pressure(plane)?;
    let trace = plane.traces.as_ref().map(|traces| traces.begin(&mut request, peer.scheme(), authority.as_ref()));
    let (trusted, own_address) = (plane.trust_forwarded, plane.own_address);
    let hop = Hop { prefix, authority, request_id: id, peer: &peer, trusted, own_address };
    forwarding::rewrite(&mut request, hop).map_err(|error| bad_request(plane, &error.to_string()))?;
    let (version, is_long) = (request.version(), is_long(&request));
    let (request, client) = prepare_body(request, plane.pace).await;
    let log = log_of(plane, &served, id, trace.as_deref());
    let ending = Ending {
        log: log.clone(),
        access_log: plane.access_log.clone(),
        tally,
        trace: trace.clone(),
        client: client.clone(),
        time: Timestamp::now(),
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        take: served.journal.recording.take(&served),
    };
    // Once the body has been read, or is none, the server reads on, and notices by itself.
    let has_body = !request.body().is_end_stream();
    let takes_trailers = served.server_timing && server_timing::takes_trailers(&request);
    let trace = trace.map(|trace| trace as _);
    let tape = ending.take.as_ref().map(Take::tape);
    let invocation = Invocation { logs: log.clone(), trace, tape, on_end: move |receipt| ending.record(receipt) };
    let call = pin!(plane.scheduler.invoke(&served.function, request, invocation));
    let Some(answer) = abandoned::unless_left(connection.clone(), call).await else {
        return Err(Problem::client_left());
    };
    if client.is_too_slow() {
        return Err(Problem::of_failure(&Failure::RequestTooSlow));
    }
    if client.is_broken() && answer.result.is_err() {
        return Err(bad_request(plane, "the request body broke off, or is not what HTTP says a body is"));
    }
    client.head_sent();
    match answer.result {
        Ok(response) => {
            let watched = connection.filter(|_| has_body && !response.body().is_whole());
            let is_unread = is_long && response.body().is_whole() && !client.is_read();
            let mut response = match served.server_timing {
                true => timed(response, &answer.usage.so_far(), takes_trailers),
                false => response.map(Body::new),
            };
            if is_unread {
                forwarding::ask_to_leave(response.headers_mut(), version);
            }
            Ok(match watched {
                Some(client) => response.map(|body| Body::new(WatchedBody::new(body, client))),
                None => response,
            })
        }
        Err(failure) => {
            let problem = Problem::of_failure(&failure);
            let explain = |problem: Problem| {
                let used = answer.usage.so_far();
                problem.explained(ending::cause(&failure, &used), &used, log.stderr_end())
            };
            Err(if served.debug { explain(problem) } else { problem })
        }
    }
}

/// Where what the function prints goes.
fn log_of(plane: &DataPlane, served: &Arc<Served>, id: &RequestId, trace: Option<&InvocationTrace>) -> Arc<RequestLog> {
    let export = plane.logs.as_ref().map(|queue| LogExport::new(queue, trace));
    Arc::new(RequestLog::new(served.clone(), id.clone(), export))
}

/// Tells the client what its request has used: by now, and where that is not all, at the end once more.
fn timed(mut response: http::Response<ResponseBody>, used: &Receipt, takes_trailers: bool) -> Response {
    server_timing::add(response.headers_mut(), used);
    // A body of a given length has no place for trailers in HTTP/1.1.
    if response.body().is_whole() || !takes_trailers || response.headers().contains_key(header::CONTENT_LENGTH) {
        return response.map(Body::new);
    }
    server_timing::announce(response.headers_mut());
    response.map(|body| Body::new(TimedBody::new(body)))
}

/// Where a request goes.
struct Destination {
    served: Arc<Served>,
    /// Where its requests are counted, if several versions have a part.
    tally: Option<Arc<Tally>>,
    /// Bytes of the path that led there.
    prefix: usize,
    authority: Option<Authority>,
}

fn find(plane: &DataPlane, request: &Request<Body>) -> Result<Destination, Problem> {
    let address = Address::of(request).map_err(|_| bad_request(plane, "the request names no host, or not just one"))?;
    let table = plane.catalog.table();
    let Some(found) = table.find(&address) else {
        plane.metrics.rejected("unknown-function");
        return Err(Problem::unknown_function(
            "no function answers at this address; call /FUNCTION/ or /FUNCTION.NAMESPACE/, or deploy one first",
        ));
    };
    let (served, tally) = found.backend.choose(request.headers());
    let (served, tally) = (served.clone(), tally.cloned());
    Ok(Destination { served, tally, prefix: found.prefix, authority: address.authority.clone() })
}

/// How often a request may come through functions on its way: calling each other is fine, calling each other for ever is not.
const PASSES: usize = 8;

/// Ends a loop of functions that call each other, or themselves. `CDN-Loop` says how far it has come.
fn refuse_loop(plane: &DataPlane, request: &Request<Body>) -> Result<(), Problem> {
    let passes = wasmway_scheduler::passes(request.headers());
    if passes <= PASSES {
        return Ok(());
    }
    plane.metrics.rejected("loop-detected");
    let detail = format!("functions called each other {passes} times to get here; {PASSES} are the most");
    Err(Problem::platform(StatusCode::LOOP_DETECTED, "loop-detected", "Loop detected", detail))
}

fn refuse_under_pressure(plane: &DataPlane) -> Result<(), Problem> {
    if !plane.pressure.is_high() {
        return Ok(());
    }
    plane.metrics.rejected("memory-pressure");
    Err(Problem::memory_pressure())
}

fn bad_request(plane: &DataPlane, detail: &str) -> Problem {
    plane.metrics.rejected("bad-request");
    Problem::platform(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail)
}

/// Bytes of a body that has arrived with its head, as a rule.
const SHORT_BODY: u64 = 4 << 10;

/// Whether some of a body may be on its way yet when the function has answered. One that it has not read ends the
/// connection, which the answer has to say: a proxy would send its next request on it.
fn is_long(request: &Request<Body>) -> bool {
    request.body().size_hint().upper().is_none_or(|bytes| bytes > SHORT_BODY)
}

/// Puts a limit on how slow the body may come. A client that waits for `100 Continue` gets it now: a
/// function that answers before it reads would keep it waiting.
async fn prepare_body(request: Request<Body>, pace: Pace) -> (Request<Body>, Verdict) {
    if request.body().is_end_stream() {
        return (request, Verdict::default());
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
    let (body, client) = PacedBody::new(body, pace);
    (Request::from_parts(head, Body::new(body)), client)
}
