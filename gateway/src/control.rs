//! The control plane: deploying, listing, watching. Its API lies under `/api/v1` and asks for a token.

mod attempts;
mod auth;
mod deploy;
mod functions;
mod health;
mod logs;
mod openapi;
mod target;
mod upload;
mod versions;
mod views;

pub(crate) use attempts::Attempts;

use crate::{
    catalog::Catalog, forwarding, listener::Drain, metrics::Metrics, pace::Pace, problem::Problem,
    request_id::RequestId, token::AdminToken,
};
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Body as _;
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};
use wasmway_registry::{Registry, RegistryError};
use wasmway_scheduler::Scheduler;

/// What the control plane works with.
pub(crate) struct ControlPlane {
    pub(crate) registry: Registry,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) drain: Drain,
    /// `None` in development: nobody is asked.
    pub(crate) token: Option<AdminToken>,
    /// Where wrong tokens came from.
    pub(crate) attempts: Attempts,
    /// Where functions are called, without a slash at the end.
    pub(crate) data_url: String,
    /// Bytes of a component.
    pub(crate) max_upload: u64,
    /// Bytes of memory that a function may ask for.
    pub(crate) max_memory: u64,
    pub(crate) pace: Pace,
}

/// Bytes of a body other than a component's.
const SMALL_BODY_BYTES: usize = 64 << 10;

/// The routes of the control plane.
pub(crate) fn router(plane: Arc<ControlPlane>) -> Router {
    let (api, document) = OpenApiRouter::with_openapi(openapi::document())
        .routes(routes!(functions::list))
        .routes(routes!(functions::show, functions::delete))
        .routes(routes!(versions::list))
        .routes(routes!(versions::show))
        .routes(routes!(versions::component))
        .routes(routes!(versions::rollback))
        .routes(routes!(logs::lines))
        .routes(routes!(logs::invocations))
        .routes(routes!(logs::invocation))
        .layer(DefaultBodyLimit::max(SMALL_BODY_BYTES))
        .merge(OpenApiRouter::new().routes(routes!(deploy::deploy)).layer(DefaultBodyLimit::disable()))
        .split_for_parts();
    let api = api.layer(middleware::from_fn_with_state(plane.clone(), auth::check));
    Router::new()
        .merge(api)
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .merge(openapi::pages(document))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(identify))
        .with_state(plane)
}

/// Gives every answer an id, and every problem the same.
async fn identify(request: Request, next: middleware::Next) -> Response {
    let id = RequestId::of(request.headers());
    let (version, has_body) = (request.version(), !request.body().is_end_stream());
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem.with_request_id(id.as_str()).into_response();
        // A body that nobody reads to its end stands between this request and a next one.
        if has_body {
            forwarding::ask_to_leave(response.headers_mut(), version);
        }
    }
    id.put(response.headers_mut());
    guard_page(response.headers_mut());
    response
}

/// What pages of this origin may do: load what is theirs, and be shown nowhere else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Keeps a browser from taking an answer for a page that it is not, and a page from doing what it need not.
fn guard_page(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
}

async fn unknown(request: Request) -> Problem {
    let detail = format!("there is nothing at {}; /docs describes what there is", request.uri().path());
    Problem::platform(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
}

async fn wrong_method(request: Request) -> Problem {
    let detail = format!("{} does not take {}; /docs says what it takes", request.uri().path(), request.method());
    Problem::platform(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        use RegistryError as E;
        match error {
            E::FunctionNotFound { .. } => Problem::unknown_function(error.to_string()),
            E::VersionNotFound { .. } => {
                Problem::platform(StatusCode::NOT_FOUND, "unknown-version", "Unknown version", error.to_string())
            }
            E::NoPreviousVersion { .. } => Problem::platform(
                StatusCode::CONFLICT,
                "no-previous-version",
                "Nothing to go back to",
                error.to_string(),
            ),
            E::RouteConflict { .. } => {
                let detail = format!("{error}; choose another, or delete the function that has it");
                Problem::platform(StatusCode::CONFLICT, "route-conflict", "The route is taken", detail)
            }
            E::VersionsUsedUp { .. } => Problem::platform(
                StatusCode::CONFLICT,
                "versions-used-up",
                "No version number is left",
                error.to_string(),
            ),
            E::StorageFull(cause) => {
                tracing::error!(%cause, "the registry has no storage left");
                Problem::storage_full()
            }
            E::ArtifactMissing(_)
            | E::InUse(_)
            | E::Unreadable { .. }
            | E::Database(_)
            | E::Migration(_)
            | E::Artifact(_)
            | E::Io { .. } => Problem::internal(anyhow::Error::new(error)),
        }
    }
}
