//! Bodies of requests and responses.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::StatusCode;

use crate::{Error, Result};

/// A body: bytes that are there, or that come piece by piece.
///
/// As a [`Stream`] it can be wrapped, and be passed on as the body of something else.
#[derive(Default)]
pub struct Body(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Whole(Bytes),
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes>>>>),
}

impl Body {
    /// Bytes that [`Self::bytes`] and the arguments made of it ([`Json`](crate::Json), `String` and others) take:
    /// memory of one request is limited.
    pub const BYTES_MAX: usize = 2 << 20;

    /// Nothing.
    pub fn empty() -> Self {
        Self::default()
    }

    /// What a stream yields. After an error of it the response breaks off, which its client notices.
    pub fn from_stream<E: Into<Error>>(stream: impl Stream<Item = Result<Bytes, E>> + 'static) -> Self {
        Self(Kind::Stream(Box::pin(Mapped(Box::pin(stream)))))
    }

    /// What an `async` block writes. It runs only as fast as the other side reads.
    ///
    /// ```
    /// use wasmway::{Body, test};
    ///
    /// #[wasmway::handler]
    /// fn count() -> Body {
    ///     Body::written(async |mut out| {
    ///         for number in 1..=3 {
    ///             out.write(format!("{number}\n")).await;
    ///         }
    ///         Ok(())
    ///     })
    /// }
    ///
    /// test::call(count, test::get("/")).expect_text("1\n2\n3\n");
    /// ```
    pub fn written<F: Future<Output = Result<()>> + 'static>(write: impl FnOnce(Writer) -> F) -> Self {
        let slot = Rc::default();
        let future = Box::pin(write(Writer(Rc::clone(&slot))));
        Self(Kind::Stream(Box::pin(Written { future: Some(future), slot })))
    }

    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// When the other side broke off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await.transpose()
    }

    /// All of it, at most [`Self::BYTES_MAX`].
    ///
    /// # Errors
    /// With status 413 when it is longer; when the other side broke off.
    pub async fn bytes(self) -> Result<Bytes> {
        self.bytes_up_to(Self::BYTES_MAX).await
    }

    /// All of it, at most so many bytes.
    ///
    /// # Errors
    /// With status 413 when it is longer; when the other side broke off.
    pub async fn bytes_up_to(mut self, bytes_max: usize) -> Result<Bytes> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if whole.len() + chunk.len() > bytes_max {
                let message = format!("the body is longer than {bytes_max} bytes, which this function takes");
                return Err(Error::new(StatusCode::PAYLOAD_TOO_LARGE, message));
            }
            if whole.is_empty() && matches!(self.0, Kind::Empty) {
                return Ok(chunk);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// All of it as a text, at most [`Self::BYTES_MAX`].
    ///
    /// # Errors
    /// With status 413 when it is longer, 400 when it is no UTF-8; when the other side broke off.
    pub async fn text(self) -> Result<String> {
        let bytes = self.bytes().await?;
        String::from_utf8(bytes.into())
            .map_err(|error| Error::new(StatusCode::BAD_REQUEST, format!("the body is no text: {error}")))
    }

    /// How many bytes it has, if that is known.
    pub(crate) fn length(&self) -> Option<usize> {
        match &self.0 {
            Kind::Empty => Some(0),
            Kind::Whole(bytes) => Some(bytes.len()),
            Kind::Stream(_) => None,
        }
    }
}

impl Stream for Body {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Kind::Stream(stream) = &mut self.0 {
            return stream.as_mut().poll_next(context);
        }
        Poll::Ready(match std::mem::take(&mut self.0) {
            Kind::Whole(bytes) if !bytes.is_empty() => Some(Ok(bytes)),
            _ => None,
        })
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length() {
            Some(bytes) => write!(f, "Body({bytes} bytes)"),
            None => f.write_str("Body(stream)"),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Whole(bytes))
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

macro_rules! from_bytes {
    ($($whole:ty)*) => {$(
        impl From<$whole> for Body {
            fn from(whole: $whole) -> Self {
                Bytes::from(whole).into()
            }
        }
    )*};
}

from_bytes!(String Vec<u8> &'static str &'static [u8]);

/// Where [`Body::written`] and [`sse::events`](crate::sse::events) write to.
pub struct Writer(Rc<RefCell<Option<Bytes>>>);

impl Writer {
    /// Writes a piece, and waits until the other side takes it. When it has gone, what comes after is never run.
    pub async fn write(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        if !bytes.is_empty() {
            *self.0.borrow_mut() = Some(bytes);
        }
        // Nobody has to be woken: who takes the piece is who runs this.
        poll_fn(|_| if self.0.borrow().is_none() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

struct Written<F> {
    /// `None` when it has ended.
    future: Option<Pin<Box<F>>>,
    /// The piece that was written last, if nobody has taken it.
    slot: Rc<RefCell<Option<Bytes>>>,
}

impl<F: Future<Output = Result<()>>> Stream for Written<F> {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(future) = &mut self.future else { return Poll::Ready(None) };
        let ended = future.as_mut().poll(context);
        if ended.is_ready() {
            self.future = None;
        }
        if let Poll::Ready(Err(error)) = ended {
            return Poll::Ready(Some(Err(error)));
        }
        match self.slot.borrow_mut().take() {
            Some(bytes) => Poll::Ready(Some(Ok(bytes))),
            None => ended.map(|_| None),
        }
    }
}

/// A stream with errors of ours.
struct Mapped<S>(Pin<Box<S>>);

impl<E: Into<Error>, S: Stream<Item = Result<Bytes, E>>> Stream for Mapped<S> {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context).map(|item| item.map(|bytes| bytes.map_err(Into::into)))
    }
}
