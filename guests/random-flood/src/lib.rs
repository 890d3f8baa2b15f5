//! Asks for 64 MiB of random bytes in one call, then answers how many it got.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let bytes = wasip2::random::random::get_random_bytes(64 << 20);
        respond::text(out, 200, &format!("got {}\n", bytes.len()));
    }
}

wasip2::http::proxy::export!(Function);
