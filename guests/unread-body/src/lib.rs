//! Answers without reading the request body.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        respond::text(out, 200, "not read\n");
    }
}

wasip2::http::proxy::export!(Function);
