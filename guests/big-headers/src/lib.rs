//! Answers with 64 KiB of response headers: 64 of 1 KiB each.

use respond::Response;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let names: Vec<String> = (0..64).map(|i| format!("x-padding-{i:02}")).collect();
        let value = [b'x'; 1024 - "x-padding-00: ".len() - "\r\n".len()];
        let headers: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), value.as_slice())).collect();
        Response::start(out, 200, &headers).finish();
    }
}

wasip2::http::proxy::export!(Function);
