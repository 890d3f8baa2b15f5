//! Never answers and never waits: only its CPU limit ends it.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, _out: ResponseOutparam) {
        loop {
            std::hint::spin_loop();
        }
    }
}

wasip2::http::proxy::export!(Function);
