//! A deploy that is about to be sent.

use std::future::IntoFuture;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::Value;

use super::{Answer, Call, Server};

/// A deploy. Awaited, it must succeed and answers with the function.
pub(crate) struct Deploy<'a> {
    server: &'a Server,
    name: String,
    namespace: String,
    traffic: u32,
    component: Vec<u8>,
    manifest: Option<String>,
}

impl<'a> Deploy<'a> {
    pub(super) fn new(server: &'a Server, name: &str, component: Vec<u8>) -> Self {
        Self { server, name: name.to_owned(), namespace: "default".to_owned(), traffic: 100, component, manifest: None }
    }

    pub(crate) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    pub(crate) fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// Percent of the requests that the new version gets.
    pub(crate) fn traffic(mut self, percent: u32) -> Self {
        self.traffic = percent;
        self
    }

    /// The text of a `wasmway.toml` to send along.
    pub(crate) fn manifest(mut self, text: &str) -> Self {
        self.manifest = Some(text.to_owned());
        self
    }

    fn call(self) -> Call {
        let path = format!("/functions/{}?namespace={}&traffic={}", self.name, self.namespace, self.traffic);
        let call = self.server.api(Method::PUT, &path);
        match self.manifest {
            None => call.header("content-type", "application/wasm").body(self.component),
            Some(text) => {
                call.form(Form::new().part("manifest", Part::text(text)).part("component", Part::bytes(self.component)))
            }
        }
    }

    /// Sends it; the answer may fail to arrive.
    pub(crate) async fn attempt(self) -> reqwest::Result<Answer> {
        self.call().attempt().await
    }

    /// Whatever the platform says to it.
    pub(crate) async fn answer(self) -> Answer {
        self.call().await
    }
}

impl<'a> IntoFuture for Deploy<'a> {
    type Output = Value;
    type IntoFuture = BoxFuture<'a, Value>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let answer = self.answer().await;
            assert!(answer.status.is_success(), "{answer}");
            answer.json()
        }
        .boxed()
    }
}
