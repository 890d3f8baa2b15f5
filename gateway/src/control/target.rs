//! Which function an API request is about: its name in the path, its namespace in the query.

use crate::problem::Problem;
use axum::extract::{FromRequestParts, Path, Query};
use http::{StatusCode, request::Parts};
use serde::{Deserialize, de::DeserializeOwned};
use std::{collections::HashMap, str::FromStr};
use utoipa::IntoParams;
use wasmway_registry::{FunctionName, Namespace, Version};

/// The namespace of a request.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct NamespaceQuery {
    /// The namespace; `default` when it is left out.
    #[param(value_type = Option<String>, example = "default")]
    namespace: Option<String>,
}

/// A function by namespace and name.
pub(super) struct Target {
    pub(super) namespace: Namespace,
    pub(super) name: FunctionName,
}

/// A version of a function.
pub(super) struct VersionTarget {
    pub(super) function: Target,
    pub(super) version: Version,
}

/// A call of a function.
pub(super) struct InvocationTarget {
    pub(super) function: Target,
    pub(super) request_id: String,
}

/// A capture of a function's recording.
pub(super) struct CaptureTarget {
    pub(super) function: Target,
    pub(super) number: usize,
}

/// A call of whatever function of a namespace.
pub(super) struct CallTarget {
    pub(super) namespace: Namespace,
    pub(super) request_id: String,
}

/// A namespace alone.
pub(super) struct Scope(pub(super) Namespace);

/// A query whose mistakes are told as problems.
pub(super) struct Parameters<T>(pub(super) T);

fn invalid(field: &str, error: impl std::fmt::Display) -> Problem {
    let detail = format!("{field}: {error}");
    Problem::platform(StatusCode::BAD_REQUEST, "invalid-name", "Invalid name", detail)
}

fn part<T: FromStr<Err: std::fmt::Display>>(parts: &HashMap<String, String>, field: &str) -> Result<T, Problem> {
    // The router has matched the path, so that the parts are there; an empty one is refused as a value.
    parts.get(field).map_or("", String::as_str).parse().map_err(|error| invalid(field, error))
}

async fn path<S: Sync + Send>(parts: &mut Parts, state: &S) -> Result<HashMap<String, String>, Problem> {
    let Path(path) = Path::from_request_parts(parts, state).await.map_err(|error| invalid("path", error))?;
    Ok(path)
}

impl<S: Sync + Send> FromRequestParts<S> for Scope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Parameters(query) = Parameters::<NamespaceQuery>::from_request_parts(parts, state).await?;
        let namespace = query.namespace.map(|text| text.parse()).transpose();
        Ok(Self(namespace.map_err(|error| invalid("namespace", error))?.unwrap_or_default()))
    }
}

impl<S: Sync + Send> FromRequestParts<S> for Target {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Scope(namespace) = Scope::from_request_parts(parts, state).await?;
        Ok(Self { namespace, name: part(&path(parts, state).await?, "name")? })
    }
}

impl<S: Sync + Send> FromRequestParts<S> for VersionTarget {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let function = Target::from_request_parts(parts, state).await?;
        Ok(Self { function, version: part(&path(parts, state).await?, "version")? })
    }
}

impl<S: Sync + Send> FromRequestParts<S> for InvocationTarget {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let function = Target::from_request_parts(parts, state).await?;
        Ok(Self { function, request_id: part(&path(parts, state).await?, "request_id")? })
    }
}

impl<S: Sync + Send> FromRequestParts<S> for CaptureTarget {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let function = Target::from_request_parts(parts, state).await?;
        Ok(Self { function, number: part(&path(parts, state).await?, "number")? })
    }
}

impl<S: Sync + Send> FromRequestParts<S> for CallTarget {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Scope(namespace) = Scope::from_request_parts(parts, state).await?;
        Ok(Self { namespace, request_id: part(&path(parts, state).await?, "request_id")? })
    }
}

impl<S: Sync + Send, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(error) => {
                Err(Problem::platform(StatusCode::BAD_REQUEST, "bad-request", "Bad request", error.body_text()))
            }
        }
    }
}
