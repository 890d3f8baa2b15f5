//! Accepting connections and serving HTTP/1.1 and HTTP/2 on them, with limits on what a client may hold.

use crate::{
    drain::{CLOSING, Drain},
    forwarding::{self, Peer},
    newcomers,
    patient_stream::{Client, PatientStream},
    problem::Problem,
    request_id::RequestId,
    tls,
};
use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Response},
};
use http::{Request, StatusCode, uri::Scheme};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use prometheus::IntGauge;
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower::ServiceExt;

/// What a client may hold on one listener.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionLimits {
    pub(crate) connections: u32,
    /// For the head of a request, and for the rest between two requests.
    pub(crate) header_timeout: Duration,
    /// For a client that does not take what is sent to it.
    pub(crate) write_timeout: Duration,
    pub(crate) header_bytes: usize,
}

/// Bytes of a body that one read of an HTTP/1 connection may bring, and that wait for one write. A body of 64 KiB comes
/// with its head in one piece. More would serve those who stream, three times as much by a quarter, at the cost of all
/// others: connections take turns, and this is what one of them may move in its turn.
const READ_BYTES: usize = 128 << 10;
/// Heads that are larger than the limit, but not by more than this factor, are read, so that their clients can be told
/// what is wrong; the HTTP server itself refuses others with a bare 431.
const HEAD_READ: usize = 2;
/// Requests of one HTTP/2 connection at once.
const STREAMS: u32 = 200;
/// Bytes of the headers of one HTTP/2 request.
const HTTP2_HEADER_BYTES: u32 = 16 << 10;
/// Streams that a client reset and we have yet to forget: past it the connection ends (CVE-2023-44487).
const RESET_STREAMS: usize = 20;
/// Ping of an HTTP/2 connection that is silent.
const HTTP2_PING: Duration = Duration::from_secs(20);
/// How long a listener that is about to be closed waits for handshakes under way.
const HANDSHAKES: Duration = Duration::from_millis(100);
/// How long to wait when the process has no file descriptor left for a connection.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Where a request came from.
pub(crate) struct Arrival {
    pub(crate) peer: Arc<Peer>,
    /// Whose end has to be looked for: over HTTP/1.1, where the server does not always read.
    pub(crate) client: Option<Client>,
}

/// What answers requests.
pub(crate) trait Handler: Clone + Send + Sync + 'static {
    /// Every request has an answer; the result is what the server and routers ask for.
    fn handle(
        self,
        request: Request<Incoming>,
        arrival: Arrival,
    ) -> impl Future<Output = Result<Response, Infallible>> + Send;
}

/// Handlers of a router find the [`Peer`] among the extensions of the request.
impl Handler for Router {
    async fn handle(self, mut request: Request<Incoming>, arrival: Arrival) -> Result<Response, Infallible> {
        request.extensions_mut().insert(Peer::clone(&arrival.peer));
        self.oneshot(request.map(Body::new)).await
    }
}

/// A listener with what it serves.
pub(crate) struct Plane<H> {
    pub(crate) listener: TcpListener,
    pub(crate) handler: H,
    pub(crate) limits: ConnectionLimits,
    pub(crate) open: IntGauge,
    pub(crate) drain: Drain,
    /// Of a listener that speaks TLS.
    pub(crate) tls: Option<TlsAcceptor>,
}

