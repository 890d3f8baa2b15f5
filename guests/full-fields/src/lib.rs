//! Holds as many sets of header fields as it can get, each as full as it may be: memory of the host, not its own.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, ResponseOutparam};

/// Together a little less than the 32 KiB that one set may have.
const VALUES: usize = 7;
const VALUE_BYTES: usize = 4000;

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let value = vec![b'x'; VALUE_BYTES];
        let held: Vec<Fields> = (0..10_000)
            .map(|_| {
                let fields = Fields::new();
                for _ in 0..VALUES {
                    fields.append("x", &value).expect("the host takes the header");
                }
                fields
            })
            .collect();
        respond::text(out, 200, &format!("held {}\n", held.len()));
    }
}

wasip2::http::proxy::export!(Function);
