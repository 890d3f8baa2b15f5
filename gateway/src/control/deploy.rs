//! Deploying: receive, check and compile, store, make visible, and only then say so.

use super::{
    ControlPlane,
    auth::By,
    target::{NamespaceQuery, Parameters, Target},
    upload::{self, Received},
    views::FunctionView,
};
use crate::problem::Problem;
use axum::{
    Json,
    extract::{Request, State},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use utoipa::{IntoParams, ToSchema};
use wasmway_registry::{Author, Deployed, Digest, Manifest, NewVersion, Sealed};
use wasmway_scheduler::{ComponentSummary, PrepareError, Prepared, Refusal, World};

/// What of a function's requests a new version gets.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TrafficQuery {
    /// Percent of the function's requests that the version gets; 100 when it is left out. With less, the active version
    /// keeps the others; with 0 the version is ready to get some later. A first version gets everything.
    #[param(minimum = 0, maximum = 100, default = 100)]
    traffic: Option<u32>,
}

/// Deploy a component
///
/// The body is the component itself (`application/wasm`), which then gets the defaults of every setting, or
/// `multipart/form-data` with the parts `component` and `manifest` (the text of a `wasmway.toml`). A deploy
/// says all there is to say about a version; the same content again gives the same version.
#[utoipa::path(put, path = "/api/v1/functions/{name}", tag = "functions",
    params(("name" = String, Path), NamespaceQuery, TrafficQuery),
    request_body(content((Vec<u8> = "application/wasm"), (Object = "multipart/form-data"))),
    responses(
        (status = 201, description = "A new version answers requests", body = Deployment),
        (status = 200, description = "This content was deployed before; its version answers requests", body = Deployment),
        (status = 400, description = "Not a component, or a bad name or manifest", body = Problem),
        (status = 403, description = "The token is not good for it, or the namespace has as much as it may", body = Problem),
        (status = 409, description = "A route is taken", body = Problem),
        (status = 413, description = "Too large", body = Problem),
        (status = 422, description = "A component that cannot run here", body = Problem),
        (status = 429, description = "As many deploys of the namespace wait as may", body = Problem),
        (status = 503, description = "The database or the object store is away", body = Problem),
        (status = 507, description = "No storage left", body = Problem)))]
pub(super) async fn deploy(
    State(plane): State<Arc<ControlPlane>>,
    By(author): By,
    target: Target,
    Parameters(TrafficQuery { traffic }): Parameters<TrafficQuery>,
    request: Request,
) -> Result<(StatusCode, Json<Deployment>), Problem> {
    let result = deploy_version(&plane, author, target, traffic.unwrap_or(100), request).await;
    plane.metrics.deployed(match &result {
        Ok((StatusCode::CREATED, _)) => "created",
        Ok(_) => "unchanged",
        Err(problem) => problem.code,
    });
    result
}

async fn deploy_version(
    plane: &Arc<ControlPlane>,
    author: Author,
    target: Target,
    traffic: u32,
    request: Request,
) -> Result<(StatusCode, Json<Deployment>), Problem> {
    if traffic > 100 {
        let detail = format!("traffic: {traffic} is not from 0 to 100 percent");
        return Err(Problem::platform(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail));
    }
    let Received { component, manifest } = upload::receive(plane, request).await?;
    check(plane, &target, &manifest)?;
    let Checked { summary, compiled_in } = prepare(plane, &target, &component, &manifest).await?;
    let new = NewVersion {
        namespace: target.namespace,
        name: target.name,
        digest: component.digest(),
        size: component.size(),
        world: summary.export,
        imports: summary.imports,
        manifest,
        traffic,
    };
    // From here on it is not given up when the client goes away: a version that is stored is served.
    let publishing = tokio::spawn(publish(plane.clone(), component, new, author));
    let deployed = publishing.await.map_err(Problem::internal)??;
    let status = if deployed.created { StatusCode::CREATED } else { StatusCode::OK };
    let version = deployed.version.get();
    let preview_url = plane.preview_url(&deployed.function, deployed.version);
    let function = plane.view(deployed.function).map_err(Problem::internal)?;
    tracing::info!(
        namespace = function.namespace,
        function = function.name,
        version,
        traffic,
        created = deployed.created,
        "deployed"
    );
    let deployed_version = (version != function.version).then_some(version);
    let compile_ms = compiled_in.map(|took| took.as_millis() as u64);
    Ok((status, Json(Deployment { deployed_version, preview_url, compile_ms, function })))
}

/// What a deploy came to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deployment {
    /// The version of this content, where it is not the `version` of the function, which keeps the greater part of the
    /// requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    deployed_version: Option<u32>,
    /// Where the version of this content alone is called, if its manifest says `preview = true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    preview_url: Option<String>,
    /// Milliseconds that compiling the component took; absent when its code was there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    compile_ms: Option<u64>,
    #[serde(flatten)]
    function: FunctionView,
}

