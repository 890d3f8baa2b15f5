//! A recorded body, read once more.

use super::{Player, virtual_time::Until};
use crate::capture::{Body, header_map};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use wasmtime_wasi_http::Error;

/// A recorded body. It goes as far as the recorded function read it, and fails beyond that.
pub struct PlayedBody {
    player: Arc<Player>,
    /// What it is called where it is not as it was.
    what: String,
    left: Bytes,
    pieces: std::vec::IntoIter<(usize, u64)>,
    /// When the piece before came.
    last: u64,
    coming: Option<(usize, Until)>,
    /// What comes after the pieces; `None` when that is over.
    end: Option<Body>,
}

impl PlayedBody {
    /// Of a message whose head came at `since`.
    pub(super) fn new(player: Arc<Player>, mut body: Body, what: String, since: u64) -> Self {
        let left = Bytes::from(std::mem::take(&mut body.data.0));
        let pieces = std::mem::take(&mut body.pieces).into_iter();
        // What there was no room for counts as what nobody read.
        body.complete &= body.bytes == left.len() as u64;
        let is_empty = body.complete && left.is_empty() && body.trailers.is_empty() && body.error.is_none();
        let end = (!is_empty).then_some(body);
        Self { player, what, left, pieces, last: since, coming: None, end }
    }

    fn last_frame(&mut self) -> Option<Result<Frame<Bytes>, Error>> {
        let Body { bytes, complete, trailers, error, .. } = self.end.take()?;
        if let Some(error) = error {
            return Some(Err(error.error()));
        }
        if complete {
            return (!trailers.is_empty()).then(|| Ok(Frame::trailers(header_map(&trailers))));
        }
        let difference = format!("{} is read further than was recorded ({bytes} bytes came by then)", self.what);
        self.player.differs(difference.clone());
        Some(Err(Error::InternalError(Some(difference))))
    }
}

impl HttpBody for PlayedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if this.coming.is_none() {
            let Some((bytes, gap)) = this.pieces.next() else { return Poll::Ready(this.last_frame()) };
            this.coming = Some((bytes, this.player.time().until(this.last.saturating_add(gap))));
        }
        let Some((bytes, until)) = &mut this.coming else { return Poll::Pending };
        ready!(Pin::new(&mut *until).poll(cx));
        let (bytes, due) = (*bytes, until.due);
        this.last = due;
        this.coming = None;
        let piece = this.left.split_to(bytes.min(this.left.len()));
        if this.left.is_empty() && this.end.as_ref().is_some_and(|end| end.complete && end.trailers.is_empty()) {
            this.end = None;
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.end.is_none() && self.coming.is_none() && self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
