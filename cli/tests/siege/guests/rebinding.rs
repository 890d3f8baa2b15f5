//! A name that means another address each time it is asked for: case 24.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::net::UdpSocket;

use super::outbound::{allowing, host};
use crate::case::{Answered, By, CannotRun, Case, arm};
use crate::harness::Platform;

const NAME_SERVER: &str = "127.83.1.1:53";
/// The server asks our name server, and no other.
const OTHER_NAMES: &str = "printf 'nameserver 127.83.1.1\noptions timeout:1 attempts:1\n' > \"$DATA.resolv\"\n\
    exec unshare --user --map-root-user --mount /bin/sh -c \
    'mount --bind \"$DATA.resolv\" /etc/resolv.conf && exec \"$0\" \"$@\"' \"$0\" \"$@\"";
/// Only root gets the port of name servers.
const OTHER_NAMES_NEEDS: &str = "test \"$(id -u)\" = 0 && test -e /etc/resolv.conf && \
    unshare --user --map-root-user --mount mount --bind /etc/hostname /etc/resolv.conf 2>/dev/null";

pub(super) fn cases() -> Vec<Case> {
    let case = By::Guest.attacks_own(24, "DNS rebinding", &[], |platform| Box::pin(rebinding(platform)));
    vec![case.after(OTHER_NAMES_NEEDS, OTHER_NAMES)]
}

/// A public address that is there to swallow what nobody wants (AS112), and a private one.
const PUBLIC: [u8; 4] = [192, 175, 48, 1];
const PRIVATE: [u8; 4] = [127, 0, 0, 1];

/// The answer to a question: for the first IPv4 address that is asked for, and every other one after it, the public
/// one, otherwise the private one. No IPv6 address.
fn answer(question: &[u8], asked: &AtomicU64) -> Vec<u8> {
    const A: [u8; 2] = [0, 1];
    // One question: a header of 12 bytes, the name, two bytes each for its type and class. What follows are options.
    let name = question[12..].iter().position(|byte| *byte == 0).map_or(12, |end| 12 + end + 1);
    let asks_for_a = question[name..name + 2] == A;
    let address = match asks_for_a.then(|| asked.fetch_add(1, Relaxed)) {
        None => return [&question[..2], &[0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0], &question[12..name + 4]].concat(),
        Some(before) if before % 2 == 0 => PUBLIC,
        Some(_) => PRIVATE,
    };
    let head = [&question[..2], &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]].concat();
    // The name by reference, type A, class IN, to be kept for no second, four bytes.
    let record = [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4][..], &address].concat();
    [&head[..], &question[12..name + 4], &record].concat()
}

/// Answers questions; the number is that of IPv4 addresses that were asked for.
async fn name_server() -> std::io::Result<Arc<AtomicU64>> {
    let socket = UdpSocket::bind(NAME_SERVER).await?;
    let asked = Arc::new(AtomicU64::new(0));
    let counted = asked.clone();
    tokio::spawn(async move {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question).await {
            // Whoever asked asks again when it is lost.
            let _ = socket.send_to(&answer(&question[..length], &counted), from).await;
        }
    });
    Ok(asked)
}

async fn rebinding(platform: &Platform) -> Answered {
    let asked = name_server().await.map_err(|error| CannotRun(format!("{NAME_SERVER} cannot be bound: {error}")))?;
    let (origin, reached) = host("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let port = origin.rsplit_once(':').unwrap().1;
    let rebound = format!("http://rebound.example:{port}");
    let name = arm(platform, "outbound", &allowing(&[&rebound])).await;
    let mut said = Vec::new();
    for _ in 0..4 {
        let answer = platform.get(&format!("/{name}/?timeouts=500000000&url={rebound}/")).await;
        assert_eq!(answer.status, 500, "{answer}");
        said.push(answer.text().trim_start_matches("ErrorCode::").trim_end().to_owned());
    }
    assert_eq!(reached.load(Relaxed), 0, "the private address was reached: {said:?}");
    assert_eq!(asked.load(Relaxed), 4, "each request asks once: {said:?}");
    assert!(said[1].contains("DestinationIpProhibited"), "{said:?}");
    Ok(format!("asked for once a request, and that address connected to or denied: {}", said.join(", ")))
}
