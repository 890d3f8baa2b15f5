//! Answers at once: what a well-behaved function costs.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        respond::text(out, 200, "Hello from Wasmway!\n");
    }
}

wasip2::http::proxy::export!(Function);
