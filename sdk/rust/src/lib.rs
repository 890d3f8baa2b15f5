//! Functions for Wasmway in Rust.
//!
//! A function is an ordinary `fn`, `async` or not, from what it needs of a request to whatever can be a response:
//!
//! ```
//! use serde::Deserialize;
//! use wasmway::Query;
//!
//! #[derive(Deserialize)]
//! struct Whom {
//!     name: Option<String>,
//! }
//!
//! #[wasmway::handler]
//! fn hello(Query(whom): Query<Whom>) -> String {
//!     format!("Hello, {}!\n", whom.name.as_deref().unwrap_or("world"))
//! }
//!
//! // A test calls it on the machine at hand, without WebAssembly.
//! use wasmway::test;
//! test::call(hello, test::get("/?name=Ada")).expect(200).expect_text("Hello, Ada!\n");
//! ```
//!
//! | | |
//! |---|---|
//! | arguments | [`Request`], [`Query`], [`Json`], [`Form`], [`Path`], [`Body`], `String`, [`Bytes`], [`http::Method`], [`http::Uri`], [`http::HeaderMap`], and an `Option` of each: [`FromRequest`] |
//! | results | texts, bytes, [`Json`], [`http::StatusCode`], pairs of a status and one of these, [`Response`], [`Result`]: [`IntoResponse`] |
//! | errors | `?` on any error is a 500 whose cause is in the log; [`Error::new`] and [`OrStatus`] choose another |
//! | streams | [`Body::written`], [`Body::chunk`], [`sse`] |
//! | other services | [`client`], to the origins that `wasmway.toml` allows |
//! | settings | [`config`], from `[env]` in `wasmway.toml` |
//! | log | the macros of [`log`]: `info!` becomes a line of level `info`, `warn!` and `error!` lines of level `warn` |
//! | several paths | [`Router`] |
//! | tests | [`mod@test`], in the process or on a real platform |
//!
//! Every request has a fresh instance of the component, so nothing is kept from one to the next. A panic is a trap: the
//! client gets 502, and the function's log the cause.

mod body;
mod call;
pub mod client;
pub mod config;
mod error;
mod executor;
mod extract;
mod handler;
mod logging;
#[cfg(not(target_family = "wasm"))]
mod native;
mod respond;
mod router;
pub mod sse;
#[cfg(not(target_family = "wasm"))]
pub mod test;
pub mod time;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod wasi;

#[cfg(not(target_family = "wasm"))]
use native as host;
#[cfg(target_family = "wasm")]
use wasi as host;

pub use body::{Body, Writer};
pub use bytes::Bytes;
pub use call::Call;
pub use error::{Error, OrStatus, Result};
pub use extract::{Form, FromRequest, Json, Path, Query};
pub use handler::Handler;
pub use respond::IntoResponse;
pub use router::Router;
/// What cannot be one does not compile, on any target:
///
/// ```compile_fail
/// #[wasmway::handler]
/// fn later() -> std::time::Duration {
///     std::time::Duration::ZERO
/// }
/// ```
///
/// ```compile_fail
/// #[wasmway::handler]
/// struct Function;
/// ```
pub use wasmway_macros::handler;
pub use {http, log};

/// What a client asked for: its method, its path after that of the function, its headers and its body.
pub type Request = http::Request<Body>;
/// What it gets.
pub type Response = http::Response<Body>;

/// For [`handler`]: compiles when a function can be one.
#[doc(hidden)]
pub const fn must_be_handler<Arguments, H: Handler<Arguments>>(_: &H) {}

/// Its example is compiled with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
