//! One request on one connection: connect, send, and hand the answer over.

use super::{
    Outbound,
    destination::Target,
    permits::Permits,
    upload::{self, Upload},
};
use crate::meter::{self, Meter};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, Sleep, timeout},
};
use tokio_rustls::rustls::pki_types::ServerName;
use wasmtime_wasi::runtime::AbortOnDropJoinHandle;
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
    pub(super) meter: Arc<Meter>,
    pub(super) target: Target,
    pub(super) allow_private: bool,
    pub(super) permits: Permits,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Exchange {
    pub(super) async fn run(
        self,
        request: Request<Upload>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, Error> {
        let deadlines = self.node.deadlines;
        let exchange = async {
            let connecting = timeout(deadlines.step(options.connect_timeout), self.connect());
            let stream = connecting.await.map_err(|_| Error::ConnectionTimeout)??;
            self.send(stream, request, options).await
        };
        timeout(deadlines.exchange, exchange).await.map_err(|_| Error::HttpResponseTimeout)?
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

    async fn send(
        self,
        stream: Box<dyn Stream>,
        mut request: Request<Upload>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, Error> {
        let Self { node, meter, permits, .. } = self;
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(HEAD_BYTES).handshake(TokioIo::new(stream)).await?;
        // Driven beside the guest: the answer's body moves while the guest does something else. Aborted when
        // the handle is dropped, with the request that it belongs to.
        let connection = wasmtime_wasi::runtime::spawn(meter::charged(meter.clone(), async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an outbound connection ended badly");
            }
        }));
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        *request.uri_mut() = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;
        let sent = timeout(node.deadlines.step(options.first_byte_timeout), sender.send_request(request)).await;
        let response = match sent.map_err(|_| Error::ConnectionReadTimeout)? {
            // The connection says only that the body failed.
            Err(_) if meter.uploads() > node.upload_bytes => return Err(upload::too_large(node.upload_bytes)),
            sent => sent?,
        };
        let gap = node.deadlines.step(options.between_bytes_timeout);
        Ok(response.map(|incoming| {
            AnswerBody { incoming, gap, silence: None, _permits: permits, _connection: connection }.boxed_unsync()
        }))
    }
}

/// The body of an answer, with a limit on the silence between two frames of it.
struct AnswerBody {
    incoming: Incoming,
    gap: Duration,
    silence: Option<Pin<Box<Sleep>>>,
    _permits: Permits,
    _connection: AbortOnDropJoinHandle<()>,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.silence = None;
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

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
