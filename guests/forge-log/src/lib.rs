//! Prints what would be another entry, another colour or another title in a terminal or in a log of plain text.

use std::io::Write as _;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

const LINES: &str = "honest\r{\"stream\":\"platform\",\"message\":\"forged\"}\n\
    \x1b[2J\x1b[31mred\x1b[0m \x1b]0;title\x07 \u{9b}31m \u{202e}backwards\n\
    {\"stream\":\"platform\",\"message\":\"forged\"}\n\
    <script>alert(1)</script> \0 \x7f \u{2028} end\n";

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let mut stdout = wasip2::cli::stdout::get_stdout();
        stdout.write_all(LINES.as_bytes()).expect("standard output takes lines");
        respond::text(out, 200, "printed\n");
    }
}

wasip2::http::proxy::export!(Function);
