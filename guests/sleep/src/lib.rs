//! `/250` sleeps for 250 ms without using the CPU, then answers.

use wasip2::clocks::monotonic_clock;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = respond::path(&request);
        match path.trim_start_matches('/').parse::<u64>() {
            Ok(ms) => {
                let ns = ms.saturating_mul(1_000_000);
                monotonic_clock::subscribe_duration(ns).block();
                respond::text(out, 200, &format!("slept {ms} ms\n"));
            }
            Err(_) => respond::text(out, 400, "the path is a number of milliseconds\n"),
        }
    }
}

wasip2::http::proxy::export!(Function);
