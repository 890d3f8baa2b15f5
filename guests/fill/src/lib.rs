//! Takes 48 MiB and fills all of it again and again: one instruction each time, in which nothing can be interrupted.

use std::hint::black_box;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, _out: ResponseOutparam) {
        let mut all = vec![0_u8; 48 << 20];
        for value in (0..=u8::MAX).cycle() {
            black_box(&mut all).fill(black_box(value));
        }
    }
}

wasip2::http::proxy::export!(Function);
