//! A form for deploying, which shows the plan first.

use super::super::{Dashboard, Frame, page};
use crate::{control::Access, problem::Problem};
use askama::Template;
use axum::{
    Extension,
    extract::{Query, State},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;

/// What the form begins with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::dashboard) struct Asked {
    name: String,
    namespace: String,
}

#[derive(Template)]
#[template(path = "deploy.html")]
struct Deploy {
    frame: Frame,
    name: String,
    namespace: String,
    /// The only namespace that there is for this token.
    is_bound: bool,
}

/// The page.
pub(in crate::dashboard) async fn show(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(access): Extension<Access>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    if !access.may_change() {
        let detail = "this token may look and not deploy; ask for one of the role developer";
        return Err(Problem::platform(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail));
    }
    let own = access.namespace.as_ref().map(ToString::to_string);
    let is_bound = own.is_some();
    let asked_for = Some(asked.namespace).filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned());
    let frame = dashboard.frame("Deploy", "deploy", &access);
    page(&Deploy { frame, name: asked.name, namespace: own.unwrap_or(asked_for), is_bound })
}
