//! Announces a body of ten bytes and sends five.

use std::io::Write as _;

use respond::Response;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let mut response = Response::start(out, 200, &[("content-length", b"10")]);
        // A client that has gone away is no failure of the guest.
        let _ = response.stream.write_all(b"12345");
        response.finish();
    }
}

wasip2::http::proxy::export!(Function);
