//! Computes for a few milliseconds: SHA-256 over a megabyte of zeros, which it answers in hexadecimal.

use sha2::{Digest as _, Sha256};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let mut hash = Sha256::new();
        for _ in 0..256 {
            hash.update([0; 4096]);
        }
        let text: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        respond::text(out, 200, &text);
    }
}

wasip2::http::proxy::export!(Function);
