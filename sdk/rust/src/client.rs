//! Requests to other services. `wasmway.toml` has to allow their origins:
//!
//! ```toml
//! [outbound]
//! allow = ["https://api.example.com"]
//! ```
//!
//! ```
//! use wasmway::{Response, Result, client, test};
//!
//! #[wasmway::handler]
//! async fn rates() -> Result<Response> {
//!     // Passed on as it comes, without being held.
//!     client::get("https://api.example.com/rates").await
//! }
//!
//! // A test says what the other side answers.
//! test::set_outbound(|request| {
//!     assert_eq!(request.uri().host(), Some("api.example.com"));
//!     http::Response::new("1.07".into())
//! });
//! test::call(rates, test::get("/")).expect(200).expect_text("1.07");
//! ```

use std::time::Duration;

use http::{Request, StatusCode};

use crate::{Body, OrStatus as _, Response, Result, host};

/// How long to wait for each of these: a connection, the first byte of the response, the next one. An extension of a
/// request: `Request::get(...).extension(Timeout(Duration::from_secs(2)))`. Without, the platform's own timeouts hold.
#[derive(Clone, Copy, Debug)]
pub struct Timeout(pub Duration);

/// Gets what is at a URL.
///
/// # Errors
/// As of [`send`].
pub async fn get(url: impl AsRef<str>) -> Result<Response> {
    let url = url.as_ref();
    let request = Request::get(url).body(Body::empty());
    send(request.or_status(StatusCode::INTERNAL_SERVER_ERROR, &format!("{url:?} is no URL"))?).await
}

/// Sends a request; the response may be of any status. Redirects are not followed. The body is sent to its end before
/// the response is there.
///
/// # Errors
/// When there is no response: the origin is not allowed, nobody answers there, or not in time.
pub async fn send<B: Into<Body>>(request: Request<B>) -> Result<Response> {
    let url = request.uri().clone();
    let sent = host::send(request.map(Into::into)).await;
    sent.or_status(StatusCode::INTERNAL_SERVER_ERROR, &format!("no answer of {url}"))
}
