//! Holds 100,000 resources of the host at once, then answers.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::Fields;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let held: Vec<Fields> = (0..100_000).map(|_| Fields::new()).collect();
        respond::text(out, 200, &format!("held {}\n", held.len()));
    }
}

wasip2::http::proxy::export!(Function);
