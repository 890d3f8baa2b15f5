//! Functions: list, show, delete.

use super::{
    ControlPlane,
    auth::By,
    target::{NamespaceQuery, Parameters, Scope, Target},
    views::FunctionView,
};
use crate::problem::Problem;
use axum::{Json, extract::State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use wasmway_registry::{FunctionName, RegistryError};

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Functions after this name.
    #[param(value_type = Option<String>)]
    after: Option<String>,
    /// At most so many; 1 to 1000, 100 when it is left out.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// A part of the list of a namespace's functions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FunctionPage {
    functions: Vec<FunctionView>,
    /// What to send as `after` for the next part; null at the end.
    next: Option<String>,
}

/// The functions of a namespace, by name
#[utoipa::path(get, path = "/api/v1/functions", tag = "functions", params(NamespaceQuery, Page),
    responses((status = 200, body = FunctionPage)))]
pub(super) async fn list(
    State(plane): State<Arc<ControlPlane>>,
    Scope(namespace): Scope,
    Parameters(page): Parameters<Page>,
) -> Result<Json<FunctionPage>, Problem> {
    let limit = page.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        let detail = format!("limit: {limit} is not from 1 to 1000");
        return Err(Problem::platform(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail));
    }
    let after: Option<FunctionName> = page.after.map(|name| name.parse()).transpose().map_err(|error| {
        Problem::platform(StatusCode::BAD_REQUEST, "invalid-name", "Invalid name", format!("after: {error}"))
    })?;
    // One more than asked for tells whether there are more.
    let mut functions = plane.registry.functions(&namespace, after.as_ref(), limit + 1).await?;
    let more = functions.len() > limit as usize;
    functions.truncate(limit as usize);
    let next = functions.last().filter(|_| more).map(|last| last.name.to_string());
    let views: Result<_, _> = functions.into_iter().map(|function| plane.view(function)).collect();
    Ok(Json(FunctionPage { functions: views.map_err(Problem::internal)?, next }))
}

/// One function
#[utoipa::path(get, path = "/api/v1/functions/{name}", tag = "functions",
    params(("name" = String, Path), NamespaceQuery),
    responses((status = 200, body = FunctionView), (status = 404, body = Problem)))]
pub(super) async fn show(
    State(plane): State<Arc<ControlPlane>>,
    target: Target,
) -> Result<Json<FunctionView>, Problem> {
    let function = plane.registry.function(&target.namespace, &target.name).await?.ok_or_else(|| target.unknown())?;
    plane.view(function).map(Json).map_err(Problem::internal)
}

/// Delete a function with all its versions
#[utoipa::path(delete, path = "/api/v1/functions/{name}", tag = "functions",
    params(("name" = String, Path), NamespaceQuery),
    responses((status = 204), (status = 404, body = Problem)))]
pub(super) async fn delete(
    State(plane): State<Arc<ControlPlane>>,
    By(author): By,
    target: Target,
) -> Result<StatusCode, Problem> {
    // In a task of its own: a client that leaves must not leave a function behind that is deleted but served.
    let deleting = tokio::spawn(async move {
        let existed = plane.registry.delete(&target.namespace, &target.name, &author).await?;
        plane.publish().await?;
        if existed { Ok(StatusCode::NO_CONTENT) } else { Err(target.unknown()) }
    });
    deleting.await.map_err(Problem::internal)?
}

impl Target {
    /// The answer when there is no such function.
    pub(super) fn unknown(&self) -> Problem {
        let (namespace, name) = (self.namespace.clone(), self.name.clone());
        RegistryError::FunctionNotFound { namespace, name }.into()
    }
}
