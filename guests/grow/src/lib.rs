//! Asks for 4 GiB of memory at once, then answers what it got.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

/// 4 GiB, less the page that is there already.
const PAGES: usize = 65_535;

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let got = core::arch::wasm32::memory_grow(0, PAGES);
        respond::text(out, 200, if got == usize::MAX { "refused\n" } else { "granted\n" });
    }
}

wasip2::http::proxy::export!(Function);
