//! Takes memory, a MiB at a time, and touches all of it, until it gets no more; then it dies,
//! as a program does that runs out of memory.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, _out: ResponseOutparam) {
        let mut held = Vec::new();
        loop {
            held.push(vec![1_u8; 1024 * 1024]);
        }
    }
}

wasip2::http::proxy::export!(Function);
