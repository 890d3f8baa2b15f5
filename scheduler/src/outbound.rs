//! Outbound HTTP: to the origins that the function's manifest names, at public addresses, with deadlines.
//!
//! A name is resolved once, the addresses are filtered, and the connection is made to one of those very
//! addresses, so that an answer that changes between check and use changes nothing. A redirect is an
//! answer like any other: the guest that follows it comes through here again.

mod destination;
mod exchange;
mod kept;
mod permits;
mod upload;

use crate::{
    cdn_loop::CameBy,
    meter::{self, Meter},
    stdio::{LogSink, OutputStream},
    trace::{self, TraceOutbound},
};
use destination::{Destinations, Resolve, Target};
use exchange::Deadlines;
use http::{Request, Response, Uri};
use kept::Kept;
use permits::{NodePermits, Permits, RequestPermits};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::sync::Semaphore;
use tokio_rustls::{TlsConnector, rustls};
use upload::Upload;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

/// Decides whether requests may go to an origin: `https` or not, the host (lower case, an IPv6 address in
/// brackets) and the port.
pub type AllowOrigin = dyn Fn(bool, &str, u16) -> bool + Send + Sync;

/// What a function may call, and the connections that it has left open.
pub struct OutboundPolicy {
    namespace: String,
    allow: Box<AllowOrigin>,
    allow_private: bool,
    kept: Arc<Kept>,
}

impl OutboundPolicy {
    /// For a function of a namespace, by which requests are counted. `allow` says to which origins they may go.
    /// `allow_private` lets their names lead to private addresses: for development only.
    pub fn new(namespace: String, allow: Box<AllowOrigin>, allow_private: bool) -> Self {
        Self { namespace, allow, allow_private, kept: Arc::default() }
    }
}

impl std::fmt::Debug for OutboundPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutboundPolicy")
            .field("namespace", &self.namespace)
            .field("allow_private", &self.allow_private)
            .finish_non_exhaustive()
    }
}

/// Outbound requests of one request in all.
const TOTAL_REQUESTS: u64 = 1000;
/// Bytes that one request may send out in the bodies of all its outbound requests. The limits on bodies in a
/// function's manifest are about its clients; this one keeps a single call from filling somebody's disk.
const UPLOAD_BYTES: u64 = 1 << 30;
/// Connections on the node that rest, of all functions.
const KEPT_CONNECTIONS: usize = 1024;

/// What all outbound requests of the node share.
pub(crate) struct Outbound {
    tls: TlsConnector,
    permits: NodePermits,
    destinations: Destinations,
    deadlines: Deadlines,
    upload_bytes: u64,
    /// Places for connections that rest.
    kept_connections: Arc<Semaphore>,
}

impl Outbound {
    /// `control` is the address of the control plane, which no function ever reaches.
    pub(crate) fn new(control: SocketAddr) -> Result<Self, rustls::Error> {
        Self::with_resolver(control, destination::system_resolver())
    }

    fn with_resolver(control: SocketAddr, resolve: Box<Resolve>) -> Result<Self, rustls::Error> {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            permits: NodePermits::default(),
            destinations: Destinations::new(control, resolve),
            deadlines: Deadlines::default(),
            upload_bytes: UPLOAD_BYTES,
            kept_connections: Arc::new(Semaphore::new(KEPT_CONNECTIONS)),
        })
    }
}

/// The outbound side of one request.
pub(crate) struct RequestOutbound {
    node: Arc<Outbound>,
    policy: Arc<OutboundPolicy>,
    meter: Arc<Meter>,
    permits: RequestPermits,
    came_by: CameBy,
    logs: Arc<dyn LogSink>,
    /// An origin was refused, which is said once: a guest may try again and again.
    has_refused: AtomicBool,
}

type Processed = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl RequestOutbound {
    /// What its developer should know goes to `logs`.
    pub(crate) fn new(
        node: Arc<Outbound>,
        policy: Arc<OutboundPolicy>,
        meter: Arc<Meter>,
        came_by: CameBy,
        logs: Arc<dyn LogSink>,
    ) -> Self {
        let (permits, has_refused) = (RequestPermits::default(), AtomicBool::new(false));
        Self { node, policy, meter, permits, came_by, logs, has_refused }
    }

    /// True when there are requests whose answers are not read to their ends.
    pub(crate) fn is_busy(&self) -> bool {
        self.permits.are_taken()
    }

    /// Sends one request; the answer's body goes on being read from the connection.
    pub(crate) fn send(
        &self,
        mut request: Request<WasiBody>,
        options: RequestOptions,
    ) -> impl Future<Output = Result<(Response<WasiBody>, Processed), Error>> + Send + use<> {
        self.came_by.mark(request.headers_mut());
        let (request, trace) = self.traced(request);
        // In a task of its own, which is polled beside the guest and never within it, so that its CPU time is counted
        // once. Aborted when the handle is dropped, with the request that it belongs to.
        let admitted = self.admit(request.uri());
        if let (Err(error), Some(trace)) = (&admitted, &trace) {
            trace::tell(&**trace, Err(error));
        }
        let sending = admitted.map(|(target, permits)| {
            let (node, meter, allow_private) = (self.node.clone(), self.meter.clone(), self.policy.allow_private);
            let kept = self.policy.kept.clone();
            let request = request.map(|body| Upload::new(body, node.upload_bytes, meter.clone()));
            let exchange = exchange::Exchange {
                node,
                meter: meter.clone(),
                target,
                allow_private,
                kept,
                trace,
                _permits: permits,
            };
            wasmtime_wasi::runtime::spawn(meter::charged(meter, exchange.run(request, options)))
        });
        async move {
            let response = sending?.await?;
            Ok((response, Box::new(async { Ok(()) }) as Processed))
        }
    }

    fn traced(&self, request: Request<WasiBody>) -> (Request<WasiBody>, Option<Arc<dyn TraceOutbound>>) {
        let Some(trace) = self.meter.trace() else { return (request, None) };
        let (mut head, body) = request.into_parts();
        let trace = trace.outbound(&mut head);
        (Request::from_parts(head, body), trace)
    }

    fn admit(&self, uri: &Uri) -> Result<(Target, Permits), Error> {
        let target = Target::of(uri)?;
        if !(self.policy.allow)(target.https, &target.host, target.port) {
            self.log_refusal(&target);
            return Err(Error::HttpRequestDenied);
        }
        if self.meter.outbound() > TOTAL_REQUESTS {
            return Err(Error::ConnectionLimitReached);
        }
        let permits = self.node.permits.take(&self.permits, &self.policy.namespace);
        Ok((target, permits.ok_or(Error::ConnectionLimitReached)?))
    }

    /// Tells the developer, who otherwise finds no more than an error code, which line of the manifest is missing.
    fn log_refusal(&self, target: &Target) {
        if self.has_refused.swap(true, Relaxed) {
            return;
        }
        let (scheme, usual_port) = if target.https { ("https", 443) } else { ("http", 80) };
        let port = if target.port == usual_port { String::new() } else { format!(":{}", target.port) };
        let origin = format!("{scheme}://{}{port}", target.host);
        let line = format!("a request to {origin} was refused: write it into `allow` below [outbound] in wasmway.toml");
        self.logs.line(OutputStream::Stderr, &line);
    }
}

#[cfg(test)]
mod tests;
