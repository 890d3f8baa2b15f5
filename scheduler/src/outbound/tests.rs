//! Exchanges with servers of the tests' own, by names that resolve as the tests say.

use super::*;
use bytes::Bytes;
use http_body_util::BodyExt;
use std::{
    io,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// No wait of a test takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
const CONTROL: &str = "127.0.0.1:1";

/// A resolver that gives these answers, one after the other, and counts its questions.
fn answers(answers: Vec<Vec<SocketAddr>>) -> (Box<Resolve>, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let (counted, answers) = (asked.clone(), Mutex::new(answers.into_iter()));
    let resolve = move |_, _| {
        counted.fetch_add(1, SeqCst);
        let answer = answers.lock().unwrap().next().ok_or_else(|| io::Error::other("asked too often"));
        Box::pin(std::future::ready(answer)) as futures::future::BoxFuture<'static, _>
    };
    (Box::new(resolve), asked)
}

/// Nobody reads what is said.
struct Unheard;

impl LogSink for Unheard {
    fn line(&self, _: OutputStream, _: &str) {}
}

fn node(resolve: Box<Resolve>) -> Outbound {
    Outbound::with_resolver(CONTROL.parse().unwrap(), resolve).unwrap()
}

fn outbound(node: Outbound, allow_private: bool) -> RequestOutbound {
    let policy = OutboundPolicy::new("default".into(), Box::new(|_, _, _| true), allow_private);
    let meter = Meter::for_test(Duration::from_secs(10));
    RequestOutbound::new(Arc::new(node), Arc::new(policy), meter, CameBy::default(), Arc::new(Unheard))
}

fn to(url: &str, body: impl Into<Bytes>) -> Request<WasiBody> {
    let body = http_body_util::Full::new(body.into()).map_err(Error::from).boxed_unsync();
    Request::post(url).header("host", "name.example").body(body).unwrap()
}

async fn send(outbound: &RequestOutbound, request: Request<WasiBody>) -> Result<String, Error> {
    let (response, _) = outbound.send(request, RequestOptions::default()).await?;
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

/// A server that answers on each connection as often as it is asked, with the number of the connection. After an answer
/// to `/last` it closes the connection, without having said so.
async fn keeper() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 1.. {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            tokio::spawn(async move {
                let mut head = [0; 1024];
                while let Ok(read @ 1..) = stream.read(&mut head).await {
                    // In chunks and by length, by turns: both have an end.
                    let answer = match number % 2 {
                        0 => format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}"),
                        _ => format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{number}\r\n0\r\n\r\n"),
                    };
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    if head[..read].starts_with(b"POST /last ") {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_connection_is_used_again_by_its_function_alone() {
    let address = keeper().await;
    let url = format!("http://{address}/");
    let node = Arc::new(node(answers(vec![]).0));
    let function = || {
        let policy = Arc::new(OutboundPolicy::new("default".into(), Box::new(|_, _, _| true), true));
        let node = node.clone();
        move || {
            let meter = Meter::for_test(Duration::from_secs(10));
            RequestOutbound::new(node.clone(), policy.clone(), meter, CameBy::default(), Arc::new(Unheard))
        }
    };
    let (one, another) = (function(), function());
    for _ in 0..3 {
        assert_eq!(send(&one(), to(&url, "")).await.unwrap(), "1", "whichever request of the function it is");
    }
    assert_eq!(send(&another(), to(&url, "")).await.unwrap(), "2");
    assert_eq!(send(&one(), to(&url, "")).await.unwrap(), "1");
    let at_once = one();
    let (url, other_url) = (to(&url, ""), to(&url, ""));
    let both = tokio::join!(send(&at_once, url), send(&at_once, other_url));
    assert_ne!(both.0.unwrap(), both.1.unwrap(), "two at once have a connection each");
}

#[tokio::test]
async fn a_connection_that_was_closed_or_not_read_to_its_end_is_not_used_again() {
    let address = keeper().await;
    let outbound = outbound(node(answers(vec![]).0), true);
    let url = |path: &str| format!("http://{address}{path}");
    assert_eq!(send(&outbound, to(&url("/last"), "")).await.unwrap(), "1");
    // Whether the end has come by already or comes by while the next request is on its way is a matter of luck: it must
    // have come, or the request may be lost, as with every client.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(send(&outbound, to(&url("/"), "x")).await.unwrap(), "2");
    drop(outbound.send(to(&url("/"), ""), RequestOptions::default()).await.unwrap());
    assert_eq!(send(&outbound, to(&url("/"), "")).await.unwrap(), "3", "its answer was left unread");
}

#[tokio::test]
async fn a_request_does_not_wait_for_the_body_of_an_earlier_one() {
    let address = keeper().await;
    let outbound = outbound(node(answers(vec![]).0), true);
    let url = format!("http://{address}/");
    let endless = futures::stream::once(async { Ok(http_body::Frame::data(Bytes::from_static(b"x"))) });
    let endless = futures::StreamExt::chain(endless, futures::stream::pending());
    let body = http_body_util::StreamBody::new(endless).boxed_unsync();
    let request = Request::post(&url).header("host", "name.example").body(body).unwrap();
    assert_eq!(send(&outbound, request).await.unwrap(), "1", "the server answers before it has read the body");
    let next = tokio::time::timeout(PATIENCE, send(&outbound, to(&url, ""))).await;
    assert_eq!(next.expect("another connection is opened").unwrap(), "2");
}

#[tokio::test]
async fn a_connection_rests_for_a_bounded_time() {
    let address = keeper().await;
    let node = Arc::new(node(answers(vec![]).0));
    let policy = Arc::new(OutboundPolicy::new("default".into(), Box::new(|_, _, _| true), true));
    let meter = Meter::for_test(Duration::from_secs(10));
    let outbound = RequestOutbound::new(node.clone(), policy, meter, CameBy::default(), Arc::new(Unheard));
    let url = format!("http://{address}/");
    assert_eq!(send(&outbound, to(&url, "")).await.unwrap(), "1");
    assert_eq!(node.kept_connections.available_permits(), KEPT_CONNECTIONS - 1);
    let closed = async {
        while node.kept_connections.available_permits() < KEPT_CONNECTIONS {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.expect("it is closed, though nobody asks");
    assert_eq!(send(&outbound, to(&url, "")).await.unwrap(), "2");
}

/// A server that answers every connection with its name, and counts them.
async fn server(ip: &str, port: u16, name: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((ip, port)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, SeqCst);
            tokio::spawn(async move {
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await;
                let answer =
                    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{name}", name.len());
                let _ = stream.write_all(answer.as_bytes()).await;
                // Closed with something unread, it would be a reset that may overtake the answer.
                let _ = stream.shutdown().await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    (address, connections)
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_asked_once() {
    let (first, _) = server("127.0.0.1", 0, "first").await;
    let (second, reached) = server("127.0.0.2", first.port(), "second").await;
    let (resolve, asked) = answers(vec![vec![first], vec![second]]);
    let outbound = outbound(node(resolve), true);
    let url = format!("http://name.example:{}/", first.port());
    assert_eq!(send(&outbound, to(&url, "")).await.unwrap(), "first");
    assert_eq!((asked.load(SeqCst), reached.load(SeqCst)), (1, 0), "what was checked is what was reached");
    assert_eq!(send(&outbound, to(&url, "")).await.unwrap(), "second", "another request asks again");
}

#[tokio::test]
async fn a_public_name_that_leads_to_a_private_address_leads_nowhere() {
    let (address, reached) = server("127.0.0.1", 0, "private").await;
    let metadata = "169.254.169.254:80".parse().unwrap();
    let (resolve, _) = answers(vec![vec![address, metadata], vec![]]);
    let outbound = outbound(node(resolve), false);
    for _ in 0..2 {
        let refused = send(&outbound, to("http://name.example/", "")).await;
        assert!(matches!(refused, Err(Error::DestinationIpProhibited)), "{refused:?}");
    }
    assert_eq!(reached.load(SeqCst), 0);
}

#[tokio::test]
async fn an_exchange_ends_at_its_deadline_wherever_it_stands() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    for url in [format!("https://127.0.0.1:{port}/"), format!("http://127.0.0.1:{port}/")] {
        let mut node = node(answers(vec![]).0);
        node.deadlines.exchange = Duration::from_millis(100);
        let started = Instant::now();
        let ended = tokio::time::timeout(PATIENCE, send(&outbound(node, true), to(&url, ""))).await;
        assert!(matches!(ended, Ok(Err(Error::HttpResponseTimeout))), "{url}: {ended:?}");
        assert!(started.elapsed() >= Duration::from_millis(100));
    }
}

#[tokio::test]
async fn a_guests_timeouts_are_kept_within_bounds() {
    let deadlines = Deadlines::default();
    for (wish, granted) in [
        (None, deadlines.step),
        (Some(Duration::ZERO), Duration::from_millis(1)),
        (Some(Duration::from_nanos(u64::MAX)), deadlines.step),
        (Some(Duration::MAX), deadlines.step),
        (Some(Duration::from_secs(1)), Duration::from_secs(1)),
    ] {
        assert_eq!(deadlines.step(wish), granted, "{wish:?}");
    }
}

#[tokio::test]
async fn the_bodies_of_a_request_are_summed_up_and_cut_at_their_limit() {
    let (address, _) = server("127.0.0.1", 0, "enough").await;
    let mut node = node(answers(vec![]).0);
    node.upload_bytes = 1000;
    let outbound = outbound(node, true);
    let url = format!("http://{address}/");
    assert_eq!(send(&outbound, to(&url, vec![b'x'; 600])).await.unwrap(), "enough");
    assert_eq!(send(&outbound, to(&url, vec![b'x'; 400])).await.unwrap(), "enough");
    let refused = send(&outbound, to(&url, "x")).await;
    assert!(matches!(refused, Err(Error::HttpRequestBodySize(Some(1000)))), "{refused:?}");
    assert_eq!(outbound.meter.receipt().outbound_bytes, 1001);
}

#[tokio::test]
async fn the_work_of_sending_is_charged() {
    let (address, _) = server("127.0.0.1", 0, "done").await;
    let outbound = outbound(node(answers(vec![]).0), true);
    send(&outbound, to(&format!("http://{address}/"), "")).await.unwrap();
    let receipt = outbound.meter.receipt();
    assert!(receipt.cpu > Duration::ZERO, "nothing here is polled as a guest is: {receipt:?}");
}
