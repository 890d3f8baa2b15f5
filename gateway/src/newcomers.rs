//! Closing a listener without losing a connection.
//!
//! A client is connected as soon as the kernel has shaken hands for us; closing the listener resets such
//! connections. So first nobody new may come, then those that are there are accepted, then it is closed.

use std::io;
use tokio::net::TcpListener;

/// Lets no new connection begin. Whoever tries is not answered, tries again after a second, as TCP does, and is
/// refused then, the listener being closed by that time. Handshakes under way come to their end.
#[cfg(target_os = "linux")]
pub(crate) fn hold_off(listener: &TcpListener) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};

    // A filter on the packets of the listener (linux/bpf_common.h): the one that opens a connection, which has of the
    // flags SYN and ACK only SYN, is dropped.
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const FLAGS_OFFSET: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_OFFSET),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

/// There is no such way here: a connection that begins at the very moment of the end is reset.
#[cfg(not(target_os = "linux"))]
pub(crate) fn hold_off(_listener: &TcpListener) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::{net::TcpStream, time::timeout};

    #[tokio::test]
    async fn who_is_there_is_accepted_and_nobody_new_comes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connected = TcpStream::connect(address).await.unwrap();
        hold_off(&listener).unwrap();
        let late = timeout(Duration::from_millis(300), TcpStream::connect(address));
        assert!(late.await.is_err(), "a connection began");
        let (accepted, _) = listener.accept().await.unwrap();
        drop(listener);
        connected.writable().await.unwrap();
        assert_eq!(connected.try_write(b"hello").unwrap(), 5);
        accepted.readable().await.unwrap();
        assert_eq!(accepted.try_read(&mut [0; 5]).unwrap(), 5);
        assert!(TcpStream::connect(address).await.is_err());
    }
}
