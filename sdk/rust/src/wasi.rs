//! The platform, as WASI 0.2 has it. Only [`handler`](crate::handler) uses what is public here.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
pub use wasip2;
use wasip2::cli::{environment::get_environment, stderr::get_stderr, stdout::get_stdout};
use wasip2::clocks::monotonic_clock;
pub use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{self as wasi, Fields, IncomingBody, OutgoingBody, OutgoingRequest, OutgoingResponse};
pub use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip2::io::poll::{self, Pollable};
use wasip2::io::streams::{OutputStream, StreamError};

use crate::client::Timeout;
use crate::{Body, Call, Error, Handler, Request, Response, Result, executor, logging};

/// Bytes that one write that waits may carry (`wasi:io/streams`).
const WRITE_BYTES: usize = 4096;
/// Bytes of a body that are held while nobody has asked for them.
const READ_BYTES: u64 = 64 << 10;

/// Answers a request of the host by a handler.
pub fn serve<A>(handler: impl Handler<A>, request: IncomingRequest, out: ResponseOutparam) {
    logging::install();
    executor::block_on(async {
        let call = Call::incoming(Incoming { request: Rc::new(request), body_is_taken: false });
        let response = handler.call(call).await;
        respond(response, out).await;
    });
}

/// A request of the host.
pub(crate) struct Incoming {
    request: Rc<IncomingRequest>,
    body_is_taken: bool,
}

impl Incoming {
    pub(crate) fn method(&self) -> Result<Method> {
        method_of(self.request.method())
    }

    pub(crate) fn uri(&self) -> Result<Uri> {
        let target = self.request.path_with_query().unwrap_or_else(|| "/".to_owned());
        // Not by `?`, since most functions come this way, and its words would be in the component of each.
        let target = PathAndQuery::try_from(target).map_err(|_| failed("the address of the request is no address"))?;
        Ok(target.into())
    }

    pub(crate) fn headers(&self) -> Result<HeaderMap> {
        let mut headers = headers_of(&self.request.headers())?;
        if let Some(host) = self.request.authority() {
            headers.entry(HOST).or_insert(HeaderValue::try_from(host)?);
        }
        Ok(headers)
    }

    pub(crate) fn take_body(&mut self) -> Body {
        if std::mem::replace(&mut self.body_is_taken, true) {
            return Body::empty();
        }
        let request = Rc::clone(&self.request);
        body_of(move || request.consume())
    }
}

fn headers_of(fields: &Fields) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields.entries() {
        headers.append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_bytes(&value)?);
    }
    Ok(headers)
}

/// A body of the host, which is touched only when somebody reads it.
fn body_of(consume: impl FnOnce() -> std::result::Result<IncomingBody, ()> + 'static) -> Body {
    Body::written(async move |mut out| {
        let body = consume().expect("a body is taken once");
        let stream = body.stream().expect("the stream of a body is taken once");
        loop {
            match stream.read(READ_BYTES) {
                Ok(bytes) if bytes.is_empty() => ready(stream.subscribe()).await,
                Ok(bytes) => out.write(bytes).await,
                Err(StreamError::Closed) => return Ok(()),
                Err(StreamError::LastOperationFailed(_)) => return Err(failed("the body broke off")),
            }
        }
    })
}

async fn respond(response: Response, out: ResponseOutparam) {
    let (head, body) = response.into_parts();
    let fields = fields_of(&head.headers);
    let bodiless = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if let Some(length) = body.length().filter(|_| !bodiless && !head.headers.contains_key(CONTENT_LENGTH)) {
        // One that is refused is only missing.
        let _ = fields.append("content-length", length.to_string().as_bytes());
    }
    let outgoing = OutgoingResponse::new(fields);
    if head.status != StatusCode::OK {
        outgoing.set_status_code(head.status.as_u16()).expect("the host takes what `http` takes for a status");
    }
    let sink = outgoing.body().expect("a new response has its body");
    ResponseOutparam::set(out, Ok(outgoing));
    if let Err(error) = send_body(body, sink).await {
        log::error!("the response breaks off: {error}");
    }
}

/// Sends a body to its end; one that fails is cut, so that nobody takes it for the whole.
async fn send_body(mut body: Body, sink: OutgoingBody) -> Result<()> {
    let stream = sink.write().expect("a new body has its stream");
    while let Some(chunk) = body.chunk().await? {
        if print_to(&stream, &chunk).is_err() {
            // Who reads it has gone: no failure of ours.
            break;
        }
    }
    drop(stream);
    // Refused when the body differs from its announced length, or when who reads it has gone.
    let _ = OutgoingBody::finish(sink, None);
    Ok(())
}

/// Writes and waits: there is nothing else to do meanwhile, and of all ways this one takes the fewest calls.
fn print_to(stream: &OutputStream, bytes: &[u8]) -> std::result::Result<(), StreamError> {
    bytes.chunks(WRITE_BYTES).try_for_each(|piece| stream.blocking_write_and_flush(piece))
}

fn fields_of(headers: &HeaderMap) -> Fields {
    let fields = Fields::new();
    for (name, value) in headers {
        let name = name.as_str();
        if fields.append(name, value.as_bytes()).is_err() {
            log::warn!("the header {name} is left out: the platform sets it, or does not send it");
        }
    }
    fields
}

