//! Versions of a function: list, show, download, go back to one.

use super::{
    ControlPlane,
    auth::By,
    target::{NamespaceQuery, Target, VersionTarget},
    views::{FunctionView, VersionView},
};
use crate::problem::Problem;
use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio_util::io::ReaderStream;
use utoipa::ToSchema;
use wasmway_registry::{Artifact, RegistryError, Version, VersionRecord};

/// All versions of a function, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VersionList {
    versions: Vec<VersionView>,
}

/// The versions of a function, newest first
#[utoipa::path(get, path = "/api/v1/functions/{name}/versions", tag = "versions",
    params(("name" = String, Path), NamespaceQuery),
    responses((status = 200, body = VersionList), (status = 404, body = Problem)))]
pub(super) async fn list(State(plane): State<Arc<ControlPlane>>, target: Target) -> Result<Json<VersionList>, Problem> {
    let versions = plane.registry.versions(&target.namespace, &target.name).await?.ok_or_else(|| target.unknown())?;
    let function = plane.registry.function(&target.namespace, &target.name).await?.ok_or_else(|| target.unknown())?;
    let versions: Result<_, _> = versions.into_iter().map(|version| plane.version_view(&function, version)).collect();
    Ok(Json(VersionList { versions: versions.map_err(Problem::internal)? }))
}

/// One version
#[utoipa::path(get, path = "/api/v1/functions/{name}/versions/{version}", tag = "versions",
    params(("name" = String, Path), ("version" = u32, Path), NamespaceQuery),
    responses((status = 200, body = VersionView), (status = 404, body = Problem)))]
pub(super) async fn show(
    State(plane): State<Arc<ControlPlane>>,
    target: VersionTarget,
) -> Result<Json<VersionView>, Problem> {
    let record = plane.record(&target).await?;
    let Target { namespace, name } = &target.function;
    let function = plane.registry.function(namespace, name).await?.ok_or_else(|| target.function.unknown())?;
    plane.version_view(&function, record).map(Json).map_err(Problem::internal)
}

/// The component of a version, as it was uploaded
#[utoipa::path(get, path = "/api/v1/functions/{name}/versions/{version}/component", tag = "versions",
    params(("name" = String, Path), ("version" = u32, Path), NamespaceQuery),
    responses((status = 200, content_type = "application/wasm", body = Vec<u8>),
        (status = 404, body = Problem)))]
pub(super) async fn component(
    State(plane): State<Arc<ControlPlane>>,
    target: VersionTarget,
) -> Result<Response, Problem> {
    let record = plane.record(&target).await?;
    let artifact = plane.registry.artifacts().open(&record.digest).await.map_err(RegistryError::from)?;
    let artifact = artifact.ok_or_else(|| Problem::internal(format!("the artifact {} is gone", record.digest)))?;
    Ok(answer_with(artifact))
}

/// The answer that is a component.
pub(super) fn answer_with(artifact: Artifact) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/wasm")),
        (header::CONTENT_LENGTH, HeaderValue::from(artifact.size)),
    ];
    (headers, Body::from_stream(ReaderStream::new(artifact.file))).into_response()
}

/// Where to go back to.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackTo {
    /// The version; the one that was active before this one when it is left out.
    version: Option<u32>,
}

/// Make an earlier version the active one
#[utoipa::path(post, path = "/api/v1/functions/{name}/rollback", tag = "versions",
    params(("name" = String, Path), NamespaceQuery), request_body(content = Option<RollbackTo>),
    responses((status = 200, body = FunctionView), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
pub(super) async fn rollback(
    State(plane): State<Arc<ControlPlane>>,
    By(author): By,
    target: Target,
    body: Bytes,
) -> Result<Json<FunctionView>, Problem> {
    let to = version_of(&body)?;
    let rolling_back = tokio::spawn(async move {
        let function = plane.registry.rollback(&target.namespace, &target.name, to, &author).await?;
        plane.publish().await?;
        plane.view(function).map(Json).map_err(Problem::internal)
    });
    rolling_back.await.map_err(Problem::internal)?
}

fn version_of(body: &[u8]) -> Result<Option<Version>, Problem> {
    let refused = |detail: String| Problem::platform(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail);
    let to: RollbackTo = if body.is_empty() {
        RollbackTo::default()
    } else {
        serde_json::from_slice(body).map_err(|error| refused(format!("the body is not {{\"version\": N}}: {error}")))?
    };
    let version = to.version.map(|number| Version::try_from(i64::from(number))).transpose();
    version.map_err(|error| refused(format!("version: {error}")))
}

impl ControlPlane {
    async fn record(&self, target: &VersionTarget) -> Result<VersionRecord, Problem> {
        let VersionTarget { function: Target { namespace, name }, version } = target;
        let record = self.registry.version(namespace, name, *version).await?;
        let unknown =
            || RegistryError::VersionNotFound { namespace: namespace.clone(), name: name.clone(), version: *version };
        Ok(record.ok_or_else(unknown)?)
    }
}
