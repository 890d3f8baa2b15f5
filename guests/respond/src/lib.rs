//! Answering a `wasi:http` 0.2 request: the steps that every guest would otherwise repeat.
//!
//! A step that fails panics: the host has gone away or refuses, and a guest can only stop.

use std::io::{self, Write};

use wasip2::http::types::{Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::{InputStream, OutputStream};

/// Sends a whole response with a text body.
pub fn text(out: ResponseOutparam, status: u16, body: &str) {
    whole(out, status, "text/plain; charset=utf-8", body.as_bytes());
}

/// Bytes that one write which waits may carry (`wasi:io/streams`).
const WRITE_BYTES: usize = 4096;

/// Sends a whole response. Every function of the host that a component imports costs each of its instances something:
/// this way takes few.
pub fn whole(out: ResponseOutparam, status: u16, content_type: &str, body: &[u8]) {
    let response = Response::start(out, status, &[("content-type", content_type.as_bytes())]);
    for piece in body.chunks(WRITE_BYTES) {
        if response.stream.blocking_write_and_flush(piece).is_err() {
            // A client that has gone away is no failure of the guest.
            break;
        }
    }
    response.finish();
}

/// A response whose head is sent and whose body is being written.
pub struct Response {
    /// Where the body goes; writes wait for the client to read.
    pub stream: OutputStream,
    body: OutgoingBody,
}

impl Response {
    /// Sends the head and opens the body.
    pub fn start(out: ResponseOutparam, status: u16, headers: &[(&str, &[u8])]) -> Self {
        let fields = Fields::new();
        for (name, value) in headers {
            fields.append(name, value).expect("the host accepts the header");
        }
        let response = OutgoingResponse::new(fields);
        // 200 is what a response begins with.
        if status != 200 {
            response.set_status_code(status).expect("the host accepts the status");
        }
        let body = response.body().expect("a new response has its body");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("a new body has its stream");
        Self { stream, body }
    }

    /// Ends the body without trailers.
    pub fn finish(self) {
        self.finish_with(None);
    }

    /// Ends the body; `trailers` follow it.
    pub fn finish_with(self, trailers: Option<Fields>) {
        drop(self.stream);
        // Refused when the body differs from its announced length or the client has gone:
        // nothing that the guest could still change.
        let _ = OutgoingBody::finish(self.body, trailers);
    }
}

/// The body of a request as a stream; the first of the pair must outlive the second.
pub fn request_body(request: &IncomingRequest) -> (IncomingBody, InputStream) {
    let body = request.consume().expect("the body of a request is taken once");
    let stream = body.stream().expect("the stream of a body is taken once");
    (body, stream)
}

/// All of the body of a request.
pub fn whole_body(request: &IncomingRequest) -> Vec<u8> {
    let (_body, mut from) = request_body(request);
    let mut whole = Vec::new();
    copy(&mut from, &mut whole).expect("the body does not break off");
    whole
}

/// Copies `from` to `to` in pieces of at most 64 KiB, so that memory does not grow with the body.
pub fn copy(from: &mut InputStream, to: &mut impl Write) -> io::Result<u64> {
    let mut copied = 0;
    loop {
        match from.blocking_read(64 * 1024) {
            Ok(piece) => {
                to.write_all(&piece)?;
                copied += piece.len() as u64;
            }
            Err(wasip2::io::streams::StreamError::Closed) => return Ok(copied),
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}

/// The path of a request, without its query.
pub fn path(request: &IncomingRequest) -> String {
    let mut path = request.path_with_query().unwrap_or_default();
    path.truncate(path.find('?').unwrap_or(path.len()));
    path
}