impl<H: Handler> Plane<H> {
    /// Accepts until the drain stops it.
    pub(crate) async fn serve(self) {
        let permits = Arc::new(Semaphore::new(self.limits.connections as usize));
        let protocols = Arc::new(Protocols::new(&self.limits));
        let mut full = false;
        loop {
            let accepted = tokio::select! {
                accepted = accept(&self.listener, &permits) => accepted,
                () = self.drain.stopping() => break,
            };
            match accepted {
                Ok((stream, peer, permit)) => {
                    full = false;
                    self.connect(&protocols, stream, peer, permit);
                }
                // One that broke while it waited; the next may be fine.
                Err(error) if is_of_connection(&error) => tracing::debug!(%error, "a connection ended early"),
                Err(error) => {
                    // Said once, not twenty times a second for as long as it lasts.
                    if !std::mem::replace(&mut full, true) {
                        tracing::warn!(%error, "no connection can be accepted; those that come wait");
                    }
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
        if let Err(error) = newcomers::hold_off(&self.listener) {
            tracing::warn!(%error, "connections that begin now may be reset");
        }
        // The kernel has accepted these for us, or is about to: closing the listener would reset them.
        let end = Instant::now() + HANDSHAKES;
        while let Ok(Ok((stream, peer, permit))) = timeout_at(end, accept(&self.listener, &permits)).await {
            self.connect(&protocols, stream, peer, permit);
        }
    }

    fn connect(&self, protocols: &Arc<Protocols>, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        let connection = Connection {
            protocols: protocols.clone(),
            handler: self.handler.clone(),
            limits: self.limits.clone(),
            drain: self.drain.clone(),
            tls: self.tls.clone(),
        };
        let open = OpenConnection::new(self.open.clone(), permit);
        self.drain.track(async move {
            connection.serve(stream, peer).await;
            drop(open);
        });
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    // First the permit: connections over the limit wait in the kernel, which bounds them too.
    let permit = permits.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer, permit))
}

/// Whether an error of accepting is of the one connection, and not of the process.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::ConnectionRefused | K::Interrupted)
}

/// The HTTP servers, as they are set up for each connection.
struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Protocols {
    fn new(limits: &ConnectionLimits) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_header_size(limits.header_bytes * HEAD_READ)
            .max_buf_size(READ_BYTES.max(limits.header_bytes * HEAD_READ));
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HTTP2_HEADER_BYTES)
            .max_pending_accept_reset_streams(RESET_STREAMS)
            .keep_alive_interval(HTTP2_PING)
            .keep_alive_timeout(limits.header_timeout);
        Self { http1, http2 }
    }
}

/// How every connection of HTTP/2 begins (RFC 9113, section 3.4), and no other does: there is no such method.
const PREFACE: &[u8; 4] = b"PRI ";
/// Before the second look at a connection of which so few bytes have come that it could be either. It doubles from look
/// to look: thousands of clients that send one byte and no more shall not keep a processor busy.
const PREFACE_LOOK: Duration = Duration::from_millis(1);

