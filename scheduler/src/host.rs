//! What a guest finds around it: WASI with clocks, random numbers, its own environment, output that goes
//! to the log and outbound HTTP to allowed origins. Files and sockets are linked, since the standard
//! libraries of several languages import them, but there are none.

use crate::{
    component::World,
    limits::{FIELDS_BYTES, HOST_RESOURCES, MemoryLimiter, RANDOM_BYTES, WRITE_BYTES},
    outbound::RequestOutbound,
    stdio::GuestOutput,
};
use http::{HeaderName, Request, Response, header};
use std::sync::Arc;
use wasmtime::{
    Engine,
    component::{Linker, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView,
    WasiHttpHooks, WasiHttpView,
};

/// The data of a request's store.
pub(crate) struct Host {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    hooks: Hooks,
    pub(crate) limiter: MemoryLimiter,
}

/// What of the host's state belongs to one request.
pub(crate) struct HostSetup<'a> {
    pub(crate) env: &'a [(String, String)],
    pub(crate) stdout: GuestOutput,
    pub(crate) stderr: GuestOutput,
    pub(crate) outbound: RequestOutbound,
    pub(crate) limiter: MemoryLimiter,
}

impl Host {
    pub(crate) fn new(setup: HostSetup<'_>) -> Self {
        let wasi = WasiCtx::builder()
            .envs(setup.env)
            .stdout(setup.stdout)
            .stderr(setup.stderr)
            .max_random_size(RANDOM_BYTES)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELDS_BYTES);
        let mut table = ResourceTable::new();
        table.set_max_capacity(HOST_RESOURCES);
        Self { wasi, http, table, hooks: Hooks { outbound: setup.outbound }, limiter: setup.limiter }
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

struct Hooks {
    outbound: RequestOutbound,
}

type SentRequest = Result<
    (Response<WasiBody>, Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>),
    wasmtime_wasi_http::Error,
>;

impl WasiHttpHooks for Hooks {
    // The default makes an `Arc` for every header that it is asked about.
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_forbidden)
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_processed: Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>,
    ) -> Box<dyn Future<Output = SentRequest> + Send> {
        Box::new(self.outbound.send(request, options.unwrap_or_default()))
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        WRITE_BYTES
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        WRITE_BYTES
    }
}

/// Headers that belong to the connection and not to the message: a guest neither sets nor sees them.
fn is_forbidden(name: &HeaderName) -> bool {
    // The set is compared as a whole only for names that could be in it: most are told apart by this.
    *name != header::CONTENT_TYPE && DEFAULT_FORBIDDEN_HEADERS.contains(name)
}

/// Everything that a component of `world` may import.
pub(crate) fn linker(engine: &Engine, world: World) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    if world == World::Http03 {
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    }
    Ok(linker)
}
