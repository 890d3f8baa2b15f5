//! Writes down what goes into one sandbox and what comes out, while its request runs.

use crate::capture::{Body, Data, Exchange, ExchangeResult, Fault, Headers, Message, Recorded, Response, headers_of};
use bytes::Bytes;
use http::{Request, request, response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};
use wasmtime_wasi_http::{Error, WasiBody};

/// Bytes of one capture before it is written as JSON.
const CAPTURE_BYTES: usize = 1 << 20;
/// Bytes of one body in it.
const BODY_BYTES: usize = 256 << 10;
/// What a number, or what holds one entry together, takes about.
const NUMBER_BYTES: usize = 24;

/// Takes down one request.
pub struct Recorder {
    started: Instant,
    reel: Mutex<Reel>,
}

struct Reel {
    recorded: Recorded,
    /// Bytes that there is room for.
    room: usize,
    /// What there was no room for.
    cut: BTreeSet<&'static str>,
}

/// Whose body.
#[derive(Clone, Copy)]
pub(crate) enum Whose {
    Request,
    Response,
    /// Of the outbound request of that number.
    Sent(usize),
    /// Of its answer.
    Got(usize),
}

/// Which random numbers.
#[derive(Clone, Copy)]
pub(crate) enum Randomness {
    Secure,
    Insecure,
}

impl Recorder {
    /// For a request that comes now.
    #[allow(clippy::new_without_default, reason = "it is about now")]
    pub fn new() -> Self {
        let mut recorded = Recorded::default();
        recorded.random.insecure_seed = format!("{:032x}", rand::random::<u128>());
        Self { started: Instant::now(), reel: Mutex::new(Reel { recorded, room: CAPTURE_BYTES, cut: BTreeSet::new() }) }
    }

    fn reel(&self) -> MutexGuard<'_, Reel> {
        // What it holds is whole between any two statements that could panic.
        self.reel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was written down. Nothing is, from then on.
    pub fn take(&self) -> Recorded {
        let mut reel = self.reel();
        let mut recorded = std::mem::take(&mut reel.recorded);
        recorded.truncated = reel.cut.iter().map(|what| (*what).to_owned()).collect();
        reel.room = 0;
        recorded
    }

    pub(crate) fn request(self: &Arc<Self>, head: &request::Parts, is_empty: bool) -> Tap {
        let mut reel = self.reel();
        let headers = reel.headers("the request's headers", &head.headers);
        let body = Body { complete: is_empty, ..Body::default() };
        reel.recorded.request = Message { method: head.method.to_string(), uri: head.uri.to_string(), headers, body };
        Tap { recorder: self.clone(), whose: Whose::Request, last: self.started }
    }

    pub(crate) fn response(self: &Arc<Self>, head: &response::Parts) -> Tap {
        let mut reel = self.reel();
        let headers = reel.headers("the response's headers", &head.headers);
        reel.recorded.response = Some(Response { status: head.status.as_u16(), headers, body: Body::default() });
        self.tap(Whose::Response)
    }

    fn tap(self: &Arc<Self>, whose: Whose) -> Tap {
        Tap { recorder: self.clone(), whose, last: Instant::now() }
    }

    /// Reads the wall clock.
    pub(crate) fn wall_clock(&self) -> Duration {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut reel = self.reel();
        if reel.has_room(NUMBER_BYTES, "readings of clocks") {
            reel.recorded.clocks.wall_ns.push(now.as_nanos() as u64);
        }
        now
    }

    /// Reads the monotonic clock, which counts nanoseconds from when the request came.
    pub(crate) fn monotonic_clock(&self) -> u64 {
        let now = self.started.elapsed().as_nanos() as u64;
        let mut reel = self.reel();
        if reel.has_room(NUMBER_BYTES, "readings of clocks") {
            reel.recorded.clocks.monotonic_ns.push(now);
        }
        now
    }

    pub(crate) fn random(&self, which: Randomness, bytes: &mut [u8]) {
        rand::RngCore::fill_bytes(&mut rand::rng(), bytes);
        let mut reel = self.reel();
        if reel.has_room(bytes.len(), "random numbers") {
            let random = &mut reel.recorded.random;
            let Data(taken) = match which {
                Randomness::Secure => &mut random.secure,
                Randomness::Insecure => &mut random.insecure,
            };
            taken.extend_from_slice(bytes);
        }
    }

