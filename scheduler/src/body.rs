//! The bodies of a request on its way in and of a response on its way out, counted and capped.

use crate::{
    capture::Fault,
    meter::{Meter, Receipt},
    outcome::Failure,
    recorder::Tap,
    tape::Tape,
};
use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{sync::oneshot, task::JoinHandle};
use wasmtime_wasi_http::{Error, WasiBody};

/// A request body as the guest reads it. Nothing is read from the client that the guest does not ask for.
pub(crate) struct RequestBody<B> {
    inner: B,
    limit: u64,
    meter: Arc<Meter>,
    /// Of a request that is recorded.
    tap: Option<Tap>,
    /// By which it is seen that there is a body still.
    _mark: Option<Arc<()>>,
}

impl<B: Body> RequestBody<B> {
    /// The body of `request`, of which the guest gets no more than `limit` bytes. It holds `mark` as long as it is there.
    pub(crate) fn of(
        request: Request<B>,
        limit: u64,
        meter: &Arc<Meter>,
        tape: Option<&Tape>,
        mark: Option<Arc<()>>,
    ) -> Request<Self> {
        let (head, inner) = request.into_parts();
        let tap = match tape {
            Some(Tape::Recording(recorder)) => Some(recorder.request(&head, inner.is_end_stream())),
            Some(Tape::Playing(_)) | None => None,
        };
        Request::from_parts(head, Self { inner, limit, meter: meter.clone(), tap, _mark: mark })
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        if let Some(tap) = &mut this.tap {
            let is_last = this.inner.is_end_stream();
            tap.saw(&polled, is_last, |error| Fault::of(&Error::InternalError(Some(error.to_string()))));
        }
        polled.map(|frame| match frame? {
            Ok(frame) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if self.meter.received(bytes) > self.limit {
                    self.meter.request_too_large();
                    return Some(Err(Error::HttpRequestBodySize(Some(self.limit))));
                }
                Some(Ok(frame))
            }
            Err(error) => Some(Err(Error::InternalError(Some(error.to_string())))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A response body on its way to the client.
pub struct ResponseBody(Kind);

enum Kind {
    /// The guest is done and this is all it said.
    Whole(VecDeque<Bytes>),
    /// The guest goes on writing while this is sent.
    Streaming(Box<Streaming>),
}

/// A body that a running guest writes. A guest that fails in the middle makes it fail: a body that is
/// cut must never look complete.
struct Streaming {
    body: WasiBody,
    /// Runs the guest, while it is not over. Aborted when the client goes away before the end of the body.
    guest: Option<JoinHandle<()>>,
    /// Gets to know that the body has come to a good end.
    ended: Option<oneshot::Sender<()>>,
    meter: Arc<Meter>,
    limit: u64,
    /// Of a request that is recorded.
    tap: Option<Tap>,
}

impl ResponseBody {
    /// Of pieces, none of which is empty. They are not joined: a connection writes many at once.
    pub(crate) fn whole(pieces: VecDeque<Bytes>) -> Self {
        Self(Kind::Whole(pieces))
    }

    /// A body that goes on.
    pub(crate) fn streaming(body: WasiBody, meter: Arc<Meter>, limit: u64) -> Self {
        Self(Kind::Streaming(Box::new(Streaming { body, guest: None, ended: None, meter, limit, tap: None })))
    }

    /// Is written by a guest that is not over: by that of `task`, which may want to know when the body has `ended`.
    pub(crate) fn written_by(mut self, task: JoinHandle<()>, ended: Option<oneshot::Sender<()>>) -> Self {
        if let Kind::Streaming(streaming) = &mut self.0 {
            (streaming.guest, streaming.ended) = (Some(task), ended);
        }
        self
    }

    /// Writes down what there is of it, and what comes.
    pub(crate) fn record(&mut self, mut tap: Tap) {
        match &mut self.0 {
            Kind::Whole(pieces) => tap.saw_whole(pieces.iter()),
            Kind::Streaming(streaming) => streaming.tap = Some(tap),
        }
    }
}

impl ResponseBody {
    /// True when the guest had said all when this was made.
    pub fn is_whole(&self) -> bool {
        matches!(self.0, Kind::Whole(_))
    }

    /// What the request has used by now, while its body is being written. `None` for a body that was whole from the
    /// start: there is nothing to add to what was known then.
    pub fn used(&self) -> Option<Receipt> {
        match &self.0 {
            Kind::Whole(_) => None,
            Kind::Streaming(streaming) => Some(streaming.meter.receipt()),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match &mut self.0 {
            Kind::Whole(pieces) => Poll::Ready(pieces.pop_front().map(|piece| Ok(Frame::data(piece)))),
            Kind::Streaming(streaming) => streaming.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.0, Kind::Whole(pieces) if pieces.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(pieces) => SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum()),
            // What the guest announced is in its `content-length`, if it announced anything.
            Kind::Streaming(_) => SizeHint::default(),
        }
    }
}

impl Streaming {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(tap) = &mut self.tap {
            tap.saw(&polled, false, Fault::of);
        }
        let Poll::Ready(frame) = polled else { return Poll::Pending };
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                if self.meter.sent(bytes) > self.limit {
                    Some(Err(self.fail(Failure::ResponseTooLarge { limit: self.limit })))
                } else {
                    Some(Ok(frame))
                }
            }
            Some(Err(error)) => Some(Err(self.fail(Failure::ErrorCode(error.to_string())))),
            None => match self.meter.ended().flatten() {
                Some(failure) => Some(Err(failure)),
                None => {
                    self.complete();
                    None
                }
            },
        })
    }

    /// The body has come to a good end. The guest may go on until its deadline with what it has left to do.
    fn complete(&mut self) {
        self.guest = None;
        if let Some(ended) = self.ended.take() {
            // Nobody may want to know any more.
            let _ = ended.send(());
        }
        self.meter.body_done();
    }

    fn fail(&self, failure: Failure) -> Failure {
        // The guest may have failed first, and this be a consequence.
        self.meter.end(Some(failure.clone()));
        self.meter.ended().flatten().unwrap_or(failure)
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        if let Some(guest) = &self.guest {
            guest.abort();
        }
    }
}
