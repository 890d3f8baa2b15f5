//! What a deploy would change, without deploying.

use super::{
    ControlPlane, deploy,
    target::{NamespaceQuery, Target},
    upload::{self, Received},
};
use crate::problem::Problem;
use axum::{
    Json,
    extract::{Request, State},
};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use wasmway_registry::{Difference, differences};

/// What a deploy would change.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Plan {
    /// The version that answers requests now; null when there is none.
    version: Option<u32>,
    /// Whether the component's bytes would be others.
    component_changes: bool,
    /// Everything else that would be different.
    #[schema(value_type = Vec<Object>)]
    differences: Vec<Difference>,
    /// Whether the function could do or use more than it can now.
    grows: bool,
}

/// What a deploy of this component would change, above all what the function could do that it cannot do now
///
/// Takes what a deploy takes, checks and compiles it, and keeps nothing of it but the native code.
#[utoipa::path(post, path = "/api/v1/functions/{name}/plan", tag = "functions",
    params(("name" = String, Path), NamespaceQuery),
    request_body(content((Vec<u8> = "application/wasm"), (Object = "multipart/form-data"))),
    responses((status = 200, body = Plan),
        (status = 413, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn plan(
    State(plane): State<Arc<ControlPlane>>,
    target: Target,
    request: Request,
) -> Result<Json<Plan>, Problem> {
    let Received { component, manifest } = upload::receive(&plane, request).await?;
    deploy::check(&plane, &target, &manifest)?;
    let summary = deploy::prepare(&plane, &target, &component, &manifest).await?.summary;
    let function = plane.registry.function(&target.namespace, &target.name).await?;
    let active = function.as_ref().map(|function| &function.active);
    let differences = differences(active, &summary.imports, &manifest);
    Ok(Json(Plan {
        version: active.map(|active| active.version.get()),
        component_changes: active.is_none_or(|active| active.digest != component.digest()),
        grows: differences.iter().any(|difference| difference.grows),
        differences,
    }))
}
