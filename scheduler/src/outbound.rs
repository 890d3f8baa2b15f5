//! Outbound HTTP: to the origins that the function's manifest names, at public addresses, with deadlines.
//!
//! A name is resolved once, the addresses are filtered, and the connection is made to one of those very
//! addresses, so that an answer that changes between check and use changes nothing. A redirect is an
//! answer like any other: the guest that follows it comes through here again.

use crate::{address, meter::Meter};
use bytes::Bytes;
use http::{Request, Response, Uri, uri::Scheme};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, timeout},
};
use tokio_rustls::{TlsConnector, rustls};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

/// Decides whether requests may go to an origin: `https` or not, the host (lower case, an IPv6 address in
/// brackets) and the port.
pub type AllowOrigin = dyn Fn(bool, &str, u16) -> bool + Send + Sync;

/// What a function may call.
pub struct OutboundPolicy {
    /// The origins.
    pub allow: Box<AllowOrigin>,
    /// Lets allowed names lead to private addresses: for development only.
    pub allow_private: bool,
}

impl std::fmt::Debug for OutboundPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutboundPolicy").field("allow_private", &self.allow_private).finish_non_exhaustive()
    }
}

/// Outbound requests of the whole node at once.
const NODE_REQUESTS: usize = 1024;
/// Outbound requests of one request at once.
const OPEN_REQUESTS: usize = 16;
/// Outbound requests of one request in all.
const TOTAL_REQUESTS: u64 = 1000;
/// The longest of each of the three timeouts that a guest may set, and what they are when it sets none.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);
/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;
/// Bytes that an answer's head may have.
const HEAD_BYTES: usize = 64 << 10;

/// What all outbound requests of the node share.
pub(crate) struct Outbound {
    tls: TlsConnector,
    permits: Arc<Semaphore>,
}

impl Outbound {
    pub(crate) fn new() -> Result<Self, rustls::Error> {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), permits: Arc::new(Semaphore::new(NODE_REQUESTS)) })
    }
}

/// The outbound side of one request.
pub(crate) struct RequestOutbound {
    node: Arc<Outbound>,
    policy: Arc<OutboundPolicy>,
    meter: Arc<Meter>,
    open: Arc<Semaphore>,
}

type Processed = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl RequestOutbound {
    pub(crate) fn new(node: Arc<Outbound>, policy: Arc<OutboundPolicy>, meter: Arc<Meter>) -> Self {
        Self { node, policy, meter, open: Arc::new(Semaphore::new(OPEN_REQUESTS)) }
    }

    /// Sends one request; the answer's body goes on being read from the connection.
    pub(crate) fn send(
        &self,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> impl Future<Output = Result<(Response<WasiBody>, Processed), Error>> + Send + use<> {
        let admitted = self.admit(request.uri());
        let node = self.node.clone();
        let allow_private = self.policy.allow_private;
        async move {
            let (target, permits) = admitted?;
            let stream = connect(&node, &target, allow_private, step(options.connect_timeout)).await?;
            exchange(stream, request, options, permits).await
        }
    }

    fn admit(&self, uri: &Uri) -> Result<(Target, Permits), Error> {
        let target = Target::of(uri)?;
        if !(self.policy.allow)(target.https, &target.host, target.port) {
            return Err(Error::HttpRequestDenied);
        }
        if self.meter.outbound() > TOTAL_REQUESTS {
            return Err(Error::ConnectionLimitReached);
        }
        let take =
            |permits: &Arc<Semaphore>| permits.clone().try_acquire_owned().map_err(|_| Error::ConnectionLimitReached);
        Ok((target, Permits { _request: take(&self.open)?, _node: take(&self.node.permits)? }))
    }
}

/// Held until the last byte of the answer.
struct Permits {
    _request: OwnedSemaphorePermit,
    _node: OwnedSemaphorePermit,
}

struct Target {
    https: bool,
    host: String,
    port: u16,
}

impl Target {
    fn of(uri: &Uri) -> Result<Self, Error> {
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        if authority.as_str().contains('@') {
            return Err(Error::HttpRequestUriInvalid);
        }
        let https = uri.scheme() == Some(&Scheme::HTTPS);
        let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
        Ok(Self { https, host, port: authority.port_u16().unwrap_or(if https { 443 } else { 80 }) })
    }
}

/// A guest's wish, within what is allowed. Zero and huge values are as good as any other here.
fn step(wish: Option<Duration>) -> Duration {
    wish.unwrap_or(STEP_TIMEOUT).min(STEP_TIMEOUT)
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(
    node: &Outbound,
    target: &Target,
    allow_private: bool,
    limit: Duration,
) -> Result<Box<dyn Stream>, Error> {
    let connecting = async {
        let tcp = connect_tcp(target, allow_private).await?;
        if !target.https {
            return Ok(Box::new(tcp) as Box<dyn Stream>);
        }
        let host = target.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = rustls::pki_types::ServerName::try_from(host).map_err(|_| Error::HttpRequestUriInvalid)?;
        let tls = node.tls.connect(name, tcp).await.map_err(Error::Tls)?;
        Ok(Box::new(tls) as Box<dyn Stream>)
    };
    timeout(limit, connecting).await.map_err(|_| Error::ConnectionTimeout)?
}

async fn connect_tcp(target: &Target, allow_private: bool) -> Result<TcpStream, Error> {
    let host = target.host.trim_start_matches('[').trim_end_matches(']');
    let unknown = |_| Error::DnsError { rcode: Some("the name does not resolve".into()), info_code: None };
    let resolved = tokio::net::lookup_host((host, target.port)).await.map_err(unknown)?;
    let addresses: Vec<SocketAddr> =
        resolved.filter(|address| allow_private || address::is_public(address.ip())).take(ADDRESSES).collect();
    let mut failed = Error::DestinationIpProhibited;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return stream.set_nodelay(true).map(|()| stream).map_err(Error::Connect),
            Err(error) => failed = Error::Connect(error),
        }
    }
    Err(failed)
}

async fn exchange(
    stream: Box<dyn Stream>,
    mut request: Request<WasiBody>,
    options: RequestOptions,
    permits: Permits,
) -> Result<(Response<WasiBody>, Processed), Error> {
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(HEAD_BYTES).handshake(TokioIo::new(stream)).await?;
    // Driven beside the guest: the answer's body moves while the guest does something else. Aborted when
    // the handle is dropped, with the request that it belongs to.
    let connection = wasmtime_wasi::runtime::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an outbound connection ended badly");
        }
    });
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    *request.uri_mut() = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;
    let response = timeout(step(options.first_byte_timeout), sender.send_request(request))
        .await
        .map_err(|_| Error::ConnectionReadTimeout)??;
    let gap = step(options.between_bytes_timeout);
    let response = response.map(|incoming| {
        AnswerBody { incoming, gap, silence: None, _permits: permits, _connection: connection }.boxed_unsync()
    });
    Ok((response, Box::new(async { Ok(()) })))
}

/// The body of an answer, with a limit on the silence between two frames of it.
struct AnswerBody {
    incoming: Incoming,
    gap: Duration,
    silence: Option<Pin<Box<Sleep>>>,
    _permits: Permits,
    _connection: wasmtime_wasi::runtime::AbortOnDropJoinHandle<()>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_from_the_uri_alone() {
        let target = Target::of(&"https://API.Example.com./x".parse().unwrap()).unwrap();
        assert_eq!((target.https, target.host.as_str(), target.port), (true, "api.example.com", 443));
        assert!(Target::of(&"http://good@evil/".parse().unwrap()).is_err(), "user info hides the host");
    }
}
