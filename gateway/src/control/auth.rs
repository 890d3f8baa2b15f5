//! Who may use the API.

use super::{
    Attempts,
    session::{self, Holder, Sessions},
};
use crate::{forwarding::Peer, problem::Problem, request_id::RequestId, token::Token};
use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts, uri::Authority};
use std::{net::IpAddr, sync::Arc};
use tokio::time::Instant;
use wasmway_registry::{Author, Namespace, Registry, Role, TOKEN_PREFIX};

/// Who is let in where.
pub(crate) struct Guard {
    /// `None` in development: nobody is asked.
    token: Option<Token>,
    /// How browsers are known that have shown a token; nodes have no browsers.
    sessions: Option<Sessions>,
    /// Where other tokens are known, if there are any.
    registry: Option<Registry>,
    /// Where wrong tokens came from.
    attempts: Attempts,
    /// The file that has the token, for those who look for it.
    file: &'static str,
    /// What who shows it is called in the audit log.
    bearer: &'static str,
}

/// Who was let in, as what.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// The name of the token.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// The only namespace that is theirs; `None` for all.
    pub(crate) namespace: Option<Namespace>,
}

impl Access {
    /// Everything.
    fn full(name: &str) -> Self {
        Self { name: name.to_owned(), role: Role::Admin, namespace: None }
    }

    /// Whether what is written `NAMESPACE/...` is theirs to see.
    pub(crate) fn may_see(&self, what: &str) -> bool {
        let own = self.namespace.as_ref();
        own.is_none_or(|own| what.split_once('/').is_some_and(|(namespace, _)| namespace == own.as_str()))
    }

    /// Whether they may change functions.
    pub(crate) fn may_change(&self) -> bool {
        self.role >= Role::Developer
    }

    /// Whether they may see and change what is of all namespaces: tokens, quotas, the audit log.
    pub(crate) fn is_operator(&self) -> bool {
        self.role == Role::Admin && self.namespace.is_none()
    }

    /// Whether it is good for a request. What is in another namespace is not even there.
    fn permits(&self, request: &Parts) -> Result<(), Problem> {
        let path = request.uri.path();
        let of_all =
            ["/api/v1/tokens", "/api/v1/audit", "/api/v1/namespaces"].iter().any(|managed| path.starts_with(managed));
        let needed = match request.method {
            _ if of_all => Role::Admin,
            _ if is_recording(path) => Role::Developer,
            Method::GET | Method::HEAD => Role::Viewer,
            _ => Role::Developer,
        };
        if let Some(own) = &self.namespace {
            if of_all {
                return Err(forbidden(format!("the token is good for the namespace {own} alone")));
            }
            let asked = namespace_of(&request.uri);
            if asked != own.as_str() {
                return Err(Problem::unknown_function(format!(
                    "there is nothing in the namespace {asked} for this token"
                )));
            }
        }
        if self.role < needed {
            return Err(forbidden(format!(
                "that takes a token of the role {needed}; this one is of the role {}",
                self.role
            )));
        }
        Ok(())
    }
}

/// Whether a path is that of a recording, which shows what people have sent.
fn is_recording(path: &str) -> bool {
    let below = path.strip_prefix("/api/v1/functions/").and_then(|rest| rest.split_once('/'));
    below.is_some_and(|(_, below)| below.split('/').next() == Some("recording"))
}

/// The namespace that a request asks for, by the same rules as those that answer it.
fn namespace_of(uri: &Uri) -> String {
    let query = uri.query().unwrap_or_default();
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    // With two of them the request is refused later on, whichever is taken here.
    let asked = pairs.into_iter().find(|(key, _)| key == "namespace");
    asked.map_or_else(|| Namespace::default().to_string(), |(_, value)| value.into_owned())
}

