//! Sends a whole response, then burns the CPU: what it got done before must reach the client.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        respond::text(out, 200, "answered, and now spinning\n");
        loop {
            std::hint::spin_loop();
        }
    }
}

wasip2::http::proxy::export!(Function);
