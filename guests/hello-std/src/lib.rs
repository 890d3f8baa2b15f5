//! What an ordinary program expects of its standard library: printing, the environment, the clock.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        println!("hello stdout");
        eprintln!("hello stderr");
        let greeting = std::env::var("GREETING").unwrap_or_else(|_| "Hello".to_owned());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
        let mut response = respond::Response::start(
            out,
            200,
            &[("content-type", b"text/plain; charset=utf-8"), ("x-unix-time", now.as_secs().to_string().as_bytes())],
        );
        // A client that has gone away is no failure of the guest.
        let _ = response.stream.write_all(format!("{greeting} from std\n").as_bytes());
        response.finish();
    }
}

wasip2::http::proxy::export!(Function);
