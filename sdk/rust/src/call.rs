//! A request of which nothing has been fetched yet.

use http::{HeaderMap, Method, Uri};

#[cfg(target_family = "wasm")]
use crate::host::Incoming;
use crate::{Body, Request, Result};

/// A request as a handler gets it. Its parts are fetched from the platform when somebody asks for them: what a function
/// does not use costs it neither time nor, in its component, code.
pub struct Call(Source);

enum Source {
    #[cfg(target_family = "wasm")]
    Host(Incoming),
    Made(Request),
}

impl Call {
    #[cfg(target_family = "wasm")]
    pub(crate) fn incoming(request: Incoming) -> Self {
        Self(Source::Host(request))
    }

    /// The request's method.
    ///
    /// # Errors
    /// When the request has something that `http` does not know how to hold; as do the others.
    pub fn method(&self) -> Result<Method> {
        match &self.0 {
            #[cfg(target_family = "wasm")]
            Source::Host(request) => request.method(),
            Source::Made(request) => Ok(request.method().clone()),
        }
    }

    /// Its path and query, as the function sees them; which host the client called is in the header `host`.
    ///
    /// # Errors
    /// As of [`Self::method`].
    pub fn uri(&self) -> Result<Uri> {
        match &self.0 {
            #[cfg(target_family = "wasm")]
            Source::Host(request) => request.uri(),
            Source::Made(request) => Ok(request.uri().clone()),
        }
    }

    /// Its headers.
    ///
    /// # Errors
    /// As of [`Self::method`].
    pub fn headers(&self) -> Result<HeaderMap> {
        match &self.0 {
            #[cfg(target_family = "wasm")]
            Source::Host(request) => request.headers(),
            Source::Made(request) => Ok(request.headers().clone()),
        }
    }

    /// Its body; an empty one when it was taken before.
    pub fn take_body(&mut self) -> Body {
        match &mut self.0 {
            #[cfg(target_family = "wasm")]
            Source::Host(request) => request.take_body(),
            Source::Made(request) => std::mem::take(request.body_mut()),
        }
    }

    /// Something that was put beside it, as [`Router`](crate::Router) does with the path.
    pub(crate) fn extension<T: Clone + Send + Sync + 'static>(&self) -> Option<&T> {
        match &self.0 {
            #[cfg(target_family = "wasm")]
            Source::Host(_) => None,
            Source::Made(request) => request.extensions().get(),
        }
    }

    /// All of it, but for a body that was taken before.
    ///
    /// # Errors
    /// As of [`Self::method`].
    pub fn take(&mut self) -> Result<Request> {
        match &mut self.0 {
            #[cfg(target_family = "wasm")]
            Source::Host(incoming) => {
                let mut request = Request::new(incoming.take_body());
                *request.method_mut() = incoming.method()?;
                *request.uri_mut() = incoming.uri()?;
                *request.headers_mut() = incoming.headers()?;
                Ok(request)
            }
            Source::Made(request) => Ok(std::mem::take(request)),
        }
    }
}

impl From<Request> for Call {
    fn from(request: Request) -> Self {
        Self(Source::Made(request))
    }
}
