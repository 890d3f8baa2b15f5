//! Traps two calls deep. It keeps its function names and line tables, so that a backtrace can show them.

use std::hint::black_box;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, _out: ResponseOutparam) {
        open_the_door(black_box(2));
    }
}

#[inline(never)]
fn open_the_door(floors: u32) {
    // The sum keeps this from becoming a tail call, which would leave no frame.
    black_box(floors + fall_through_the_floor(floors));
}

#[inline(never)]
fn fall_through_the_floor(floors: u32) -> u32 {
    if black_box(floors) > 0 {
        core::arch::wasm32::unreachable();
    }
    floors
}

wasip2::http::proxy::export!(Function);
