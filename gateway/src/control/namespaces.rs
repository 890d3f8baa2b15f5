//! Namespaces: what they have, and what they may have.

use super::{ControlPlane, auth::By};
use crate::problem::Problem;
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
};
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use wasmway_registry::{Namespace, NamespaceRecord, Quota};

/// A namespace that has a function or a quota.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Namespace)]
pub(super) struct NamespaceView {
    name: String,
    /// Functions that it has.
    functions: u64,
    /// Bytes of all components that its versions are made of, each counted once.
    component_bytes: u64,
    /// What it may have; null is no bound.
    #[schema(value_type = Object, example = json!({"functions": 20, "component_bytes": "500MiB", "memory": "256MiB",
        "concurrency": 200, "requests_per_second": 500, "cpu_weight": 100}))]
    quota: Quota,
}

impl From<NamespaceRecord> for NamespaceView {
    fn from(record: NamespaceRecord) -> Self {
        let NamespaceRecord { name, quota, functions, component_bytes } = record;
        Self { name: name.into(), functions, component_bytes, quota }
    }
}

/// All namespaces.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NamespaceList {
    namespaces: Vec<NamespaceView>,
}

/// All namespaces that have a function or a quota
#[utoipa::path(get, path = "/api/v1/namespaces", tag = "access",
    responses((status = 200, body = NamespaceList)))]
pub(super) async fn list(State(plane): State<Arc<ControlPlane>>) -> Result<Json<NamespaceList>, Problem> {
    let namespaces = plane.registry.namespaces().await?;
    Ok(Json(NamespaceList { namespaces: namespaces.into_iter().map(NamespaceView::from).collect() }))
}

/// Say how much a namespace may have
///
/// `functions` at once, `component_bytes` of all its components, `memory` for a request of a function: deploys that would
/// go beyond it are answered 403 `quota-exceeded`; what the namespace has beyond it stays. `concurrency` of all its
/// requests and `requests_per_second`, on each node: requests beyond it are answered 429 `namespace-busy` and
/// `rate-exceeded`. `cpu_weight`, its share of CPU time beside other namespaces (1 to 10000; 100 is the usual one). What is
/// left out has no bound.
#[utoipa::path(put, path = "/api/v1/namespaces/{namespace}/quota", tag = "access",
    params(("namespace" = String, Path)), request_body = Object,
    responses((status = 204)))]
pub(super) async fn set_quota(
    State(plane): State<Arc<ControlPlane>>,
    By(author): By,
    Path(namespace): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let refused = |code, detail: String| Problem::platform(StatusCode::BAD_REQUEST, code, "Bad request", detail);
    let namespace: Namespace =
        namespace.parse().map_err(|error| refused("invalid-name", format!("namespace: {error}")))?;
    let quota: Quota = serde_json::from_slice(&body).map_err(|error| {
        let form = r#"{"functions": N, "component_bytes": "SIZE", "memory": "SIZE", "concurrency": N, "requests_per_second": N, "cpu_weight": N}"#;
        refused("bad-request", format!("the body is not {form}: {error}"))
    })?;
    quota.check().map_err(|error| refused("bad-request", error.to_string()))?;
    // In a task of its own: a client that leaves must not leave a quota behind that is written down but not kept to.
    let setting = tokio::spawn(async move {
        plane.registry.set_quota(&namespace, &quota, &author).await?;
        plane.publish().await?;
        Ok(StatusCode::NO_CONTENT)
    });
    setting.await.map_err(Problem::internal)?
}
