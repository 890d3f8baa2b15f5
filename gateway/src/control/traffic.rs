//! How the requests of a function are split over its versions.

use super::{
    ControlPlane,
    auth::By,
    target::{NamespaceQuery, Target},
    views::{FunctionView, TrafficView},
};
use crate::problem::Problem;
use axum::{Json, body::Bytes, extract::State};
use http::StatusCode;
use std::sync::Arc;
use wasmway_registry::{Sticky, Traffic};

/// Split the requests of a function over its versions
///
/// Each version gets its weight's share of the sum. The one with the greatest weight is the active one, whose routes
/// count. A weight for one version alone gives it everything. A deploy and a rollback end a split.
#[utoipa::path(put, path = "/api/v1/functions/{name}/traffic", tag = "versions",
    params(("name" = String, Path), NamespaceQuery), request_body = TrafficView,
    responses((status = 200, body = FunctionView),
        (status = 404, description = "No such function or version", body = Problem),
        (status = 409, description = "A route of the version that leads is taken", body = Problem)))]
pub(super) async fn set(
    State(plane): State<Arc<ControlPlane>>,
    By(author): By,
    target: Target,
    body: Bytes,
) -> Result<Json<FunctionView>, Problem> {
    let asked = read(&body)?;
    // In a task of its own: a client that leaves must not leave a split behind that is written down but not served.
    let splitting = tokio::spawn(async move {
        let function = plane.registry.set_traffic(&target.namespace, &target.name, &asked, &author).await?;
        plane.publish().await?;
        plane.view(function).map(Json).map_err(Problem::internal)
    });
    splitting.await.map_err(Problem::internal)?
}

fn read(body: &[u8]) -> Result<Traffic, Problem> {
    let refused = |detail: String| {
        Problem::platform(StatusCode::BAD_REQUEST, "bad-traffic", "Traffic cannot be split so", detail)
    };
    let TrafficView { weights, sticky, trial } = serde_json::from_slice(body)
        .map_err(|error| refused(format!("the body is not {{\"weights\": {{\"VERSION\": WEIGHT, ...}}}}: {error}")))?;
    let sticky = sticky.map(|text| text.parse::<Sticky>()).transpose();
    let sticky = sticky.map_err(|error| refused(format!("sticky: {error}")))?;
    Ok(Traffic { weights, sticky, trial })
}
