//! Reads the whole request body, then answers how many bytes it had.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (_body, mut from) = respond::request_body(&request);
        // To one that breaks off there is nobody to answer.
        if let Ok(count) = respond::copy(&mut from, &mut std::io::sink()) {
            respond::text(out, 200, &format!("{count}\n"));
        }
    }
}

wasip2::http::proxy::export!(Function);
