//! Tries to build messages that mean something else on the wire, then answers what it got past the host, a line each.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingRequest, ResponseOutparam};

const VALUES: [&[u8]; 4] = [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b"];
const NAMES: [&str; 4] = ["x y", "x:y", "x\r\ny", ""];
/// Headers that belong to the connection, and so to the host.
const FORBIDDEN: [&str; 8] = [
    "transfer-encoding",
    "Transfer-Encoding",
    "host",
    "connection",
    "keep-alive",
    "upgrade",
    "proxy-connection",
    "http2-settings",
];
const PATHS: [&str; 5] = ["http://10.0.0.1/", "/a b", "/a\r\nhost: b", "/a\0b", "//\r\n"];
const AUTHORITIES: [&str; 3] = ["a\r\nb", "a b", "a/b"];

struct Function;

impl Guest for Function {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let fields = Fields::new();
        let mut accepted = Vec::new();
        for value in VALUES {
            if fields.append("x-value", value).is_ok() {
                accepted.push(format!("value {:?}", String::from_utf8_lossy(value)));
            }
        }
        for name in NAMES.iter().chain(&FORBIDDEN) {
            if fields.set(name, &[b"chunked".to_vec()]).is_ok() || fields.append(name, b"1").is_ok() {
                accepted.push(format!("name {name:?}"));
            }
        }
        let call = OutgoingRequest::new(Fields::new());
        let paths = PATHS.iter().filter(|path| call.set_path_with_query(Some(path)).is_ok());
        accepted.extend(paths.map(|path| format!("path {path:?}")));
        let authorities = AUTHORITIES.iter().filter(|authority| call.set_authority(Some(authority)).is_ok());
        accepted.extend(authorities.map(|authority| format!("authority {authority:?}")));
        respond::text(out, 200, &format!("accepted:\n{}", accepted.join("\n")));
    }
}

wasip2::http::proxy::export!(Function);
