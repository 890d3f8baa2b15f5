//! Holds 300 requests to other hosts, each with a method of 10 MB: memory of the host, not its own.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, Method, OutgoingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let method = Method::Other("X".repeat(10_000_000));
        let held: Vec<OutgoingRequest> = (0..300)
            .map(|_| {
                let call = OutgoingRequest::new(Fields::new());
                call.set_method(&method).expect("the host takes the method");
                call
            })
            .collect();
        respond::text(out, 200, &format!("held {}\n", held.len()));
    }
}

wasip2::http::proxy::export!(Function);
