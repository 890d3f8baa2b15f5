//! Does what its path says, so that a server which holds one component has good and bad neighbours too:
//! `/hello` answers at once, `/loop` spins, `/churn` takes memory, fills it again and again and answers,
//! `/echo` sends the body back.

use std::hint::black_box;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

/// Taken by one call of `/churn`, in bytes.
const CHURNED: usize = 96 << 20;
/// How often it is filled. Each time is one instruction (`memory.fill`), which nothing interrupts.
const FILLS: u8 = 4;

struct Function;

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match respond::path(&request).as_str() {
            "/hello" => respond::text(out, 200, "hello\n"),
            "/loop" => spin(),
            "/churn" => churn(out),
            "/echo" => echo(&request, out),
            _ => respond::text(out, 404, "no such neighbour\n"),
        }
    }
}

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

fn churn(out: ResponseOutparam) {
    let mut memory = vec![0_u8; CHURNED];
    for fill in 1..=FILLS {
        black_box(&mut memory[..]).fill(fill);
    }
    respond::text(out, 200, "churned\n");
}

fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let (_body, mut from) = respond::request_body(request);
    let mut response = respond::Response::start(out, 200, &[("content-type", b"application/octet-stream")]);
    // A client that goes away in the middle is no failure of the guest.
    let _ = respond::copy(&mut from, &mut response.stream);
    response.finish();
}

wasip2::http::proxy::export!(Function);