/// Waits for the first bytes, and leaves them where they are.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let (mut first, mut pause) = ([0; PREFACE.len()], PREFACE_LOOK);
    loop {
        let come = stream.peek(&mut first).await?;
        if come == 0 || first[..come] != PREFACE[..come] {
            return Ok(false);
        }
        if come == PREFACE.len() {
            return Ok(true);
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// Bytes of the head of a request, about as HTTP/1 sends it: its line, and a line for each header.
fn head_bytes(request: &Request<Incoming>) -> usize {
    const PER_LINE: usize = 4;
    let line = request.uri().path_and_query().map_or(1, |path| path.as_str().len());
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + PER_LINE);
    line + headers.sum::<usize>()
}

fn head_too_large(request: &Request<Incoming>, limit: usize) -> Response {
    let id = RequestId::of(request.headers());
    let detail = format!("the line and the headers of a request may have {limit} bytes (--max-header-bytes)");
    let (status, code) = (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-large");
    let problem = Problem::platform(status, code, "Head too large", detail);
    let mut response = problem.with_request_id(id.as_str()).into_response();
    id.put(response.headers_mut());
    forwarding::ask_to_leave(response.headers_mut(), request.version());
    response
}

/// Counts a connection while it is open.
struct OpenConnection {
    open: IntGauge,
    _permit: OwnedSemaphorePermit,
}

impl OpenConnection {
    fn new(open: IntGauge, permit: OwnedSemaphorePermit) -> Self {
        open.inc();
        Self { open, _permit: permit }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.open.dec();
    }
}

struct Connection<H> {
    protocols: Arc<Protocols>,
    handler: H,
    limits: ConnectionLimits,
    drain: Drain,
    tls: Option<TlsAcceptor>,
}

impl<H: Handler> Connection<H> {
    async fn serve(self, stream: TcpStream, peer: SocketAddr) {
        let came = Instant::now();
        let drain = self.drain.clone();
        let mut stop = pin!(async {
            drain.stopping().await;
            // A client that has only just come is about to ask for something.
            tokio::time::sleep_until(came + CLOSING).await;
        });
        let begun = timeout(self.limits.header_timeout, self.begin(stream));
        let begun = tokio::select! {
            biased;
            begun = begun => begun,
            () = &mut stop => return,
        };
        let ended = match begun {
            Ok(Ok(Some(Begun::Plain { stream, is_http2 }))) => {
                let client = stream.client();
                self.exchange(stream, client, Peer::new(peer, Scheme::HTTP), is_http2, stop).await
            }
            Ok(Ok(Some(Begun::Tls { stream, is_http2 }))) => {
                let client = stream.get_ref().0.client();
                self.exchange(stream, client, Peer::new(peer, Scheme::HTTPS), is_http2, stop).await
            }
            // Nothing is asked on it.
            Ok(Ok(None)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            // It has said nothing in all that time.
            Err(_) => return,
        };
        if let Err(error) = ended {
            // Clients break connections in every possible way: that is no event for an operator.
            tracing::debug!(%peer, error, "a connection ended early");
        }
    }

    /// Finds out what is spoken.
    async fn begin(&self, stream: TcpStream) -> io::Result<Option<Begun>> {
        let Some(tls) = &self.tls else {
            let is_http2 = speaks_http2(&stream).await?;
            return Ok(Some(Begun::Plain { stream: PatientStream::new(stream, &self.limits), is_http2 }));
        };
        // Much to remember, and not for long.
        let stream = Box::pin(tls.accept(PatientStream::new(stream, &self.limits))).await?;
        let is_http2 = match stream.get_ref().1.alpn_protocol() {
            Some(tls::ACME) => return Ok(None),
            chosen => chosen == Some(tls::HTTP2),
        };
        Ok(Some(Begun::Tls { stream: Box::new(stream), is_http2 }))
    }

    /// Serves requests until the connection ends.
    async fn exchange(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        client: Client,
        peer: Peer,
        is_http2: bool,
        stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), String> {
        let (handler, peer, header_bytes) = (self.handler, Arc::new(peer), self.limits.header_bytes);
        // HTTP/2 always reads, and so notices by itself.
        let client = (!is_http2).then_some(client);
        let service = service_fn(move |request: Request<Incoming>| {
            let arrival = Arrival { peer: peer.clone(), client: client.clone() };
            let handler = (head_bytes(&request) <= header_bytes).then(|| handler.clone());
            async move {
                match handler {
                    Some(handler) => handler.handle(request, arrival).await,
                    None => Ok(head_too_large(&request, header_bytes)),
                }
            }
        });
        let (stream, drain) = (TokioIo::new(stream), &self.drain);
        if is_http2 {
            until_stopped(self.protocols.http2.serve_connection(stream, service), stop, drain).await
        } else {
            until_stopped(self.protocols.http1.serve_connection(stream, service), stop, drain).await
        }
    }
}

/// A connection of which is known what is spoken on it.
enum Begun {
    Plain { stream: PatientStream, is_http2: bool },
    Tls { stream: Box<TlsStream<PatientStream>>, is_http2: bool },
}

/// Drives a connection to its end, which `stop` makes it come to once its requests are answered.
async fn until_stopped(
    connection: impl GracefulConnection<Error = hyper::Error>,
    stop: Pin<&mut impl Future<Output = ()>>,
    drain: &Drain,
) -> Result<(), String> {
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = &mut connection => ended,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = &mut connection => ended,
                () = drain.cut() => return Ok(()),
            }
        }
    };
    ended.map_err(|error| error.to_string())
}
