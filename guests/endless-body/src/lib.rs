//! Sends a body without end, as fast as the client reads it, until somebody closes it.

use std::io::Write as _;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let mut response = respond::Response::start(out, 200, &[("content-type", b"application/octet-stream")]);
        let piece = [b'x'; 16 * 1024];
        while response.stream.write_all(&piece).is_ok() {}
    }
}

wasip2::http::proxy::export!(Function);
