//! Tokens, and the log of who changed what.

use super::{ControlPlane, auth::By, target::Parameters};
use crate::problem::Problem;
use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use utoipa::{IntoParams, ToSchema};
use wasmway_registry::{AuditEntry, Namespace, NewToken, Role, Token};

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub(super) struct TokenView {
    /// By which it is revoked.
    #[schema(example = "3f9a01c27d44")]
    id: String,
    /// What it is for.
    name: String,
    /// `viewer`, `developer` or `admin`.
    #[schema(value_type = String, example = "developer")]
    role: Role,
    /// The only namespace that it is good for; null for all.
    #[schema(value_type = Option<String>)]
    namespace: Option<Namespace>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Null for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// To the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

impl From<Token> for TokenView {
    fn from(token: Token) -> Self {
        let Token { id, name, role, namespace, created_at, expires_at, last_used_at } = token;
        Self { id, name, role, namespace, created_at, expires_at, last_used_at }
    }
}

/// All tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenList {
    tokens: Vec<TokenView>,
}

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTokenBody {
    /// What it is for.
    name: String,
    /// `viewer` reads, `developer` deploys and deletes too, `admin` does everything.
    #[schema(value_type = String, example = "developer")]
    role: Role,
    /// The only namespace that it is to be good for; all when it is left out.
    #[schema(value_type = Option<String>)]
    #[serde(default)]
    namespace: Option<Namespace>,
    /// Seconds that it is to be good; for ever when it is left out.
    #[serde(default)]
    expires_in_s: Option<u64>,
}

/// A token that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CreatedToken {
    /// The secret, which is shown this once.
    #[schema(example = "wwt_...")]
    secret: String,
    #[serde(flatten)]
    token: TokenView,
}

/// All tokens but the one of the data directory
#[utoipa::path(get, path = "/api/v1/tokens", tag = "access",
    responses((status = 200, body = TokenList)))]
pub(super) async fn list(State(plane): State<Arc<ControlPlane>>) -> Result<Json<TokenList>, Problem> {
    let tokens = plane.registry.tokens().await?;
    Ok(Json(TokenList { tokens: tokens.into_iter().map(TokenView::from).collect() }))
}

/// Make a token
#[utoipa::path(post, path = "/api/v1/tokens", tag = "access", request_body = NewTokenBody,
    responses((status = 201, body = CreatedToken)))]
pub(super) async fn create(
    State(plane): State<Arc<ControlPlane>>,
    By(author): By,
    body: Bytes,
) -> Result<(StatusCode, Json<CreatedToken>), Problem> {
    let NewTokenBody { name, role, namespace, expires_in_s } = serde_json::from_slice(&body).map_err(|error| {
        let detail = format!("the body is not {{\"name\": ..., \"role\": ...}}: {error}");
        Problem::platform(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail)
    })?;
    let new = NewToken { name, role, namespace, lifetime: expires_in_s.map(Duration::from_secs) };
    let (token, secret) = plane.registry.create_token(&new, &author).await?;
    Ok((StatusCode::CREATED, Json(CreatedToken { secret, token: token.into() })))
}

/// Revoke a token: from now on it is good for nothing
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "access", params(("id" = String, Path)),
    responses((status = 204),
        (status = 404, body = Problem)))]
pub(super) async fn revoke(
    State(plane): State<Arc<ControlPlane>>,
    By(author): By,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    if plane.registry.revoke_token(&id, &author).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    let detail = "there is no token of that id; GET /api/v1/tokens lists them";
    Err(Problem::platform(StatusCode::NOT_FOUND, "unknown-token", "Unknown token", detail))
}

/// Which part of the log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Entries before this one.
    before: Option<i64>,
    /// At most so many; 1 to 1000, 100 when it is left out.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// A part of the log, the latest change first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditPage {
    #[schema(value_type = Vec<Object>)]
    entries: Vec<AuditEntry>,
    /// What to send as `before` for the next part; null at the end.
    next: Option<i64>,
}

/// Who changed what, and when
#[utoipa::path(get, path = "/api/v1/audit", tag = "access", params(AuditQuery),
    responses((status = 200, body = AuditPage)))]
pub(super) async fn audit(
    State(plane): State<Arc<ControlPlane>>,
    Parameters(query): Parameters<AuditQuery>,
) -> Result<Json<AuditPage>, Problem> {
    let limit = query.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        let detail = format!("limit: {limit} is not from 1 to 1000");
        return Err(Problem::platform(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail));
    }
    let entries = plane.registry.audit(query.before, limit).await?;
    let is_full = entries.len() == limit as usize;
    let next = entries.last().filter(|_| is_full).map(|last| last.id);
    Ok(Json(AuditPage { entries, next }))
}
