//! What a function printed, and how its calls went.

use super::target::{CallTarget, InvocationTarget, NamespaceQuery, Parameters, Target};
use crate::{
    backend::Backend,
    catalog::Catalog,
    drain::Drain,
    journal::{InvocationDetail, InvocationRecord, Journal},
    log_line::{Level, LogLine, Wanted},
    problem::Problem,
};
use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, StreamExt, future, stream};
use http::{HeaderMap, StatusCode, header};
use jiff::{SignedDuration, Timestamp, fmt::friendly::SpanParser};
use serde::{Deserialize, Serialize};
use std::{convert::Infallible, sync::Arc};
use tokio::sync::broadcast::{self, error::RecvError};
use utoipa::{IntoParams, ToSchema};

/// What is kept of the calls of the functions that are served here.
#[derive(Clone)]
pub(crate) struct Journals {
    /// `None` where functions are called on other nodes.
    pub(crate) catalog: Option<Arc<Catalog>>,
    pub(crate) drain: Drain,
}

/// Which lines.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LinesQuery {
    /// At most so many of the latest lines; when it is left out 100, or all that are kept where `since` or `request` is
    /// there.
    #[param(default = 100)]
    tail: Option<usize>,
    /// Go on with new lines as they come; when it is left out, only a stream of events does.
    follow: Option<bool>,
    /// Lines since then: a length of time before now such as `10m`, or a moment (RFC 3339).
    #[param(example = "10m")]
    since: Option<String>,
    /// Lines that matter so much or more. Standard output is `info`, standard error `warn`; what the platform says of a
    /// call that failed is `error`.
    #[param(inline)]
    level: Option<Level>,
    /// Lines of the call with this id: the `x-request-id` of its answer.
    request: Option<String>,
}

impl LinesQuery {
    fn tail(&self) -> usize {
        let all = self.since.is_some() || self.request.is_some();
        self.tail.unwrap_or(if all { usize::MAX } else { 100 })
    }

    fn wanted(&self) -> Result<Wanted, Problem> {
        let since = self.since.as_deref().map(moment).transpose()?;
        Ok(Wanted { since, level: self.level, request_id: self.request.clone() })
    }
}

/// A moment, or the one that lies so long before now.
fn moment(text: &str) -> Result<Timestamp, Problem> {
    static LENGTH: SpanParser = SpanParser::new();
    let ago = || Timestamp::now().checked_sub(LENGTH.parse_unsigned_duration(text).ok()?).ok();
    text.parse().ok().or_else(ago).ok_or_else(|| {
        let detail = format!(
            "since: {text:?} is neither a length of time such as 10m or 1h30m nor a moment such as 2026-01-31T12:00:00Z"
        );
        Problem::platform(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail)
    })
}

/// The log of a function: one JSON document a line (application/x-ndjson)
///
/// With `Accept: text/event-stream` each line is the data of an event, which goes on until the reader leaves; a reader that
/// comes back with `Last-Event-ID` gets what it has missed, as far as it is kept.
#[utoipa::path(get, path = "/api/v1/functions/{name}/logs", tag = "observing",
    params(("name" = String, Path), NamespaceQuery, LinesQuery),
    responses((status = 200, description = "The lines", content(
            (LogLine = "application/x-ndjson"), (LogLine = "text/event-stream"))),
        (status = 400, description = "A query that cannot be read", body = Problem),
        (status = 404, body = Problem),
        (status = 501, description = "Of a registry alone: the nodes keep their logs", body = Problem)))]
pub(super) async fn lines(
    State(journals): State<Journals>,
    target: Target,
    Parameters(query): Parameters<LinesQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let events = wants_events(&headers);
    let mut wanted = query.wanted()?;
    let mut tail = query.tail();
    if let Some(after) = last_event(&headers).filter(|_| events) {
        wanted.since = wanted.since.max(Some(after));
        tail = usize::MAX;
    }
    let (recent, live) = journals.of(&target)?.follow(tail, &wanted);
    let lines = if query.follow.unwrap_or(events) {
        // A reader must not hold up the end of the process.
        let end = journals.drain.clone();
        let live = live_lines(live).filter(move |line| future::ready(wanted.takes(line)));
        stream::iter(recent).chain(live).take_until(async move { end.closing().await }).boxed()
    } else {
        stream::iter(recent).boxed()
    };
    if events {
        let events = lines.map(|line| Event::default().id(line.time.to_string()).json_data(&*line));
        return Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response());
    }
    let body = Body::from_stream(lines.map(|line| json_line(&line)));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

fn wants_events(headers: &HeaderMap) -> bool {
    let is_events = |part: &str| part.split(';').next().is_some_and(|media_type| media_type.trim() == EVENTS);
    let accepted = headers.get_all(header::ACCEPT).iter();
    accepted.filter_map(|value| value.to_str().ok()).any(|value| value.split(',').any(is_events))
}

const EVENTS: &str = "text/event-stream";

/// The moment after the line that a reader has seen last.
fn last_event(headers: &HeaderMap) -> Option<Timestamp> {
    let seen: Timestamp = headers.get("last-event-id")?.to_str().ok()?.parse().ok()?;
    seen.checked_add(SignedDuration::from_nanos(1)).ok()
}

