//! Is it alive, is it ready, what does it measure.

use super::ControlPlane;
use crate::problem::Problem;
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use std::sync::Arc;

/// The process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The process takes requests: not while it drains.
pub(super) async fn readyz(State(plane): State<Arc<ControlPlane>>) -> Response {
    if plane.drain.is_closing() {
        return Problem::platform(
            StatusCode::SERVICE_UNAVAILABLE,
            "draining",
            "Draining",
            "the process is about to stop",
        )
        .into_response();
    }
    "ready\n".into_response()
}

/// Prometheus text format, version 0.0.4.
pub(super) async fn metrics(State(plane): State<Arc<ControlPlane>>) -> Result<Response, Problem> {
    let text = plane.metrics.scrape(&plane.scheduler).map_err(Problem::internal)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
