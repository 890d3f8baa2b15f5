//! Reads the whole request body, then answers how many bytes it had.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};
use wasip2::io::streams::StreamError;

struct Function;

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (_body, from) = respond::request_body(&request);
        let mut count = 0;
        loop {
            match from.blocking_read(64 * 1024) {
                Ok(piece) => count += piece.len(),
                Err(StreamError::Closed) => break,
                Err(error) => panic!("the body broke off: {error:?}"),
            }
        }
        respond::text(out, 200, &format!("{count}\n"));
    }
}

wasip2::http::proxy::export!(Function);
