//! Several paths in one function.

use std::collections::BTreeMap;
use std::pin::Pin;

use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};

use crate::extract::PathParameters;
use crate::{Handler, IntoResponse as _, Request, Response};

type Answer = Pin<Box<dyn Future<Output = Response>>>;
type Boxed = Box<dyn FnOnce(Request) -> Answer>;

/// Handlers by path and method. Paths are those of [matchit](https://docs.rs/matchit): `/users/{id}`, `/files/{*path}`.
/// `HEAD` goes where `GET` goes; an unknown path is 404, an unknown method 405.
///
/// ```
/// use serde::Deserialize;
/// use wasmway::{Path, Request, Response, Router, test};
///
/// #[derive(Deserialize)]
/// struct User { id: u32 }
///
/// fn index() -> &'static str { "users\n" }
/// async fn user(Path(user): Path<User>) -> String { format!("user {}\n", user.id) }
///
/// #[wasmway::handler]
/// async fn users(request: Request) -> Response {
///     Router::new().get("/", index).get("/users/{id}", user).route(request).await
/// }
///
/// test::call(users, test::get("/users/7")).expect(200).expect_text("user 7\n");
/// test::call(users, test::post("/users/7", "")).expect(405);
/// test::call(users, test::get("/nobody")).expect(404);
/// ```
#[derive(Default)]
pub struct Router(BTreeMap<&'static str, Vec<(Method, Boxed)>>);

impl Router {
    /// A router without paths.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a method of a path is answered by.
    pub fn on<A>(mut self, method: Method, path: &'static str, handler: impl Handler<A>) -> Self {
        let boxed: Boxed = Box::new(|request| Box::pin(handler.call(request.into())));
        self.0.entry(path).or_default().push((method, boxed));
        self
    }

    /// What `GET` of a path is answered by.
    pub fn get<A>(self, path: &'static str, handler: impl Handler<A>) -> Self {
        self.on(Method::GET, path, handler)
    }

    /// What `POST` of a path is answered by.
    pub fn post<A>(self, path: &'static str, handler: impl Handler<A>) -> Self {
        self.on(Method::POST, path, handler)
    }

    /// What `PUT` of a path is answered by.
    pub fn put<A>(self, path: &'static str, handler: impl Handler<A>) -> Self {
        self.on(Method::PUT, path, handler)
    }

    /// What `DELETE` of a path is answered by.
    pub fn delete<A>(self, path: &'static str, handler: impl Handler<A>) -> Self {
        self.on(Method::DELETE, path, handler)
    }

    /// Answers a request.
    ///
    /// # Panics
    /// When two of its paths are the same but for the names of their parameters, or one is no path.
    pub async fn route(self, mut request: Request) -> Response {
        let mut paths = matchit::Router::new();
        for (path, handlers) in self.0 {
            paths.insert(path, handlers).unwrap_or_else(|error| panic!("the route {path:?}: {error}"));
        }
        let Ok(found) = paths.at_mut(request.uri().path()) else {
            return (StatusCode::NOT_FOUND, "there is nothing at this path\n").into_response();
        };
        let parameters = found.params.iter().map(|(name, value)| format!("{name}={}", as_in_query(value)));
        let parameters = PathParameters(parameters.collect::<Vec<_>>().join("&"));
        let handlers = std::mem::take(found.value);
        request.extensions_mut().insert(parameters);
        let method = request.method().clone();
        let methods: Vec<_> = handlers.iter().map(|(method, _)| method.to_string()).collect();
        let is_it = |it: &Method| *it == method || (method == Method::HEAD && *it == Method::GET);
        match handlers.into_iter().find(|(method, _)| is_it(method)) {
            Some((_, handler)) => handler(request).await,
            None => not_allowed(&methods),
        }
    }
}

/// A piece of a path, percent-encoded as it is, as the value of a query's parameter, where some characters mean more.
fn as_in_query(value: &str) -> String {
    value.replace('+', "%2B").replace('&', "%26")
}

fn not_allowed(methods: &[String]) -> Response {
    let message = format!("this path takes {}\n", methods.join(", "));
    let mut response = (StatusCode::METHOD_NOT_ALLOWED, message).into_response();
    if let Ok(methods) = HeaderValue::try_from(methods.join(", ")) {
        response.headers_mut().insert(ALLOW, methods);
    }
    response
}
