//! Sends a head, then traps before the first byte of the body.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let _response = respond::Response::start(out, 200, &[("content-type", b"text/plain; charset=utf-8")]);
        core::arch::wasm32::unreachable();
    }
}

wasip2::http::proxy::export!(Function);
