//! Tests of functions: in the process, as [`call`] does, without WebAssembly and without limits; or on a real
//! [`Platform`], which runs the component that was built.
//!
//! ```
//! use wasmway::{Result, config, log, test};
//!
//! #[wasmway::handler]
//! fn greet(name: String) -> Result<String> {
//!     log::info!("greeting {name}");
//!     Ok(format!("{} {name}", config::require("GREETING")?))
//! }
//!
//! test::set_config("GREETING", "Hello");
//! test::call(greet, test::post("/", "Ada")).expect(200).expect_text("Hello Ada");
//! assert_eq!(test::lines(), ["greeting Ada"]);
//! ```

mod platform;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

pub use platform::Platform;

use crate::{Body, Error, Handler, Request, Response, executor, logging, native};

/// Calls a handler and reads its whole answer. A sleep sleeps, and a panic is one of the test.
pub fn call<A>(handler: impl Handler<A>, request: Request) -> Answer {
    logging::install();
    executor::block_on(async {
        let (head, mut body) = handler.call(request.into()).await.into_parts();
        let mut whole = Vec::new();
        let broke_off = loop {
            match body.chunk().await {
                Ok(Some(chunk)) => whole.extend_from_slice(&chunk),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        Answer { status: head.status, headers: head.headers, body: whole.into(), broke_off }
    })
}

/// A `GET` request.
///
/// # Panics
/// When this is no path; as do the others.
pub fn get(path: &str) -> Request {
    request("GET", path, ())
}

/// A `POST` request.
pub fn post(path: &str, body: impl Into<Body>) -> Request {
    request("POST", path, body)
}

/// A request of any method; headers are for [`headers_mut`](http::Request::headers_mut), or take [`http::Request`]'s
/// own builder.
pub fn request(method: &str, path: &str, body: impl Into<Body>) -> Request {
    let request = http::Request::builder().method(method).uri(path).body(body.into());
    request.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

/// Sets what [`config`](crate::config) says, in this test.
pub fn set_config(name: &str, value: &str) {
    native::with_world(|world| world.environment.insert(name.to_owned(), value.to_owned()));
}

/// Sets what [`client`](crate::client) gets for an answer, in this test.
pub fn set_outbound(answer: impl FnMut(Request) -> Response + 'static) {
    native::with_world(|world| world.outbound = Some(Box::new(answer)));
}

/// The lines that were logged in this test so far.
pub fn lines() -> Vec<String> {
    native::with_world(|world| world.lines.clone())
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as far as it came.
    pub body: Bytes,
    /// Why the body broke off, if it did.
    pub broke_off: Option<Error>,
}

impl Answer {
    /// The answer, which must have this status and be whole.
    ///
    /// # Panics
    /// When it is not; as do the others.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert!(self.status == status && self.broke_off.is_none(), "{status} was expected: {self:?}");
        self
    }

    /// The answer, whose body must be this.
    #[track_caller]
    pub fn expect_text(self, text: &str) -> Self {
        assert_eq!(self.text(), text);
        self
    }

    /// The body as a text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body, read as JSON.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The first header of this name.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap_or_else(|error| panic!("{name}: {error}")))
    }
}
