//! What a function printed, and how its calls went.

use super::target::{InvocationTarget, NamespaceQuery, Parameters, Target};
use crate::{
    catalog::Catalog,
    drain::Drain,
    journal::{InvocationDetail, InvocationRecord, Journal, LogLine},
    problem::Problem,
};
use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
};
use futures::{Stream, StreamExt, stream};
use http::{StatusCode, header};
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
    /// At most so many of the latest lines; 100 when it is left out.
    #[param(default = 100)]
    tail: Option<usize>,
    /// Go on with new lines as they come.
    #[param(default = false)]
    follow: Option<bool>,
}

/// The log of a function: one JSON document a line (application/x-ndjson)
#[utoipa::path(get, path = "/api/v1/functions/{name}/logs", tag = "observing",
    params(("name" = String, Path), NamespaceQuery, LinesQuery),
    responses((status = 200, content_type = "application/x-ndjson", body = LogLine), (status = 401, body = Problem),
        (status = 404, body = Problem),
        (status = 501, description = "Of a registry alone: the nodes keep their logs", body = Problem)))]
pub(super) async fn lines(
    State(journals): State<Journals>,
    target: Target,
    Parameters(query): Parameters<LinesQuery>,
) -> Result<Response, Problem> {
    let (tail, live) = journals.of(&target)?.follow(query.tail.unwrap_or(100));
    let recent = stream::iter(tail).map(|line| json_line(&line));
    let body = if query.follow.unwrap_or(false) {
        // A reader must not hold up the end of the process.
        let end = journals.drain.clone();
        Body::from_stream(recent.chain(live_lines(live)).take_until(async move { end.closing().await }))
    } else {
        Body::from_stream(recent)
    };
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

fn live_lines(live: broadcast::Receiver<Arc<LogLine>>) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(live, |mut live| async move {
        loop {
            match live.recv().await {
                Ok(line) => return Some((json_line(&line), live)),
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
    responses((status = 200, body = InvocationList), (status = 401, body = Problem), (status = 404, body = Problem)))]
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
    responses((status = 200, body = InvocationDetail), (status = 401, body = Problem),
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

impl Journals {
    fn of(&self, target: &Target) -> Result<Arc<Journal>, Problem> {
        let Some(catalog) = &self.catalog else {
            let detail = "logs are kept by the nodes that ran the calls; GET /api/v1/nodes names them, and each answers \
                          this at its control plane";
            let status = StatusCode::NOT_IMPLEMENTED;
            return Err(Problem::platform(status, "logs-on-nodes", "Logs are on the nodes", detail));
        };
        let table = catalog.table();
        let backend = table.named(target.namespace.as_str(), target.name.as_str());
        backend.map(|backend| backend.leader().journal.clone()).ok_or_else(|| target.unknown())
    }
}
