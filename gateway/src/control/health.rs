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
use http::{HeaderMap, StatusCode, header};
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

/// OpenMetrics for those who ask for it, else the text format of Prometheus.
pub(super) async fn metrics(State(health): State<Arc<Health>>, headers: HeaderMap) -> Result<Response, Problem> {
    let measured = health.measured();
    let (kind, text) = if takes_openmetrics(&headers) {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        (kind, measured.openmetrics().map_err(Problem::internal)?)
    } else {
        ("text/plain; version=0.0.4; charset=utf-8", measured.text().map_err(Problem::internal)?)
    };
    Ok(([(header::CONTENT_TYPE, kind), (header::VARY, "accept")], text).into_response())
}

/// Whether `Accept` names OpenMetrics, in the version that is spoken here or in any, and prefers no plain text to it.
fn takes_openmetrics(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut open, mut plain) = (0.0_f32, 0.0_f32);
    for range in values.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let (mut weight, mut version) = (1.0, "1.0.0");
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim_end() {
                "q" => weight = value.trim_start().parse().unwrap_or(0.0),
                "version" => version = value.trim_start().trim_matches('"'),
                _ => {}
            }
        }
        match kind {
            "application/openmetrics-text" if version == "1.0.0" => open = open.max(weight),
            "text/plain" => plain = plain.max(weight),
            _ => {}
        }
    }
    open > 0.0 && open >= plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        let takes =
            |accept: &str| takes_openmetrics(&HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]));
        for accept in [
            "application/openmetrics-text",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "application/openmetrics-text;version=\"1.0.0\"",
            // As Prometheus 2 and 3 ask.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=1.0.0;q=0.3,*/*;q=0.1",
        ] {
            assert!(takes(accept), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/plain",
            "application/*",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;q=0.5, text/plain",
            "application/openmetrics-text;q=x",
        ] {
            assert!(!takes(accept), "{accept}");
        }
        assert!(!takes_openmetrics(&HeaderMap::new()));
    }
}
