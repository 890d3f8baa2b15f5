//! Who may look: a session, begun by showing a token once.

use super::{Dashboard, assets, page};
use crate::{control::Guard, problem::Problem};
use askama::Template;
use axum::{
    Form, Json,
    extract::{FromRequest, Query, Request, State},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use http::{StatusCode, Uri, header, request::Parts};
use serde::Deserialize;
use std::sync::Arc;

/// Marks the answer to somebody who looks at pages, for whom problems are pages too.
#[derive(Clone)]
pub(super) struct Browses;

/// Lets on to the pages whoever has a session, and the others to the page where one begins.
pub(super) async fn check(State(dashboard): State<Arc<Dashboard>>, request: Request, next: Next) -> Response {
    let (mut request, body) = request.into_parts();
    let browses = !request.uri.path().starts_with("/live/");
    let mut response = match dashboard.people.identify(&request).await {
        Ok(access) => {
            request.extensions.insert(access);
            next.run(Request::from_parts(request, body)).await
        }
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED && browses => return to_login(&request),
        Err(problem) => problem.into_response(),
    };
    if browses {
        response.extensions_mut().insert(Browses);
    }
    response
}

fn to_login(request: &Parts) -> Response {
    let asked = request.uri.path_and_query().map_or("/", |asked| asked.as_str());
    let next: String = url::form_urlencoded::byte_serialize(asked.as_bytes()).collect();
    let login = format!("/login?next={next}");
    // A part of a page cannot become the login page: the whole page goes there.
    if request.headers.contains_key("hx-request") {
        return (StatusCode::NO_CONTENT, [("hx-redirect", login)]).into_response();
    }
    Redirect::to(&login).into_response()
}

#[derive(Deserialize)]
pub(super) struct Destination {
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    next: String,
    /// Why the last attempt failed.
    problem: Option<String>,
}

impl Login {
    fn asset(&self, name: &str) -> &'static str {
        assets::path(name)
    }
}

/// Where a session begins.
pub(super) async fn show(
    State(dashboard): State<Arc<Dashboard>>,
    Query(query): Query<Destination>,
) -> Result<Response, Problem> {
    let next = own_path(query.next);
    if !dashboard.people.asks_for_token() {
        return Ok(Redirect::to(&next).into_response());
    }
    page(&Login { next, problem: None })
}

/// Whether there is a session already.
pub(super) async fn has_session(State(dashboard): State<Arc<Dashboard>>, request: Request) -> Json<bool> {
    Json(dashboard.people.identify(&request.into_parts().0).await.is_ok())
}

#[derive(Deserialize)]
struct Shown {
    token: String,
    next: Option<String>,
}

/// Begins a session.
pub(super) async fn log_in(State(dashboard): State<Arc<Dashboard>>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let read = Form::<Shown>::from_request(Request::from_parts(parts.clone(), body), &()).await;
    let Form(Shown { token, next }) = read
        .map_err(|error| Problem::platform(StatusCode::BAD_REQUEST, "bad-request", "Bad request", error.body_text()))?;
    let next = own_path(next);
    match dashboard.people.log_in(&token, &parts).await {
        Ok(cookie) => Ok(([(header::SET_COOKIE, cookie)], Redirect::to(&next)).into_response()),
        Err(problem) => {
            let shown = match problem.status() {
                StatusCode::UNAUTHORIZED if problem.code == "unauthorized" => {
                    "That is not a token of this server. Copy it whole, and try again.".to_owned()
                }
                _ => problem.detail().to_owned(),
            };
            let mut response = page(&Login { next, problem: Some(shown) })?;
            *response.status_mut() = problem.status();
            Ok(response)
        }
    }
}

/// Ends a session.
pub(super) async fn log_out(request: Request) -> Result<Response, Problem> {
    let cookie = Guard::log_out(&request.into_parts().0)?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response())
}

/// A path of ours, or the first page: nobody is sent elsewhere.
fn own_path(asked: Option<String>) -> String {
    let is_own = |path: &String| {
        path.starts_with('/')
            && !path[1..].starts_with(['/', '\\'])
            && path.bytes().all(|byte| byte.is_ascii_graphic())
            && path.parse::<Uri>().is_ok_and(|uri| uri.authority().is_none())
    };
    asked.filter(is_own).unwrap_or_else(|| "/".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        let path = |text: &str| own_path(Some(text.to_owned()));
        assert_eq!(path("/functions?q=a"), "/functions?q=a");
        for foreign in
            ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "", "/a\nb", "/\t/evil.example"]
        {
            assert_eq!(path(foreign), "/", "{foreign:?}");
        }
    }
}
