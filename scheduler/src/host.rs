//! What a guest finds around it: WASI with clocks, random numbers, its own environment, output that goes
//! to the log and outbound HTTP to allowed origins. Files and sockets are linked, since the standard
//! libraries of several languages import them, but there are none.

use crate::{
    component::World,
    flat::Calls,
    limits::{FIELDS_BYTES, HOST_RESOURCES, MemoryLimiter, RANDOM_BYTES, WAITING_WRITES, WRITE_BYTES},
    meter::Meter,
    outbound::RequestOutbound,
    stdio::{GuestOutput, LogSink, OutputStream},
    tape::{Tape, Waiting},
};
use http::{HeaderName, Request, Response};
use std::sync::Arc;
use wasmtime::{
    Engine,
    component::{Linker, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView, p2::bindings::clocks::monotonic_clock};
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView,
    WasiHttpHooks, WasiHttpView,
};
use wasmtime_wasi_io::{IoView, bindings::wasi::io::poll};

/// The data of a request's store.
pub(crate) struct Host {
    around: Surroundings,
    /// Made of `around` when the guest asks for any of it. Many never do.
    wasi: Option<Wasi>,
    http: WasiHttpCtx,
    table: ResourceTable,
    hooks: Hooks,
    pub(crate) limiter: MemoryLimiter,
    /// Of a flat component.
    calls: Calls,
}

/// WASI as a guest sees it.
struct Wasi {
    ctx: WasiCtx,
    /// What it prints to.
    outputs: [GuestOutput; 2],
}

/// What a guest can find of the world, beside HTTP.
pub(crate) struct Surroundings {
    pub(crate) env: Arc<[(String, String)]>,
    pub(crate) logs: Arc<dyn LogSink>,
    /// Of a request that is recorded or played.
    pub(crate) tape: Option<Tape>,
}

impl Surroundings {
    fn wasi(&self) -> Wasi {
        let outputs =
            [OutputStream::Stdout, OutputStream::Stderr].map(|stream| GuestOutput::new(stream, self.logs.clone()));
        let mut wasi = WasiCtx::builder();
        if let Some(tape) = &self.tape {
            tape.put_into(&mut wasi);
        }
        let ctx = wasi
            .envs(&self.env)
            .stdout(outputs[0].clone())
            .stderr(outputs[1].clone())
            .max_random_size(RANDOM_BYTES)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        Wasi { ctx, outputs }
    }
}

impl Host {
    pub(crate) fn new(around: Surroundings, outbound: RequestOutbound, limiter: MemoryLimiter) -> Self {
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELDS_BYTES);
        let hooks = Hooks { outbound: Some(outbound), tape: around.tape.clone() };
        Self { around, wasi: None, http, table: empty_table(), hooks, limiter, calls: Calls::default() }
    }

    pub(crate) fn meter(&self) -> &Arc<Meter> {
        self.limiter.meter()
    }

    /// From here on the instance works for another request of its function; without `outbound` for none, until it gets one.
    pub(crate) fn work_for(&mut self, logs: Arc<dyn LogSink>, outbound: Option<RequestOutbound>, meter: Arc<Meter>) {
        for output in self.wasi.iter().flat_map(|wasi| &wasi.outputs) {
            output.hand_over(logs.clone());
        }
        self.around.logs = logs;
        self.hooks.outbound = outbound;
        self.limiter.work_for(meter);
    }

    /// For an instance that is as it was made, with nothing of the host's.
    pub(crate) fn begin_again(&mut self) {
        self.table = empty_table();
        self.wasi = None;
    }

    /// What a flat component is doing.
    pub(crate) fn calls(&mut self) -> &mut Calls {
        &mut self.calls
    }

    /// True when the request has requests to others under way.
    pub(crate) fn is_calling(&self) -> bool {
        self.hooks.outbound.as_ref().is_some_and(RequestOutbound::is_busy)
    }

    /// Of a request that is recorded or played.
    pub(crate) fn tape(&self) -> Option<Tape> {
        self.around.tape.clone()
    }
}

fn empty_table() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(HOST_RESOURCES);
    table
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let ctx = &mut self.wasi.get_or_insert_with(|| self.around.wasi()).ctx;
        WasiCtxView { ctx, table: &mut self.table }
    }
}

/// Streams and polling need the table alone.
impl IoView for Host {
    fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

struct Hooks {
    /// Of the request that the instance works for.
    outbound: Option<RequestOutbound>,
    tape: Option<Tape>,
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
        let options = options.unwrap_or_default();
        let Some(outbound) = &self.outbound else {
            return Box::new(async { Err(wasmtime_wasi_http::Error::ConnectionTerminated) });
        };
        match &self.tape {
            None => Box::new(outbound.send(request, options)),
            Some(Tape::Recording(recorder)) => {
                let (request, sent) = recorder.outbound(request);
                Box::new(sent.result(outbound.send(request, options)))
            }
            Some(Tape::Playing(player)) => {
                let answer = player.clone().outbound(request);
                Box::new(async move { Ok((answer.await?, Box::new(async { Ok(()) }) as _)) })
            }
        }
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        WRITE_BYTES
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        WAITING_WRITES
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        WRITE_BYTES
    }
}

/// In one place: the constant is made anew wherever it is named.
static FORBIDDEN: [HeaderName; 9] = DEFAULT_FORBIDDEN_HEADERS;

/// Headers that belong to the connection and not to the message: a guest neither sets nor sees them.
fn is_forbidden(name: &HeaderName) -> bool {
    FORBIDDEN.contains(name)
}

/// Everything that a component of `world` may import.
pub(crate) fn linker(engine: &Engine, world: World) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    // Once more, since the way that leads there first makes everything else that WASI has; and the waiting of
    // guests, which may be recorded.
    linker.allow_shadowing(true);
    wasmtime_wasi_io::add_to_linker_async(&mut linker)?;
    monotonic_clock::add_to_linker::<Host, Waiting>(&mut linker, |host| host)?;
    poll::add_to_linker::<Host, Waiting>(&mut linker, |host| host)?;
    linker.allow_shadowing(false);
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    if world == World::Http03 {
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    }
    Ok(linker)
}
