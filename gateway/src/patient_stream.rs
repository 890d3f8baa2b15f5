//! A client's connection: patient, but not for ever, and watched while nobody reads from it.

use crate::listener::ConnectionLimits;
use futures::FutureExt;
use socket2::SockRef;
use std::{
    io,
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::Sleep,
};

/// How long a client gets, after the last answer on its connection, to stop sending and close its side.
const LINGER: Duration = Duration::from_secs(1);
/// How often a client is looked at whose connection nobody reads.
const LOOK: Duration = Duration::from_millis(50);

/// The client of a request over HTTP/1.1, as the request can look at it. The server does not read from a connection
/// while nobody wants more of the request's body, and so does not notice when it ends.
///
/// What is not seen is the end of a client that has sent more than the kernel takes unread: the end comes behind the
/// rest of its body. Such a request runs to its own end, or to its deadline.
#[derive(Clone)]
pub(crate) struct Client(Arc<OwnedWriteHalf>);

impl Client {
    /// Waits until the client has closed its side of the connection. It may still listen; but a client that has left
    /// looks the same from here, and the server, when it does read, takes this for the end of the request too.
    pub(crate) async fn left(self) {
        while !self.has_left() {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The runtime learns of the end from the kernel, whether somebody reads or not; looking at it asks nobody.
    fn has_left(&self) -> bool {
        let ready = self.0.ready(Interest::READABLE).now_or_never();
        ready.is_some_and(|ready| ready.map_or(true, |ready| ready.is_read_closed()))
    }
}

/// A connection whose client may not keep us waiting for ever with taking what we send. At its end it lingers: a client
/// that is still sending what we have refused already would otherwise be reset before it has read why.
pub(crate) struct PatientStream {
    from: OwnedReadHalf,
    to: Arc<OwnedWriteHalf>,
    write_timeout: Duration,
    /// Runs while the client takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
    /// Runs when we have said all, and what the client still says is thrown away.
    linger: Option<Pin<Box<Sleep>>>,
}

impl PatientStream {
    pub(crate) fn new(stream: TcpStream, limits: &ConnectionLimits) -> Self {
        let (from, to) = stream.into_split();
        Self { from, to: Arc::new(to), write_timeout: limits.write_timeout, stall: None, linger: None }
    }

    /// Who is at the other end.
    pub(crate) fn client(&self) -> Client {
        Client(self.to.clone())
    }

    fn stream(&self) -> &TcpStream {
        self.from.as_ref()
    }

    /// Writes as soon as something can be written, with an end to the waiting.
    fn poll_write_by(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let writable = self.stream().poll_write_ready(cx);
            ready!(self.patient(cx, writable))?;
            match write(self.stream()) {
                // It was not, after all: now the runtime knows, and will say when it is.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    /// Passes a result of writing on, with an end to the waiting.
    fn patient<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let timeout = self.write_timeout;
        let stall = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        stall.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for PatientStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.from).poll_read(cx, buffer)
    }
}

impl AsyncWrite for PatientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_by(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_by(cx, |stream| stream.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What is written is the kernel's.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            SockRef::from(self.stream()).shutdown(Shutdown::Write)?;
        }
        let this = &mut *self;
        let linger = this.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        while linger.as_mut().poll(cx).is_pending() {
            let mut scrap = [0; 8 << 10];
            let mut scrap = ReadBuf::new(&mut scrap);
            match Pin::new(&mut this.from).poll_read(cx, &mut scrap) {
                Poll::Ready(Ok(())) if !scrap.filled().is_empty() => {}
                // It has closed its side, or broken the connection: both are ends.
                Poll::Ready(_) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}
