//! Sends a head and 64 KiB of body, gives them the time to leave, then traps: the client must not take it for a
//! whole response.

use std::io::Write as _;

use wasip2::clocks::monotonic_clock;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let mut response = respond::Response::start(out, 200, &[("content-type", b"application/octet-stream")]);
        // Flushed, so that the host has all of it before the trap; a client that has gone is fine.
        let _ = response.stream.write_all(&vec![b'x'; 64 * 1024]);
        let _ = response.stream.flush();
        monotonic_clock::subscribe_duration(100_000_000).block();
        core::arch::wasm32::unreachable();
    }
}

wasip2::http::proxy::export!(Function);
