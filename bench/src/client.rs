//! One connection of a client: HTTP/1.1, kept open, one request at a time.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What is asked for, and where.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    /// Sent with POST; without one it is a GET.
    pub(crate) body: Option<Bytes>,
}

impl Target {
    pub(crate) fn get(address: SocketAddr, path: impl Into<String>) -> Self {
        Self { address, path: path.into(), body: None }
    }

    fn request(&self) -> Result<Request<Full<Bytes>>> {
        let method = if self.body.is_some() { Method::POST } else { Method::GET };
        let builder = Request::builder().method(method).uri(&self.path).header(header::HOST, "bench.invalid");
        Ok(builder.body(Full::new(self.body.clone().unwrap_or_default()))?)
    }
}

/// A connection that opens itself when it is needed, and again after it broke.
#[derive(Default)]
pub(crate) struct Connection {
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Opens it, without a request yet.
    pub(crate) async fn prepare(&mut self, address: SocketAddr) -> Result<()> {
        self.sender = Some(self.open(address).await?);
        Ok(())
    }

    /// Sends the request and reads the whole answer, which is thrown away. Dropped in the middle, or failed, the
    /// connection is closed, and the server sees that its client has gone.
    pub(crate) async fn call(&mut self, target: &Target) -> Result<StatusCode> {
        let mut sender = self.open(target.address).await?;
        let response = sender.send_request(target.request()?).await.context("no answer")?;
        let status = response.status();
        read_to_end(response.into_body()).await.context("the answer broke off")?;
        self.sender = Some(sender);
        Ok(status)
    }

    /// The open connection, or a new one where there is none or the server has closed it. Taken out: who does not
    /// put it back has closed it.
    async fn open(&mut self, address: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        let stream = TcpStream::connect(address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // What goes wrong on it is told to whoever waits for an answer.
        tokio::spawn(connection);
        Ok(sender)
    }
}

async fn read_to_end(mut body: Incoming) -> hyper::Result<()> {
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(())
}
