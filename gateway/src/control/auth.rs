//! Who may use the API.

use super::Attempts;
use crate::{forwarding::Peer, problem::Problem, token::Token};
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header, uri::Authority};
use std::{net::IpAddr, sync::Arc};
use tokio::time::Instant;

/// Who is let in where.
pub(crate) struct Guard {
    /// `None` in development: nobody is asked.
    token: Option<Token>,
    /// Where wrong tokens came from.
    attempts: Attempts,
    /// The file that has the token, for those who look for it.
    file: &'static str,
}

impl Guard {
    pub(crate) fn new(token: Option<Token>, file: &'static str) -> Arc<Self> {
        Arc::new(Self { token, attempts: Attempts::default(), file })
    }

    /// Counts a wrong token, and says that there were too many when there were.
    fn wrong_token(&self, request: &Request) -> Problem {
        let peer = request.extensions().get::<Peer>();
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

/// Lets a request on to the API when it bears the token, or, where none is asked for, when no web page
/// of somebody else sent it.
pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let refused = match &guard.token {
        Some(token) => match bearer(request.headers()) {
            Some(given) if token.matches(given) => None,
            Some(_) => Some(guard.wrong_token(&request)),
            None => Some(guard.unauthorized()),
        },
        None if is_local(request.headers(), request.uri().authority()) => None,
        None => Some(foreign()),
    };
    match refused {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
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
    fn reads_a_bearer_token() {
        let headers = |value: &str| HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        assert_eq!(bearer(&headers("Bearer abc")), Some("abc"));
        assert_eq!(bearer(&headers("bearer abc")), Some("abc"));
        assert_eq!(bearer(&headers("Basic abc")), None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
