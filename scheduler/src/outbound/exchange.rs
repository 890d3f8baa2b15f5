//! One request on one connection: find one or connect, send, and hand the answer over.

use super::{
    Outbound,
    destination::Target,
    kept::{Kept, Link},
    permits::Permits,
    upload::{self, Upload},
};
use crate::{
    meter::Meter,
    trace::{self, TraceOutbound},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use hyper_util::rt::TokioIo;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, Sleep, timeout},
};
use tokio_rustls::rustls::pki_types::ServerName;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

/// Bytes that an answer's head may have.
const HEAD_BYTES: usize = 64 << 10;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    /// The longest of each of the three timeouts that a guest may set, and what they are when it sets none.
    pub(super) step: Duration,
    /// Everything up to the answer's head: name, connection, TLS, request and the wait.
    pub(super) exchange: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { step: Duration::from_secs(30), exchange: Duration::from_secs(60) }
    }
}

/// How long a connection that is open may take to be ready for a request.
const READY: Duration = Duration::from_millis(100);

/// The shortest timeout: a guest that asks for none at all gets next to none.
const STEP_MIN: Duration = Duration::from_millis(1);

impl Deadlines {
    /// A guest's wish, within what is allowed.
    pub(super) fn step(&self, wish: Option<Duration>) -> Duration {
        wish.unwrap_or(self.step).clamp(STEP_MIN, self.step)
    }
}

/// A request that was let out.
pub(super) struct Exchange {
    pub(super) node: Arc<Outbound>,
    /// Ends with the answer's body, and before the request that it is a part of: so it stands before the meter.
    pub(super) trace: Option<Arc<dyn TraceOutbound>>,
    pub(super) meter: Arc<Meter>,
    pub(super) target: Target,
    pub(super) allow_private: bool,
    pub(super) kept: Arc<Kept>,
    pub(super) _permits: Permits,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Exchange {
    pub(super) async fn run(
        self,
        mut request: Request<Upload>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, Error> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        *request.uri_mut() = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;
        let (deadline, trace) = (self.node.deadlines.exchange, self.trace.clone());
        let sent = timeout(deadline, self.exchange(request, options)).await;
        let sent = sent.unwrap_or(Err(Error::HttpResponseTimeout));
        if let Some(trace) = trace {
            trace::tell(&*trace, sent.as_ref().map(Response::status));
        }
        sent
    }

    async fn exchange(
        self,
        mut request: Request<Upload>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, Error> {
        let deadlines = self.node.deadlines;
        while let Some(mut link) = self.kept.take(&self.target) {
            link.paid_by(Some(self.meter.clone()));
            // One that its server has closed meanwhile hands the request back, untouched.
            match self.send(&mut link, request, options).await? {
                Ok(response) => return Ok(self.answer(link, response, options)),
                Err(unsent) => request = unsent,
            }
        }
        let connecting = timeout(deadlines.step(options.connect_timeout), self.connect());
        let stream = connecting.await.map_err(|_| Error::ConnectionTimeout)??;
        let (sender, connection) =
            http1::Builder::new().max_buf_size(HEAD_BYTES).handshake(TokioIo::new(stream)).await?;
        let mut link = Link::new(sender, connection);
        link.paid_by(Some(self.meter.clone()));
        match self.send(&mut link, request, options).await? {
            Ok(response) => Ok(self.answer(link, response, options)),
            Err(_) => Err(Error::ConnectionTerminated),
        }
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, Error> {
        let Self { node, target, .. } = self;
        let tcp = self.connect_tcp().await?;
        if !target.https {
            return Ok(Box::new(tcp));
        }
        let name = ServerName::try_from(target.bare_host().to_owned()).map_err(|_| Error::HttpRequestUriInvalid)?;
        let tls = node.tls.connect(name, tcp).await.map_err(Error::Tls)?;
        Ok(Box::new(tls))
    }

    async fn connect_tcp(&self) -> Result<TcpStream, Error> {
        let mut failed = Error::DestinationNotFound;
        for address in self.node.destinations.of(&self.target, self.allow_private).await? {
            match TcpStream::connect(address).await {
                Ok(stream) => return stream.set_nodelay(true).map(|()| stream).map_err(Error::Connect),
                Err(error) => failed = Error::Connect(error),
            }
        }
        Err(failed)
    }

    /// Sends the request and waits for the head of the answer; the inner error is the request, of which nothing was sent.
    async fn send(
        &self,
        link: &mut Link,
        request: Request<Upload>,
        options: RequestOptions,
    ) -> Result<Result<Response<Incoming>, Request<Upload>>, Error> {
        // An earlier request may still be sending a body that its answer did not wait for.
        if !matches!(timeout(READY, link.sender.ready()).await, Ok(Ok(()))) {
            return Ok(Err(request));
        }
        let wait = self.node.deadlines.step(options.first_byte_timeout);
        let sent = timeout(wait, link.sender.try_send_request(request)).await;
        match sent.map_err(|_| Error::ConnectionReadTimeout)? {
            Ok(response) => Ok(Ok(response)),
            Err(error) => self.unsent(error).map(Err),
        }
    }

    fn unsent(&self, mut error: TrySendError<Request<Upload>>) -> Result<Request<Upload>, Error> {
        // The connection says only that the body failed.
        if self.meter.uploads() > self.node.upload_bytes {
            return Err(upload::too_large(self.node.upload_bytes));
        }
        error.take_message().ok_or_else(|| error.into_error().into())
    }

    fn answer(self, link: Link, response: Response<Incoming>, options: RequestOptions) -> Response<WasiBody> {
        let gap = self.node.deadlines.step(options.between_bytes_timeout);
        response.map(|incoming| {
            let link = Some((link, self));
            let mut body = AnswerBody { incoming, gap, silence: None, link };
            if body.is_end_stream() {
                body.let_rest();
            }
            body.boxed_unsync()
        })
    }
}

/// The body of an answer, with a limit on the silence between two frames of it.
struct AnswerBody {
    incoming: Incoming,
    gap: Duration,
    silence: Option<Pin<Box<Sleep>>>,
    /// The connection that it comes by, until it is read to its end, with the permits.
    link: Option<(Link, Exchange)>,
}

impl AnswerBody {
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.silence = None;
                if frame.is_none() || self.is_end_stream() {
                    self.let_rest();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Error::from)))
            }
            Poll::Pending => {
                let gap = self.gap;
                let silence =
                    self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + gap)));
                silence.as_mut().poll(cx).map(|()| Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }

    /// Lets the connection rest: all has been read from it.
    fn let_rest(&mut self) {
        if let Some((link, Exchange { node, target, kept, .. })) = self.link.take() {
            kept.put(target, link, &node.kept_connections);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(self.poll_incoming(cx));
        if let (Some(Err(error)), Some((_, Exchange { trace: Some(trace), .. }))) = (&frame, &self.link) {
            trace::tell(&**trace, Err(error));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
