//! Is it alive, is it ready, what does it measure.

use crate::{drain::Drain, follower::Progress, metrics::Metrics, problem::Problem};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use std::sync::Arc;
use wasmway_scheduler::Scheduler;

/// What an operator looks at, of any role.
pub(crate) struct Health {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) drain: Drain,
    /// How far a node is with what the registry wants it to serve.
    pub(crate) progress: Option<Arc<Progress>>,
}

/// The process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The process takes requests: not while it drains, and a node not before it serves what it should.
pub(super) async fn readyz(State(health): State<Arc<Health>>) -> Response {
    let not_yet = |code, title, detail: String| {
        Problem::platform(StatusCode::SERVICE_UNAVAILABLE, code, title, detail).into_response()
    };
    if health.drain.is_closing() {
        return not_yet("draining", "Draining", "the process is about to stop".to_owned());
    }
    match health.progress.as_ref().and_then(|progress| progress.lacks()) {
        Some(what) => not_yet("catching-up", "Catching up", what),
        None => "ready\n".into_response(),
    }
}

/// Prometheus text format, version 0.0.4.
pub(super) async fn metrics(State(health): State<Arc<Health>>) -> Result<Response, Problem> {
    let text = health.metrics.scrape(&health.scheduler).map_err(Problem::internal)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
