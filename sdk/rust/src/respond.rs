//! What can be a response.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::{Body, Error, Json, Response, Result};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// What a handler may return.
pub trait IntoResponse {
    /// The response.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

/// 200 without a body.
impl IntoResponse for () {
    fn into_response(self) -> Response {
        Body::empty().into_response()
    }
}

/// This status without a body.
impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        (self, ()).into_response()
    }
}

/// The response of the second, with the first for its status.
impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        *response.status_mut() = self.0;
        response
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

/// Its status; a message where the client is to blame, else a line in the log.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        let said = if status.is_client_error() {
            self.to_string()
        } else {
            log::error!("{self}");
            status.canonical_reason().unwrap_or("error").to_owned()
        };
        (status, said + "\n").into_response()
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(text) => with_type(text.into(), HeaderValue::from_static("application/json")),
            Err(error) => Error::from(error).into_response(),
        }
    }
}

fn with_type(body: Body, content_type: HeaderValue) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

macro_rules! whole {
    ($($whole:ty: $content_type:expr),*) => {$(
        impl IntoResponse for $whole {
            fn into_response(self) -> Response {
                with_type(self.into(), $content_type)
            }
        }
    )*};
}

const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");

whole!(String: TEXT, &'static str: TEXT, Bytes: BINARY, Vec<u8>: BINARY);