    /// A poll of so many things found these.
    pub(crate) fn polled(&self, of: u32, ready: &[u32]) {
        let mut reel = self.reel();
        if reel.has_room(NUMBER_BYTES * (1 + ready.len()), "waits") {
            reel.recorded.waits.polls.push((of, ready.to_vec()));
        }
    }

    /// A look at one thing found it, or did not.
    pub(crate) fn looked(&self, is_ready: bool) {
        let mut reel = self.reel();
        if reel.has_room(NUMBER_BYTES, "waits") {
            reel.recorded.waits.looks.push(is_ready);
        }
    }

    pub(crate) fn insecure_seed(&self) -> u128 {
        u128::from_str_radix(&self.reel().recorded.random.insecure_seed, 16).unwrap_or_default()
    }

    /// Writes an outbound request down that is about to be sent.
    pub(crate) fn outbound(self: &Arc<Self>, request: Request<WasiBody>) -> (Request<WasiBody>, Sent) {
        let (head, body) = request.into_parts();
        let number = self.exchange(&head, body.is_end_stream());
        let body = match number {
            Some(number) => Tapped::boxed(body, self.tap(Whose::Sent(number))),
            None => body,
        };
        let sent = Sent { recorder: self.clone(), number, began: Instant::now() };
        (Request::from_parts(head, body), sent)
    }

    /// Begins an exchange; its number, if there is room for it.
    fn exchange(&self, head: &request::Parts, is_empty: bool) -> Option<usize> {
        let mut reel = self.reel();
        let uri = head.uri.to_string();
        if !reel.has_room(uri.len() + 8 * NUMBER_BYTES, "outbound requests") {
            return None;
        }
        let headers = reel.headers("headers of outbound requests", &head.headers);
        let body = Body { complete: is_empty, ..Body::default() };
        let request = Message { method: head.method.to_string(), uri, headers, body };
        reel.recorded.outbound.push(Exchange { request, after_ns: 0, result: ExchangeResult::Nothing });
        Some(reel.recorded.outbound.len() - 1)
    }

    fn came(&self, number: usize, after: Duration, result: Result<&http::Response<WasiBody>, &Error>) {
        let mut reel = self.reel();
        let result = match result {
            Ok(response) => {
                let headers = reel.headers("headers of outbound answers", response.headers());
                let body = Body { complete: response.body().is_end_stream(), ..Body::default() };
                ExchangeResult::Response(Response { status: response.status().as_u16(), headers, body })
            }
            Err(error) => ExchangeResult::Error(Fault::of(error)),
        };
        if let Some(exchange) = reel.recorded.outbound.get_mut(number) {
            exchange.after_ns = after.as_nanos() as u64;
            exchange.result = result;
        }
    }
}

impl Reel {
    /// Takes room for so many bytes. Once there was none for something, there is none for what comes after it.
    fn has_room(&mut self, bytes: usize, what: &'static str) -> bool {
        if bytes <= self.room && !self.cut.contains(what) {
            self.room -= bytes;
            return true;
        }
        self.cut.insert(what);
        false
    }

    fn headers(&mut self, what: &'static str, headers: &http::HeaderMap) -> Headers {
        let bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + NUMBER_BYTES).sum();
        if self.has_room(bytes, what) { headers_of(headers) } else { Headers::new() }
    }

    fn body(&mut self, whose: Whose) -> Option<&mut Body> {
        let recorded = &mut self.recorded;
        match whose {
            Whose::Request => Some(&mut recorded.request.body),
            Whose::Response => recorded.response.as_mut().map(|response| &mut response.body),
            Whose::Sent(number) => recorded.outbound.get_mut(number).map(|exchange| &mut exchange.request.body),
            Whose::Got(number) => match &mut recorded.outbound.get_mut(number)?.result {
                ExchangeResult::Response(response) => Some(&mut response.body),
                ExchangeResult::Error(_) | ExchangeResult::Nothing => None,
            },
        }
    }

    fn piece(&mut self, whose: Whose, piece: &[u8], gap: Duration) {
        let room = self.room;
        let Some(body) = self.body(whose) else { return };
        let kept = if body.is_cut() {
            0
        } else {
            let room = room.saturating_sub(NUMBER_BYTES).min(BODY_BYTES - body.data.0.len().min(BODY_BYTES));
            piece.len().min(room)
        };
        body.bytes += piece.len() as u64;
        if kept > 0 {
            body.data.0.extend_from_slice(&piece[..kept]);
            body.pieces.push((kept, gap.as_nanos() as u64));
            self.room -= kept + NUMBER_BYTES;
        }
        if kept < piece.len() {
            self.cut.insert(match whose {
                Whose::Request => "the request's body",
                Whose::Response => "the response's body",
                Whose::Sent(_) => "bodies of outbound requests",
                Whose::Got(_) => "bodies of outbound answers",
            });
        }
    }
}

