//! Waits for nothing, again and again: it spins in the host, and looks as if it slept.

use wasip2::clocks::monotonic_clock;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, _out: ResponseOutparam) {
        loop {
            let nothing = monotonic_clock::subscribe_duration(0);
            wasip2::io::poll::poll(&[&nothing]);
        }
    }
}

wasip2::http::proxy::export!(Function);
