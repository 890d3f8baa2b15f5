//! Writes 1 GiB of lines to standard output, then answers how many bytes were taken.

use std::io::Write as _;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

const LINE: &[u8] = b"a line of sixty-four bytes, written again and again and again..\n";
const TOTAL: usize = 1024 * 1024 * 1024;

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let mut stdout = wasip2::cli::stdout::get_stdout();
        let piece = LINE.repeat(1024);
        let mut taken = 0;
        while taken < TOTAL && stdout.write_all(&piece).is_ok() {
            taken += piece.len();
        }
        respond::text(out, 200, &format!("wrote {taken} bytes\n"));
    }
}

wasip2::http::proxy::export!(Function);
