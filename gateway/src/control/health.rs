//! Is it alive, is it ready, what does it measure.

use crate::{
    health::{Check, Health, is_ready},
    problem::Problem,
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::Serialize;
use std::sync::Arc;

/// What a process that takes requests says of itself.
#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    checks: Vec<Check>,
}

/// The process answers, whatever it depends on: `/livez`, and `/healthz` for those who know that name.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// The process takes requests: not while it drains, and a node not before it serves what it should. What is missing
/// beside that is told in the answer, and does not change the status.
pub(super) async fn readyz(State(health): State<Arc<Health>>) -> Response {
    let checks = health.checks();
    if is_ready(&checks) {
        return Json(Readiness { status: "ready", checks }).into_response();
    }
    let missing = checks.iter().find(|check| check.needed && !check.ok);
    let detail = missing.map(|check| check.detail.clone()).unwrap_or_default();
    let problem = match missing.map(|check| check.name) {
        Some("drain") => Problem::platform(StatusCode::SERVICE_UNAVAILABLE, "draining", "Draining", detail),
        _ => Problem::platform(StatusCode::SERVICE_UNAVAILABLE, "catching-up", "Catching up", detail),
    };
    problem.with_checks(checks).into_response()
}

/// Prometheus text format, version 0.0.4.
pub(super) async fn metrics(State(health): State<Arc<Health>>) -> Result<Response, Problem> {
    let text = health.measured().text().map_err(Problem::internal)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
