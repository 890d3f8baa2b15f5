//! `/250` sends the head and the beginning of a body, sleeps for 250 ms, and sends the rest.

use std::io::Write as _;

use wasip2::clocks::monotonic_clock;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = respond::path(&request);
        let ms: u64 = path.trim_start_matches('/').parse().expect("the path is a number of milliseconds");
        let mut response = respond::Response::start(out, 200, &[]);
        // A client that has gone away is no failure of the guest.
        let _ = response.stream.write_all(b"first");
        let _ = response.stream.flush();
        monotonic_clock::subscribe_duration(ms.saturating_mul(1_000_000)).block();
        let _ = response.stream.write_all(b", and the rest\n");
        response.finish();
    }
}

wasip2::http::proxy::export!(Function);