fn live_lines(live: broadcast::Receiver<Arc<LogLine>>) -> impl Stream<Item = Arc<LogLine>> {
    stream::unfold(live, |mut live| async move {
        loop {
            match live.recv().await {
                Ok(line) => return Some((line, live)),
                // Slower than the function prints: what it missed is in the log no more.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    })
}

fn json_line(line: &LogLine) -> Result<Bytes, Infallible> {
    // Text and numbers: there is nothing in a line that JSON could not say.
    let mut json = serde_json::to_vec(line).unwrap_or_default();
    json.push(b'\n');
    Ok(json.into())
}

/// The latest calls of a function, newest first, and behind them the latest failed ones of before.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InvocationList {
    invocations: Vec<InvocationRecord>,
}

/// The latest calls of a function with what each used, newest first
///
/// Behind them come the latest failed calls of before, so that a flood of good ones does not wash a failure away.
#[utoipa::path(get, path = "/api/v1/functions/{name}/invocations", tag = "observing",
    params(("name" = String, Path), NamespaceQuery),
    responses((status = 200, body = InvocationList), (status = 404, body = Problem)))]
pub(super) async fn invocations(
    State(journals): State<Journals>,
    target: Target,
) -> Result<Json<InvocationList>, Problem> {
    let kept = journals.of(&target)?.invocations();
    Ok(Json(InvocationList { invocations: kept.iter().map(|call| call.record.clone()).collect() }))
}

/// One call of a function, by the id that its answer bears in `x-request-id`
#[utoipa::path(get, path = "/api/v1/functions/{name}/invocations/{request_id}", tag = "observing",
    params(("name" = String, Path), ("request_id" = String, Path), NamespaceQuery),
    responses((status = 200, body = InvocationDetail),
        (status = 404, description = "No such function, or the call is not kept (any more)", body = Problem)))]
pub(super) async fn invocation(
    State(journals): State<Journals>,
    InvocationTarget { function, request_id }: InvocationTarget,
) -> Result<Json<InvocationDetail>, Problem> {
    let unknown = || {
        let detail = format!(
            "no call {request_id} of {} is kept: only the latest are, and some more of those that failed",
            function.name
        );
        Problem::platform(StatusCode::NOT_FOUND, "unknown-invocation", "Unknown invocation", detail)
    };
    journals.of(&function)?.invocation(&request_id).map(|call| Json((*call).clone())).ok_or_else(unknown)
}

/// One call of any function of the namespace, by the id that its answer bears in `x-request-id`
#[utoipa::path(get, path = "/api/v1/invocations/{request_id}", tag = "observing",
    params(("request_id" = String, Path), NamespaceQuery),
    responses((status = 200, body = InvocationDetail),
        (status = 404, description = "The call is not kept (any more)", body = Problem),
        (status = 501, description = "Of a registry alone: the nodes keep their calls", body = Problem)))]
pub(super) async fn find(
    State(journals): State<Journals>,
    CallTarget { namespace, request_id }: CallTarget,
) -> Result<Json<InvocationDetail>, Problem> {
    let table = journals.catalog()?.table();
    let detail = format!(
        "no call {request_id} of a function in the namespace {namespace} is kept: only the latest of each function are, \
         and some more of those that failed"
    );
    // In a namespace of thousands of functions it takes its time.
    let looking = tokio::task::spawn_blocking(move || {
        let found = |backend: &Backend| backend.leader().journal.invocation(&request_id);
        table.in_namespace(namespace.as_str()).filter_map(found).max_by_key(|call| call.record.time)
    });
    let found = looking.await.map_err(Problem::internal)?;
    found
        .map(|call| Json((*call).clone()))
        .ok_or_else(|| Problem::platform(StatusCode::NOT_FOUND, "unknown-invocation", "Unknown invocation", detail))
}

impl Journals {
    fn catalog(&self) -> Result<&Catalog, Problem> {
        self.catalog.as_deref().ok_or_else(|| {
            let detail = "logs are kept by the nodes that ran the calls; GET /api/v1/nodes names them, and each answers \
                          this at its control plane";
            let status = StatusCode::NOT_IMPLEMENTED;
            Problem::platform(status, "logs-on-nodes", "Logs are on the nodes", detail)
        })
    }

    fn of(&self, target: &Target) -> Result<Arc<Journal>, Problem> {
        let table = self.catalog()?.table();
        let backend = table.named(target.namespace.as_str(), target.name.as_str());
        backend.map(|backend| backend.leader().journal.clone()).ok_or_else(|| target.unknown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_moment_is_given_or_lies_so_long_ago() {
        assert_eq!(moment("1970-01-01T00:00:01Z").unwrap(), Timestamp::from_second(1).unwrap());
        let earlier = moment("1h").unwrap();
        let hour = Timestamp::now().duration_since(earlier);
        assert!((3600..3610).contains(&hour.as_secs()), "{hour}");
        for bad in ["", "10", "yesterday", "-5m", "9999999999h"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reader_says_that_it_wants_events() {
        let headers = |accept: &'static str| HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
        assert!(wants_events(&headers("text/html, text/event-stream;q=0.9")));
        assert!(!wants_events(&headers("*/*")) && !wants_events(&HeaderMap::new()));
    }
}
