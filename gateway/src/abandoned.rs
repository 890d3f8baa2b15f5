//! Requests whose client leaves while nobody reads from its connection.

use crate::patient_stream::Client;
use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

/// Drives a call to its answer; `None` when the client leaves before. Dropping the call ends its guest. It is pinned
/// where it is made: one that is passed on is copied.
pub(crate) async fn unless_left<T>(client: Option<Client>, mut call: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let mut leaving = None;
    poll_fn(|cx| {
        if let Poll::Ready(answer) = call.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        let Some(client) = &client else { return Poll::Pending };
        // Whoever is answered at once pays for none of this.
        let leaving = leaving.get_or_insert_with(|| Box::pin(client.clone().left()));
        leaving.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// A response body that ends with an error when its client leaves while the next piece is being waited for. Dropping
/// it ends the guest that writes it.
pub(crate) struct WatchedBody {
    body: Body,
    leaving: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl WatchedBody {
    pub(crate) fn new(body: Body, client: Client) -> Self {
        Self { body, leaving: Box::pin(client.left()) }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the client has left")]
struct Left;

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(frame),
            Poll::Pending => self.leaving.as_mut().poll(cx).map(|()| Some(Err(axum::Error::new(Left)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
