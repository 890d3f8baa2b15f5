//! The body of an outbound request, counted.

use crate::meter::Meter;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use wasmtime_wasi_http::{Error, WasiBody};

/// A body that fails when all bodies of its request together have passed the limit.
pub(super) struct Upload {
    inner: WasiBody,
    limit: u64,
    meter: Arc<Meter>,
}

impl Upload {
    pub(super) fn new(inner: WasiBody, limit: u64, meter: Arc<Meter>) -> Self {
        Self { inner, limit, meter }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
            && self.meter.uploaded(data.len()) > self.limit
        {
            return Poll::Ready(Some(Err(too_large(self.limit))));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The guest's error for a body that was over the limit.
pub(super) fn too_large(limit: u64) -> Error {
    Error::HttpRequestBodySize(Some(limit))
}