fn forbidden(detail: String) -> Problem {
    Problem::platform(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
}

impl Guard {
    /// People and their programs show `token`, or one that `registry` knows; without a token, everybody on this machine
    /// is let in.
    pub(crate) fn of_people(token: Option<Token>, registry: Registry) -> Arc<Self> {
        let (file, bearer) = ("the file admin.token of the data folder, or was made for you", "admin.token");
        let sessions = token.as_ref().map(Sessions::signed_by);
        Arc::new(Self { token, sessions, registry: Some(registry), attempts: Attempts::default(), file, bearer })
    }

    /// Nodes show `token`.
    pub(crate) fn of_nodes(token: Token) -> Arc<Self> {
        let (file, bearer) = ("the file node.token of the registry's data folder", "node.token");
        Arc::new(Self {
            token: Some(token),
            sessions: None,
            registry: None,
            attempts: Attempts::default(),
            file,
            bearer,
        })
    }

    /// Who sends a request.
    pub(crate) async fn identify(&self, request: &Parts) -> Result<Access, Problem> {
        let Some(token) = &self.token else {
            let is_local = is_local(&request.headers, request.uri.authority());
            return if is_local { Ok(Access::full("development")) } else { Err(foreign()) };
        };
        match bearer(&request.headers) {
            Some(given) => Ok(self.bearer_of(token, given, request).await?.1),
            None => self.session(request).await,
        }
    }

    /// Whose token was shown, and what it is good for.
    async fn bearer_of(&self, token: &Token, given: &str, request: &Parts) -> Result<(Holder, Access), Problem> {
        if token.matches(given) {
            return Ok((Holder::Admin, Access::full(self.bearer)));
        }
        if let Some(registry) = self.registry.as_ref().filter(|_| given.starts_with(TOKEN_PREFIX))
            && let Some(token) = registry.token_of(given).await?
        {
            return Ok((Holder::Token(token.id.clone()), access(token)?));
        }
        Err(self.wrong_token(request))
    }

    /// Whose session a browser's request belongs to.
    async fn session(&self, request: &Parts) -> Result<Access, Problem> {
        let holder = self.sessions.as_ref().and_then(|sessions| sessions.holder(&request.headers));
        let token = match (holder, &self.registry) {
            (Some(Holder::Admin), _) => return Ok(Access::full(self.bearer)),
            (Some(Holder::Token(id)), Some(registry)) => registry.token_of_id(&id).await?,
            (Some(Holder::Token(_)), None) | (None, _) => None,
        };
        token.map_or_else(|| Err(self.unauthorized()), access)
    }

    /// Whether a token has to be shown at all.
    pub(crate) fn asks_for_token(&self) -> bool {
        self.token.is_some()
    }

    /// Begins the session of a browser whose user shows a token, with the cookie that is answered.
    pub(crate) async fn log_in(&self, given: &str, request: &Parts) -> Result<HeaderValue, Problem> {
        session::check_sender(request)?;
        let (Some(token), Some(sessions)) = (&self.token, &self.sessions) else { return Err(self.unauthorized()) };
        let (holder, _) = self.bearer_of(token, given.trim(), request).await?;
        Ok(sessions.begin(&holder, session::is_tls(&request.headers)))
    }

    /// Ends the session of the browser that sends this, by the cookie that is answered.
    pub(crate) fn log_out(request: &Parts) -> Result<HeaderValue, Problem> {
        session::check_sender(request)?;
        Ok(session::end())
    }

    /// Counts a wrong token, and says that there were too many when there were.
    fn wrong_token(&self, request: &Parts) -> Problem {
        let peer = request.extensions.get::<Peer>();
        let detail = format!("too many wrong tokens came from this address; the right one is in {}", self.file);
        match peer.map_or(Ok(()), |peer| self.attempts.failed(peer.address.ip(), Instant::now())) {
            Ok(()) => self.unauthorized(),
            Err(wait) => {
                let (status, code) = (StatusCode::TOO_MANY_REQUESTS, "too-many-attempts");
                Problem::platform(status, code, "Too many attempts", detail).retry_after(wait)
            }
        }
    }

    fn unauthorized(&self) -> Problem {
        let detail = format!("send `Authorization: Bearer TOKEN`; the token is in {}", self.file);
        Problem::platform(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized", detail)
    }
}

/// What a token is good for, while it is.
fn access(token: wasmway_registry::Token) -> Result<Access, Problem> {
    if let Some(end) = token.expires_at.filter(|_| token.has_expired()) {
        let detail = format!("the token {:?} was good until {end}; have another made", token.name);
        let status = StatusCode::UNAUTHORIZED;
        return Err(Problem::platform(status, "token-expired", "The token has expired", detail));
    }
    Ok(Access { name: token.name, role: token.role, namespace: token.namespace })
}

/// Lets a request on to the API when it bears a token that is good for it, or, where none is asked for, when no web page
/// of somebody else sent it.
pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let (mut request, body) = request.into_parts();
    let access = match guard.identify(&request).await {
        Ok(access) => access,
        Err(problem) => return problem.into_response(),
    };
    // A session's cookie comes along with whatever page sends something; a token does not.
    let by_session = guard.asks_for_token() && bearer(&request.headers).is_none();
    let sent = if by_session { session::check_sender(&request) } else { Ok(()) };
    if let Err(problem) = sent.and_then(|()| access.permits(&request)) {
        return problem.into_response();
    }
    request.extensions.insert(access);
    next.run(Request::from_parts(request, body)).await
}

/// Who asks for a change, for the audit log.
pub(super) struct By(pub(super) Author);

impl<S: Sync> FromRequestParts<S> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let access = parts.extensions.get::<Access>().ok_or_else(|| Problem::internal("a request without access"))?;
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.address.ip().to_canonical().to_string());
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.as_str().to_owned());
        Ok(Self(Author {
            name: access.name.clone(),
            address: peer.unwrap_or_default(),
            request_id: request_id.unwrap_or_default(),
        }))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn foreign() -> Problem {
    Problem::platform(
        StatusCode::FORBIDDEN,
        "foreign-origin",
        "Foreign origin",
        "without a token the API answers only programs on this machine that call it by a loopback address",
    )
}

