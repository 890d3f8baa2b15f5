//! Connections of which a test holds every byte or every frame.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::client::conn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{PATIENCE, Server};

/// A request body of a test's own making.
pub(crate) type WireBody = BoxBody<Bytes, Infallible>;

pub(crate) fn body_of(bytes: impl Into<Bytes>) -> WireBody {
    Full::new(bytes.into()).boxed()
}

/// An HTTP/1.1 connection to the data plane.
pub(crate) async fn http1(server: &Server) -> conn::http1::SendRequest<WireBody> {
    let stream = TcpStream::connect(server.data_address()).await.unwrap();
    let (sender, connection) = conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// An HTTP/2 connection to the data plane, without TLS and with prior knowledge.
pub(crate) async fn http2(server: &Server) -> conn::http2::SendRequest<WireBody> {
    let stream = TcpStream::connect(server.data_address()).await.unwrap();
    let (sender, connection) = conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A connection to the data plane, byte by byte.
pub(crate) struct Wire(TcpStream);

impl Wire {
    pub(crate) async fn connect(server: &Server) -> Self {
        Self(TcpStream::connect(server.data_address()).await.unwrap())
    }

    /// Connects to the control plane.
    pub(crate) async fn connect_control(server: &Server) -> Self {
        Self(TcpStream::connect(server.control_address()).await.unwrap())
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends a few bytes; false when the other end has closed.
    pub(crate) async fn sends(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Whether there is something to read, or the end.
    pub(crate) async fn has_answer(&self) -> bool {
        timeout(std::time::Duration::ZERO, self.0.readable()).await.is_ok()
    }

    /// Sends as much as the other end takes before it closes.
    pub(crate) async fn send_what_is_taken(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// Closes this side; the other may still send.
    pub(crate) async fn close_this_side(&mut self) {
        self.0.shutdown().await.unwrap();
    }

    /// Reads until what was read ends with `end`.
    pub(crate) async fn read_to(&mut self, end: &str) -> String {
        let mut read = Vec::new();
        let reading = async {
            while !read.ends_with(end.as_bytes()) {
                match self.0.read_u8().await {
                    Ok(byte) => read.push(byte),
                    Err(_) => break,
                }
            }
        };
        let in_time = timeout(PATIENCE, reading).await;
        let text = String::from_utf8_lossy(&read).into_owned();
        assert!(in_time.is_ok() && text.ends_with(end), "waited for {end:?}, read {text:?}");
        text
    }

    /// Reads until the other end closes the connection, in whichever way.
    pub(crate) async fn read_to_end(&mut self) -> Vec<u8> {
        let mut read = Vec::new();
        let reading = timeout(PATIENCE, self.0.read_to_end(&mut read)).await;
        // A reset ends it as well as a proper end does; what came before is kept.
        let _ = reading.expect("the connection stays open");
        read
    }
}