pub(crate) async fn send(request: Request) -> Result<Response> {
    let (head, body) = request.into_parts();
    let call = OutgoingRequest::new(fields_of(&head.headers));
    let uri = head.uri;
    let target = uri.path_and_query().map(PathAndQuery::as_str);
    let is_taken = call.set_method(&wasi_method(&head.method)).is_ok()
        && call.set_scheme(uri.scheme_str().map(wasi_scheme).as_ref()).is_ok()
        && call.set_authority(uri.authority().map(Authority::as_str)).is_ok()
        && call.set_path_with_query(target).is_ok();
    if !is_taken {
        return Err(failed("this is no request that the platform can send"));
    }
    let sink = call.body().expect("a new request has its body");
    let options = head.extensions.get().map(|Timeout(timeout)| timeouts(*timeout));
    let coming = outgoing_handler::handle(call, options).map_err(refused)?;
    send_body(body, sink).await?;
    ready(coming.subscribe()).await;
    let answer = coming.get().expect("ready, as waited for").expect("taken once").map_err(refused)?;
    let mut response = Response::default();
    *response.status_mut() = StatusCode::from_u16(answer.status())?;
    *response.headers_mut() = headers_of(&answer.headers())?;
    *response.body_mut() = body_of(move || answer.consume());
    Ok(response)
}

fn timeouts(timeout: Duration) -> wasi::RequestOptions {
    let options = wasi::RequestOptions::new();
    let nanos = Some(nanos(timeout));
    // A host that has no such timeout has others.
    let _ = options.set_connect_timeout(nanos);
    let _ = options.set_first_byte_timeout(nanos);
    let _ = options.set_between_bytes_timeout(nanos);
    options
}

fn refused(code: wasi::ErrorCode) -> Error {
    match code {
        wasi::ErrorCode::HttpRequestDenied => {
            failed("the origin is not allowed: write it into `allow` below [outbound] in wasmway.toml")
        }
        code => failed(&format!("{code:?}")),
    }
}

fn failed(message: &str) -> Error {
    Error::new(StatusCode::INTERNAL_SERVER_ERROR, message)
}

fn method_of(method: wasi::Method) -> Result<Method> {
    Ok(match method {
        wasi::Method::Get => Method::GET,
        wasi::Method::Head => Method::HEAD,
        wasi::Method::Post => Method::POST,
        wasi::Method::Put => Method::PUT,
        wasi::Method::Delete => Method::DELETE,
        wasi::Method::Connect => Method::CONNECT,
        wasi::Method::Options => Method::OPTIONS,
        wasi::Method::Trace => Method::TRACE,
        wasi::Method::Patch => Method::PATCH,
        wasi::Method::Other(name) => Method::from_bytes(name.as_bytes())?,
    })
}

fn wasi_method(method: &Method) -> wasi::Method {
    // The host knows the usual ones by their names too.
    if *method == Method::GET { wasi::Method::Get } else { wasi::Method::Other(method.to_string()) }
}

fn wasi_scheme(scheme: &str) -> wasi::Scheme {
    match scheme {
        "http" => wasi::Scheme::Http,
        "https" => wasi::Scheme::Https,
        other => wasi::Scheme::Other(other.to_owned()),
    }
}

pub(crate) fn environment(name: &str) -> Option<String> {
    get_environment().into_iter().find_map(|(key, value)| (key == name).then_some(value))
}

pub(crate) fn print(text: String) {
    // Output that nobody takes is lost, as everywhere.
    let _ = print_to(&get_stdout(), text.as_bytes());
}

pub(crate) fn print_warning(text: String) {
    let _ = print_to(&get_stderr(), text.as_bytes());
}

pub(crate) async fn sleep(duration: Duration) {
    ready(monotonic_clock::subscribe_duration(nanos(duration))).await;
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

thread_local! {
    /// What futures wait for, as long as they are there, and how they are woken.
    static WAITING: RefCell<Vec<(Weak<Pollable>, Waker)>> = RefCell::default();
}

async fn ready(pollable: Pollable) {
    let pollable = Rc::new(pollable);
    poll_fn(|context| {
        if pollable.ready() {
            return Poll::Ready(());
        }
        let this = Rc::downgrade(&pollable);
        WAITING.with_borrow_mut(|waiting| {
            waiting.retain(|(other, _)| other.strong_count() > 0 && !other.ptr_eq(&this));
            waiting.push((this, context.waker().clone()));
        });
        Poll::Pending
    })
    .await;
}

/// Waits until something that a future waits for is ready.
pub(crate) fn wait() {
    let waiting = WAITING.take().into_iter();
    let waiting: Vec<_> = waiting.filter_map(|(pollable, waker)| Some((pollable.upgrade()?, waker))).collect();
    assert!(!waiting.is_empty(), "the handler waits, and nothing is left that could wake it");
    let pollables: Vec<_> = waiting.iter().map(|(pollable, _)| &**pollable).collect();
    let ready = poll::poll(&pollables);
    for (index, (pollable, waker)) in waiting.iter().enumerate() {
        if ready.contains(&(index as u32)) {
            waker.wake_by_ref();
        } else {
            WAITING.with_borrow_mut(|waiting| waiting.push((Rc::downgrade(pollable), waker.clone())));
        }
    }
}

/// There is one thread, which waits only in [`wait`].
#[derive(Default)]
pub(crate) struct Sleeper;

impl Sleeper {
    pub(crate) fn wake(&self) {}
}
