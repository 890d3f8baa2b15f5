//! The control plane: deploying, listing, watching. Its API lies under `/api/v1` and asks for a token.

mod attempts;
mod auth;
mod deploy;
mod functions;
mod health;
mod logs;
mod namespaces;
mod nodes;
mod openapi;
mod plan;
mod recording;
mod session;
mod target;
mod tokens;
mod traffic;
mod upload;
mod versions;
mod views;

use attempts::Attempts;
pub(crate) use auth::{Access, Guard};
pub(crate) use logs::Journals;
pub(crate) use nodes::{Poll, Verdict, is_live as node_is_live};
pub(crate) use session::SESSION_COOKIE;

use crate::{
    catalog::Catalog, drain::Drain, forwarding, health::Health, metrics::Metrics, pace::Pace, problem::Problem,
    recording::Budget, request_id::RequestId, revisions::Revisions,
};
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware,
    response::{IntoResponse, Response},
    routing::{any, get},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Body as _;
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};
use wasmway_registry::{ArtifactError, Author, Registry, RegistryError, TakeBack};
use wasmway_scheduler::Scheduler;

/// What the control plane works with.
pub(crate) struct ControlPlane {
    pub(crate) registry: Registry,
    /// What is served here; `None` where functions are called on other nodes.
    pub(crate) catalog: Option<Arc<Catalog>>,
    pub(crate) revisions: Arc<Revisions>,
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) metrics: Arc<Metrics>,
    /// Where functions are called, without a slash at the end.
    pub(crate) data_url: String,
    /// Bytes of a component.
    pub(crate) max_upload: u64,
    /// Bytes of memory that a function may ask for.
    pub(crate) max_memory: u64,
    pub(crate) pace: Pace,
    pub(crate) drain: Drain,
    /// What recordings may take.
    pub(crate) recordings: Arc<Budget>,
}

impl ControlPlane {
    /// Makes what the registry has just taken down visible: here at once, and to the nodes that wait for it.
    async fn publish(&self) -> Result<(), RegistryError> {
        let revision = match &self.catalog {
            Some(catalog) => catalog.refresh(&self.registry).await?,
            None => self.registry.revision().await?,
        };
        self.revisions.reached(revision);
        Ok(())
    }

    /// Takes a version on trial back, as the node `by` has found that it does worse.
    pub(crate) async fn take_back(&self, case: &TakeBack, by: &str) -> anyhow::Result<()> {
        let author = Author { name: format!("trial on {by}"), address: String::new(), request_id: String::new() };
        if self.registry.take_back(case, &author).await? {
            let TakeBack { namespace, name, version, why, .. } = case;
            tracing::warn!(%namespace, function = %name, %version, why, "took a version back");
            self.publish().await?;
        }
        Ok(())
    }
}

/// Bytes of a body other than a component's.
const SMALL_BODY_BYTES: usize = 64 << 10;

/// The routes of the control plane, with those of its dashboard. People and their programs show the token of `people`,
/// nodes that of `nodes`.
pub(crate) fn router(
    plane: Arc<ControlPlane>,
    health: Arc<Health>,
    people: Arc<Guard>,
    nodes: Arc<Guard>,
    dashboard: Router,
) -> Router {
    let journals = Journals { catalog: plane.catalog.clone(), drain: plane.drain.clone() };
    let (api, document) = OpenApiRouter::with_openapi(openapi::document())
        .routes(routes!(functions::list))
        .routes(routes!(functions::show, functions::delete))
        .routes(routes!(versions::list))
        .routes(routes!(versions::show))
        .routes(routes!(versions::component))
        .routes(routes!(versions::rollback))
        .routes(routes!(traffic::set))
        .routes(routes!(recording::start, recording::show, recording::stop))
        .routes(routes!(recording::capture))
        .routes(routes!(nodes::list))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(tokens::audit))
        .routes(routes!(namespaces::list))
        .routes(routes!(namespaces::set_quota))
        .layer(DefaultBodyLimit::max(SMALL_BODY_BYTES))
        .merge(uploads())
        .with_state(plane.clone())
        .merge(observing(journals))
        .split_for_parts();
    let api = api.layer(middleware::from_fn_with_state(people, auth::check));
    let for_nodes = nodes::router(plane).layer(middleware::from_fn_with_state(nodes, auth::check));
    finish(api.merge(for_nodes).merge(openapi::pages(document)).merge(dashboard), health)
}

/// The routes of a node without a registry of its own: how it is, and what its functions print. Whoever shows the nodes'
/// token may read the latter.
pub(crate) fn node_router(journals: Journals, health: Arc<Health>, nodes: Arc<Guard>) -> Router {
    let (api, _) = observing(journals).split_for_parts();
    let api = api
        .route("/api/v1/functions/{name}/recording", any(recording::elsewhere))
        .route("/api/v1/functions/{name}/recording/captures/{number}", any(recording::elsewhere));
    finish(api.layer(middleware::from_fn_with_state(nodes, auth::check)), health)
}

/// What takes components, which have a limit of their own.
fn uploads() -> OpenApiRouter<Arc<ControlPlane>> {
    OpenApiRouter::new().routes(routes!(deploy::deploy)).routes(routes!(plan::plan)).layer(DefaultBodyLimit::disable())
}

fn observing(journals: Journals) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(logs::lines))
        .routes(routes!(logs::invocations))
        .routes(routes!(logs::invocation))
        .routes(routes!(logs::find))
        .with_state(journals)
}

/// Adds what every process answers, and what every answer has.
fn finish(api: Router, health: Arc<Health>) -> Router {
    Router::new()
        .route("/livez", get(health::livez))
        .route("/healthz", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .with_state(health)
        .merge(api)
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(identify))
}

/// Gives every answer an id, and every problem the same.
async fn identify(mut request: Request, next: middleware::Next) -> Response {
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
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
    // The dashboard's pages have one of their own.
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(POLICY));
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
            E::BadTraffic(detail) => {
                Problem::platform(StatusCode::BAD_REQUEST, "bad-traffic", "Traffic cannot be split so", detail)
            }
            E::QuotaExceeded { .. } => {
                let detail = format!("{error}; delete something, or have the quota raised");
                Problem::platform(StatusCode::FORBIDDEN, "quota-exceeded", "The quota is used up", detail)
            }
            E::BadToken(detail) => {
                Problem::platform(StatusCode::BAD_REQUEST, "bad-token", "No such token can be made", detail)
            }
            E::Unavailable(_) | E::Artifact(ArtifactError::Bucket { .. }) => {
                Problem::unavailable(anyhow::Error::new(error))
            }
            E::ArtifactMissing(_)
            | E::InUse(_)
            | E::NoRegistry(_)
            | E::Unreadable { .. }
            | E::Database(_)
            | E::Migration(_)
            | E::Artifact(_)
            | E::NotEmpty
            | E::Busy(_)
            | E::Io { .. } => Problem::internal(anyhow::Error::new(error)),
        }
    }
}
