//! A request that is about to be sent.

use std::future::IntoFuture;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::{Method, RequestBuilder, Response};

use super::Answer;

/// No answer takes longer, unless a test says so.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A request. Awaited, it is sent and the whole answer read, which must arrive.
pub(crate) struct Call {
    what: String,
    request: RequestBuilder,
}

impl Call {
    pub(super) fn new(http: &reqwest::Client, method: Method, url: String) -> Self {
        Self { what: format!("{method} {url}"), request: http.request(method, url).timeout(TIMEOUT) }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) fn body(mut self, body: impl Into<reqwest::Body>) -> Self {
        self.request = self.request.body(body);
        self
    }

    pub(crate) fn form(mut self, form: reqwest::multipart::Form) -> Self {
        self.request = self.request.multipart(form);
        self
    }

    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.request = self.request.timeout(timeout);
        self
    }

    /// Sends it and answers with the head; the body is still to be read.
    pub(crate) async fn head(self) -> reqwest::Result<Response> {
        self.request.send().await
    }

    /// Sends it and reads the answer, which may fail to arrive or break off.
    pub(crate) async fn attempt(self) -> reqwest::Result<Answer> {
        let response = self.request.send().await?;
        Answer::read(self.what, response).await
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = BoxFuture<'static, Answer>;

    fn into_future(self) -> Self::IntoFuture {
        let what = self.what.clone();
        async move { self.attempt().await.unwrap_or_else(|error| panic!("{what}: {error:?}")) }.boxed()
    }
}