/// Checks the manifest against the request and the node.
pub(super) fn check(plane: &ControlPlane, target: &Target, manifest: &Manifest) -> Result<(), Problem> {
    if let Some(name) = &manifest.name
        && *name != target.name
    {
        let detail =
            format!("name: the manifest is that of {name}, the address that of {}; make them the same", target.name);
        return Err(Problem::platform(StatusCode::BAD_REQUEST, "invalid-manifest", "Invalid manifest", detail));
    }
    let memory = manifest.limits.memory.as_u64();
    if memory > plane.max_memory {
        return Err(over_limits(format!(
            "limits.memory: {} is more than the {} bytes that this node gives a function; lower it, or raise --max-memory",
            manifest.limits.memory, plane.max_memory
        )));
    }
    Ok(())
}

/// A component that can run here.
pub(super) struct Checked {
    pub(super) summary: ComponentSummary,
    /// How long it was compiled, if it had to be.
    compiled_in: Option<Duration>,
}

/// Finds out what the component is, and makes it ready to run. What was deployed in this namespace before
/// is known already; what others have deployed is nobody's business, not even by how long a deploy takes.
pub(super) async fn prepare(
    plane: &ControlPlane,
    target: &Target,
    component: &Sealed,
    manifest: &Manifest,
) -> Result<Checked, Problem> {
    let digest = component.digest();
    let known = known(plane, target, &digest).await?;
    let prepared: Prepared = match &known {
        Some(summary) => plane.scheduler.load(*digest.as_bytes(), summary.world, component.path()).await,
        None => plane.scheduler.prepare(target.namespace.as_str(), *digest.as_bytes(), component.path()).await,
    }
    .map_err(|error| match error {
        PrepareError::Refused(refusal) => refused(&refusal),
        PrepareError::Queued(detail) => {
            Problem::platform(StatusCode::TOO_MANY_REQUESTS, "deploys-queued", "Deploys are queued", detail)
        }
        PrepareError::Failed(cause) => Problem::internal(cause),
    })?;
    if let Some(took) = prepared.compiled_in {
        plane.metrics.compiled(took);
    }
    if prepared.initial_memory > manifest.limits.memory.as_u64() {
        return Err(over_limits(format!(
            "limits.memory: the component begins with {} bytes of memory, which is more than {}; raise the limit",
            prepared.initial_memory, manifest.limits.memory
        )));
    }
    let summary = known.or(prepared.summary);
    let summary = summary.ok_or_else(|| Problem::internal("a prepared component has no summary"))?;
    if manifest.instances.reuse > 1 && summary.world != World::Http03 {
        return Err(over_limits(format!(
            "instances.reuse: an instance serves more than one request only where that is a part of the world, which is since              WASI 0.3; this component exports {}. Remove it, or build for `wasi:http/handler@0.3.x`",
            summary.export
        )));
    }
    Ok(Checked { summary, compiled_in: prepared.compiled_in })
}

async fn known(plane: &ControlPlane, target: &Target, digest: &Digest) -> Result<Option<ComponentSummary>, Problem> {
    let version = plane.registry.version_of_component(&target.namespace, digest).await?;
    Ok(version.and_then(|version| {
        let world = World::of_export(&version.world)?;
        Some(ComponentSummary { world, export: version.world, imports: version.imports })
    }))
}

/// Stores the component, then the version that names it, then swaps the route table.
async fn publish(
    plane: Arc<ControlPlane>,
    component: Sealed,
    new: NewVersion,
    author: Author,
) -> Result<Deployed, Problem> {
    // What is refused leaves nothing behind.
    plane.registry.check_quota(&new).await?;
    component.commit().await.map_err(upload::stored)?;
    let deployed = plane.registry.deploy(new, &author).await?;
    plane.publish().await?;
    Ok(deployed)
}

fn over_limits(detail: String) -> Problem {
    Problem::platform(StatusCode::UNPROCESSABLE_ENTITY, "limits-refused", "Over the limits", detail)
}

/// Refusal -> problem. Without a wildcard: a new refusal must be given a status.
fn refused(refusal: &Refusal) -> Problem {
    let status = match refusal {
        Refusal::NotAComponent(_) | Refusal::Precompiled => StatusCode::BAD_REQUEST,
        Refusal::MissingExport(_)
        | Refusal::UnknownImport(_)
        | Refusal::TooComplex(_)
        | Refusal::OverLimits(_)
        | Refusal::CompileFailed(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let (code, title) = refusal.code_and_title();
    Problem::platform(status, code, title, refusal.to_string())
}
