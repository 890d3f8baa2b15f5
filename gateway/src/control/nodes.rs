//! What nodes ask the registry, and what is known of them.

use super::{ControlPlane, auth::Access, versions};
use crate::problem::Problem;
use axum::{
    Extension, Json, Router,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use utoipa::ToSchema;
use wasmway_registry::{Changes, Digest, NodeLoad, NodeReport, RegistryError, TakeBack};

/// How long a node that asks for changes waits for some. So often, at least, it says what it has to do.
const POLL_PATIENCE: Duration = Duration::from_secs(5);
/// A node that has asked nothing for so long counts as away: it tries again at least every ten seconds.
const AWAY_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// Whether a node that was heard of last at that time counts as there.
pub(crate) fn is_live(seen_at: Timestamp) -> bool {
    Timestamp::now().duration_since(seen_at) < AWAY_AFTER
}

/// What a node says and asks.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Poll {
    /// Changes after this revision.
    pub(crate) after: u64,
    /// What it serves.
    pub(crate) report: NodeReport,
}

/// What a node has found out about a version on trial.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) case: TakeBack,
    /// The node.
    pub(crate) by: String,
}

/// A node that serves functions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Node)]
pub(super) struct NodeView {
    #[schema(example = "gateway-1")]
    name: String,
    /// Where it serves functions.
    #[schema(example = "http://10.0.0.7:8080")]
    address: String,
    /// It serves everything up to this revision, but for what is in `failing`.
    revision: u64,
    /// What it cannot serve, and why.
    failing: Vec<String>,
    /// When it was heard of last.
    #[schema(value_type = String, format = DateTime)]
    seen_at: Timestamp,
    /// Whether that was lately.
    live: bool,
    /// What it has to do: `requests_s` a second, the share that `failed` and the `p99_s` in seconds of the last minute,
    /// `cpu` in cores, `memory_bytes`, and `slots_used` of `slots`. Null of a node that does not say.
    #[schema(value_type = Option<Object>)]
    load: Option<NodeLoad>,
}

/// All nodes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NodeList {
    nodes: Vec<NodeView>,
    /// The registry's revision: a node of this revision serves everything as it is.
    revision: u64,
}

/// The nodes that serve functions beside this process
#[utoipa::path(get, path = "/api/v1/nodes", tag = "observing",
    responses((status = 200, body = NodeList)))]
pub(super) async fn list(
    State(plane): State<Arc<ControlPlane>>,
    Extension(access): Extension<Access>,
) -> Result<Json<NodeList>, Problem> {
    let nodes = plane.registry.nodes().await?;
    let view = |node: wasmway_registry::Node| NodeView {
        name: node.report.name,
        address: node.report.address,
        revision: node.report.revision,
        // Each begins with its function, `NAMESPACE/NAME`.
        failing: node.report.failing.into_iter().filter(|what| access.may_see(what)).collect(),
        live: is_live(node.seen_at),
        seen_at: node.seen_at,
        load: node.report.load,
    };
    let revision = plane.registry.revision().await?;
    Ok(Json(NodeList { nodes: nodes.into_iter().map(view).collect(), revision }))
}

/// The routes of nodes.
pub(super) fn router(plane: Arc<ControlPlane>) -> Router {
    Router::new()
        .route("/api/v1/nodes/poll", post(poll))
        .route("/api/v1/nodes/take-back", post(take_back))
        .route("/api/v1/nodes/artifacts/{digest}", get(artifact))
        .with_state(plane)
}

/// Takes down what a node says of itself, and answers what has changed since it last asked, as soon as something has.
async fn poll(State(plane): State<Arc<ControlPlane>>, Json(poll): Json<Poll>) -> Result<Json<Changes>, Problem> {
    plane.registry.report_node(&poll.report).await?;
    let changes = plane.registry.changes(poll.after).await?;
    // A revision that this registry never had: what it has is another history, which is news as well.
    if changes.revision != poll.after {
        return Ok(Json(changes));
    }
    tokio::select! {
        () = plane.revisions.other_than(poll.after, POLL_PATIENCE) => {}
        () = plane.drain.closing() => {}
    }
    Ok(Json(plane.registry.changes(poll.after).await?))
}

/// Takes a version back that does worse than the one before.
async fn take_back(
    State(plane): State<Arc<ControlPlane>>,
    Json(verdict): Json<Verdict>,
) -> Result<StatusCode, Problem> {
    // In a task of its own: a node that leaves must not leave a change behind that is written down but not served.
    let taking = tokio::spawn(async move { plane.take_back(&verdict.case, &verdict.by).await });
    match taking.await.map_err(Problem::internal)? {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(match error.downcast::<RegistryError>() {
            Ok(error) => error.into(),
            Err(other) => Problem::internal(other),
        }),
    }
}

/// A component.
async fn artifact(State(plane): State<Arc<ControlPlane>>, Path(digest): Path<String>) -> Result<Response, Problem> {
    let unknown =
        |detail: String| Problem::platform(StatusCode::NOT_FOUND, "unknown-artifact", "Unknown artifact", detail);
    let digest: Digest = digest.parse().map_err(|error| unknown(format!("{error}")))?;
    let artifact = plane.registry.artifacts().open(&digest).await.map_err(RegistryError::from)?;
    let artifact = artifact.ok_or_else(|| unknown(format!("there is no artifact {digest}")))?;
    Ok(versions::answer_with(artifact))
}