/// A browser that shows another site's page sends that site as the origin, and a name that was made to
/// resolve to this machine shows in the host.
fn is_local(headers: &HeaderMap, authority: Option<&Authority>) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(host) = authority.map(Authority::as_str).or(host) else { return false };
    let own_origin = |origin: &str| origin.strip_prefix("http://") == Some(host);
    is_loopback(host) && headers.get(header::ORIGIN).is_none_or(|origin| origin.to_str().is_ok_and(own_origin))
}

fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(pairs: &[(&'static str, &'static str)]) -> bool {
        let headers = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        is_local(&headers, None)
    }

    #[test]
    fn without_a_token_only_this_machine_is_served() {
        assert!(local(&[("host", "127.0.0.1:8081")]));
        assert!(local(&[("host", "localhost:8081"), ("origin", "http://localhost:8081")]));
        assert!(local(&[("host", "[::1]:8081")]));
        assert!(!local(&[("host", "evil.example")]), "a rebound name");
        assert!(!local(&[("host", "127.0.0.1:8081"), ("origin", "http://evil.example")]), "a foreign page");
        assert!(!local(&[("host", "127.0.0.1:8081"), ("origin", "null")]));
        assert!(!local(&[]));
    }

    #[test]
    fn a_token_is_good_for_its_role_and_its_namespace() {
        let status = |role, namespace: Option<&str>, method: &str, uri: &str| {
            let namespace = namespace.map(|name| name.parse().unwrap());
            let access = Access { name: String::new(), role, namespace };
            let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
            access.permits(&request.into_parts().0).map_or_else(|problem| problem.status().as_u16(), |()| 200)
        };
        let function = "/api/v1/functions/hello";
        assert_eq!(status(Role::Viewer, None, "GET", function), 200);
        assert_eq!(status(Role::Viewer, None, "DELETE", function), 403);
        assert_eq!(status(Role::Developer, None, "PUT", function), 200);
        assert_eq!(status(Role::Developer, None, "GET", "/api/v1/tokens"), 403);
        assert_eq!(status(Role::Viewer, None, "GET", "/api/v1/functions/hello/recording/captures/1"), 403);
        assert_eq!(status(Role::Developer, None, "GET", "/api/v1/functions/hello/recording/captures/1"), 200);
        assert_eq!(status(Role::Viewer, None, "GET", "/api/v1/functions/recording"), 200);
        assert_eq!(status(Role::Viewer, None, "GET", "/api/v1/functions/recording/logs"), 200);
        assert_eq!(status(Role::Developer, None, "GET", "/api/v1/audit"), 403);
        assert_eq!(status(Role::Admin, None, "POST", "/api/v1/tokens"), 200);
        assert_eq!(status(Role::Admin, Some("shop"), "POST", "/api/v1/tokens"), 403);
        assert_eq!(status(Role::Developer, Some("shop"), "PUT", "/api/v1/functions/hello?namespace=shop"), 200);
        assert_eq!(status(Role::Developer, Some("shop"), "PUT", "/api/v1/functions/hello?x=1&name%73pace=shop"), 200);
        assert_eq!(status(Role::Admin, Some("shop"), "GET", function), 404);
        assert_eq!(status(Role::Admin, Some("shop"), "GET", "/api/v1/functions?namespace=other&namespace=shop"), 404);
        assert_eq!(status(Role::Admin, Some("shop"), "GET", "/api/v1/nodes?namespace=shop"), 200);
    }

    #[test]
    fn reads_a_bearer_token() {
        let headers = |value: &str| HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        assert_eq!(bearer(&headers("Bearer abc")), Some("abc"));
        assert_eq!(bearer(&headers("bearer abc")), Some("abc"));
        assert_eq!(bearer(&headers("Basic abc")), None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