/// An outbound request that was sent.
pub(crate) struct Sent {
    recorder: Arc<Recorder>,
    /// `None` when there was no room for it.
    number: Option<usize>,
    began: Instant,
}

impl Sent {
    /// Writes down what comes of it.
    pub(crate) async fn result<T>(
        self,
        coming: impl Future<Output = Result<(http::Response<WasiBody>, T), Error>>,
    ) -> Result<(http::Response<WasiBody>, T), Error> {
        let result = coming.await;
        let Self { recorder, number: Some(number), began } = self else { return result };
        recorder.came(number, began.elapsed(), result.as_ref().map(|(response, _)| response));
        let (response, rest) = result?;
        Ok((response.map(|body| Tapped::boxed(body, recorder.tap(Whose::Got(number)))), rest))
    }
}

/// Sees the frames of a body pass.
pub(crate) struct Tap {
    recorder: Arc<Recorder>,
    whose: Whose,
    /// When the one before came.
    last: Instant,
}

impl Tap {
    /// Sees what came of asking for a frame, and whether it was the last one; the error is written down by `name`.
    pub(crate) fn saw<E>(
        &mut self,
        polled: &Poll<Option<Result<Frame<Bytes>, E>>>,
        is_last: bool,
        name: impl FnOnce(&E) -> Fault,
    ) {
        let Poll::Ready(frame) = polled else { return };
        let now = Instant::now();
        let gap = now.duration_since(std::mem::replace(&mut self.last, now));
        let mut reel = self.recorder.reel();
        if let Some(Ok(frame)) = frame {
            if let Some(piece) = frame.data_ref() {
                reel.piece(self.whose, piece, gap);
            } else if let Some(trailers) = frame.trailers_ref() {
                let trailers = reel.headers("trailers", trailers);
                if let Some(body) = reel.body(self.whose) {
                    body.trailers = trailers;
                }
            }
        }
        let Some(body) = reel.body(self.whose) else { return };
        match frame {
            Some(Err(error)) => body.error = Some(name(error)),
            Some(Ok(frame)) => body.complete |= is_last || frame.is_trailers(),
            None => body.complete = true,
        }
    }

    /// Sees a body that is all here.
    pub(crate) fn saw_whole<'a>(&mut self, pieces: impl Iterator<Item = &'a Bytes>) {
        let mut reel = self.recorder.reel();
        for piece in pieces {
            reel.piece(self.whose, piece, Duration::ZERO);
        }
        if let Some(body) = reel.body(self.whose) {
            body.complete = true;
        }
    }
}

/// A body of an outbound request, or of an answer, that is written down as it passes.
struct Tapped {
    inner: WasiBody,
    tap: Tap,
}

impl Tapped {
    fn boxed(inner: WasiBody, tap: Tap) -> WasiBody {
        Self { inner, tap }.boxed_unsync()
    }
}

impl HttpBody for Tapped {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        this.tap.saw(&polled, this.inner.is_end_stream(), Fault::of);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(recorder: &Recorder, whose: Whose, bytes: usize) {
        recorder.reel().piece(whose, &vec![b'x'; bytes], Duration::ZERO);
    }

    #[test]
    fn a_capture_has_so_much_room_and_says_what_there_was_none_for() {
        let recorder = Arc::new(Recorder::new());
        for _ in 0..10 {
            piece(&recorder, Whose::Request, 100_000);
        }
        let mut bytes = [0; 60_000];
        for _ in 0..20 {
            recorder.random(Randomness::Secure, &mut bytes);
        }
        let recorded = recorder.take();
        let body = &recorded.request.body;
        assert_eq!((body.data.0.len(), body.bytes, body.is_cut()), (BODY_BYTES, 1_000_000, true));
        assert_eq!(body.pieces.iter().map(|(bytes, _)| bytes).sum::<usize>(), BODY_BYTES);
        let random = recorded.random.secure.0.len();
        assert!(random.is_multiple_of(60_000) && random + BODY_BYTES < CAPTURE_BYTES, "{random}");
        assert_eq!(recorded.truncated, ["random numbers", "the request's body"]);
        piece(&recorder, Whose::Request, 1);
        assert!(recorder.take().request.body.data.0.is_empty(), "it was taken already");
    }
}
