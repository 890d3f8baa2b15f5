//! Calls itself until the stack ends.

use std::hint::black_box;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, _out: ResponseOutparam) {
        black_box(deeper(black_box(0)));
    }
}

#[expect(unconditional_recursion, reason = "what this guest is for")]
#[inline(never)]
fn deeper(level: u64) -> u64 {
    // Work after the call keeps the compiler from making a loop of it.
    black_box(deeper(black_box(level + 1))) + 1
}

wasip2::http::proxy::export!(Function);
