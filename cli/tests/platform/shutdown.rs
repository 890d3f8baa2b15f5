//! The end: requests under way finish, nobody who was let in is turned away, and it takes no longer than it may.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::Request;
use reqwest::Method;

use crate::harness::{
    PATIENCE, Platform, Wire, body_of, eventually, http1, http2, with_kept_connection, with_new_connections,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_loses_no_request() {
    let mut platform = Platform::start().await;
    platform.deploy("hello").await;
    platform.deploy("sleep").await;
    let address = platform.data_address().to_owned();
    let mut clients = Vec::new();
    for path in ["/hello/", "/hello/", "/sleep/50", "/sleep/300"] {
        clients.push(tokio::spawn(with_new_connections(address.clone(), path)));
        clients.push(tokio::spawn(with_kept_connection(address.clone(), path)));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let ended = platform.terminate().await;
    assert_eq!(ended.code(), Some(0));
    let mut answered = 0;
    for client in clients {
        answered += client.await.unwrap().unwrap_or_else(|lost| panic!("a request was lost: {lost}"));
    }
    assert!(answered > 100, "only {answered} requests were answered");
    assert!(platform.process().log().contains("every request was finished"), "{}", platform.process().log());
}

#[tokio::test]
async fn requests_under_way_finish() {
    let mut platform = Platform::start().await;
    platform.deploy("sleep").await;
    let mut kept = http1(&platform).await;
    let request = Request::get("/sleep/3000").header("host", "any").body(body_of("")).unwrap();
    let over_1 = tokio::spawn(kept.send_request(request));
    let mut connection = http2(&platform).await;
    let request = Request::get("http://any/sleep/3000").body(body_of("")).unwrap();
    let over_2 = tokio::spawn(connection.send_request(request));
    eventually("both to run", Duration::from_secs(2), async || {
        (platform.metrics().await.value("wasmway_instances", &[("engine", "0.2")]) == 2.0).then_some(())
    })
    .await;
    assert_eq!(platform.terminate().await.code(), Some(0));
    for answer in [over_1, over_2] {
        let answer = answer.await.unwrap().unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "slept 3000 ms\n");
    }
}

#[tokio::test]
async fn it_takes_no_longer_than_the_drain_timeout() {
    let mut platform = Platform::builder().arg("--drain-timeout=1s").start().await;
    platform.deploy_with("sleep", "[limits]\ntimeout = \"10m\"\n").await;
    let mut wire = Wire::connect(&platform).await;
    wire.send("GET /sleep/600000 HTTP/1.1\r\nhost: any\r\n\r\n").await;
    // At rest: nobody waits for these.
    let mut resting = Wire::connect(&platform).await;
    resting.send("GET /sleep/0 HTTP/1.1\r\nhost: any\r\n\r\n").await;
    resting.read_to("slept 0 ms\n").await;
    let mut silent = Wire::connect(&platform).await;
    let asked = Instant::now();
    assert_eq!(platform.terminate().await.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(20), "it took {:?}", asked.elapsed());
    assert!(!wire.read_to_end().await.starts_with(b"HTTP/1.1 200"), "it slept for ten minutes");
    assert!(platform.process().log().contains("were cut"), "{}", platform.process().log());
    assert!(resting.read_to_end().await.is_empty());
    assert!(silent.read_to_end().await.is_empty());
}

#[tokio::test]
async fn nobody_waits_for_connections_at_rest() {
    let mut platform = Platform::start().await;
    platform.deploy("hello").await;
    let mut resting = Wire::connect(&platform).await;
    resting.send("GET /hello/ HTTP/1.1\r\nhost: any\r\n\r\n").await;
    resting.read_to("Hello from Wasmway!\n").await;
    let _silent = Wire::connect(&platform).await;
    let logs = platform.api(Method::GET, "/functions/hello/logs?follow=true").head().await.unwrap();
    let asked = Instant::now();
    assert_eq!(platform.terminate().await.code(), Some(0));
    // The drain timeout is 30 s.
    assert!(asked.elapsed() < Duration::from_secs(15), "it took {:?}", asked.elapsed());
    logs.bytes().await.expect("a log that is followed comes to a good end");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_ends_before_requests_do() {
    let mut platform = Platform::start().await;
    platform.deploy("sleep").await;
    platform.control(Method::GET, "/readyz").await.expect(200);
    let sleeping = platform.get("/sleep/3000").head();
    let ready = format!("{}/readyz", platform.process().run().control);
    let unready = Arc::new(AtomicBool::new(false));
    let seen = unready.clone();
    let looking = tokio::spawn(async move {
        while let Ok(answer) = reqwest::get(&ready).await {
            if answer.status() == 503 {
                seen.store(answer.text().await.is_ok_and(|text| text.contains("\"draining\"")), Relaxed);
                break;
            }
        }
    });
    let sleeping = tokio::spawn(sleeping);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(platform.terminate().await.code(), Some(0));
    looking.await.unwrap();
    assert!(unready.load(Relaxed), "it was ready to the end");
    assert_eq!(sleeping.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_service_manager_hears_of_start_life_and_end() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let started = Platform::builder().env("NOTIFY_SOCKET", path.to_str().unwrap()).env("WATCHDOG_USEC", "300000");
    let mut platform = started.start().await;
    let hear = async |what: &str| {
        let mut bytes = [0; 1024];
        loop {
            let read = tokio::time::timeout(PATIENCE, socket.recv(&mut bytes)).await;
            let length = read.unwrap_or_else(|_| panic!("{what} was never said")).unwrap();
            if std::str::from_utf8(&bytes[..length]).unwrap().lines().any(|line| line == what) {
                return;
            }
        }
    };
    hear("READY=1").await;
    hear("WATCHDOG=1").await;
    hear("WATCHDOG=1").await;
    platform.process().ask_to_stop();
    hear("STOPPING=1").await;
    assert_eq!(platform.process_mut().ended().await.code(), Some(0));
}
