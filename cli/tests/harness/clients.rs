//! Clients that go on and on, whatever happens to the platform meanwhile.

use http_body_util::BodyExt;
use hyper::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::body_of;

/// How a client fared until nothing listened any more: its answered requests.
pub(crate) type Fared = Result<u32, String>;

/// Opens a connection for each request, until none can be opened.
pub(crate) async fn with_new_connections(address: String, path: &'static str) -> Fared {
    let mut answered = 0;
    loop {
        let Ok(mut stream) = TcpStream::connect(&address).await else { return Ok(answered) };
        let lost = |error: std::io::Error| format!("{path}, on a new connection after {answered}: {error}");
        let head = format!("GET {path} HTTP/1.1\r\nhost: any\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.map_err(lost)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map_err(lost)?;
        if !answer.starts_with("HTTP/1.1 200 ") {
            return Err(format!("{path}, on a new connection after {answered}: {answer:?}"));
        }
        answered += 1;
    }
}

/// Sends request after request on one connection, opens another when the platform asks for it, until none can be
/// opened.
pub(crate) async fn with_kept_connection(address: String, path: &'static str) -> Fared {
    let mut answered = 0;
    loop {
        let Ok(stream) = TcpStream::connect(&address).await else { return Ok(answered) };
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(|e| e.to_string())?;
        tokio::spawn(connection);
        loop {
            let request = Request::get(path).header("host", "any").body(body_of("")).unwrap();
            let lost = |error: hyper::Error| format!("{path}, on a kept connection after {answered}: {error:?}");
            sender.ready().await.map_err(lost)?;
            let answer = sender.send_request(request).await.map_err(lost)?;
            let (head, body) = answer.into_parts();
            body.collect().await.map_err(lost)?;
            if head.status != 200 {
                return Err(format!("{path}, on a kept connection after {answered}: {}", head.status));
            }
            answered += 1;
            if head.headers.get("connection").is_some_and(|value| value == "close") {
                break;
            }
        }
    }
}
