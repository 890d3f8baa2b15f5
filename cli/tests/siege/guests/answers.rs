//! What functions answer, print and leave behind: cases 11 to 20, 36 and 37.

use std::time::{Duration, Instant};

use super::{arm_with, fails};
use crate::case::{Answered, By, Case, arm};
use crate::components::ghost;
use crate::harness::{PATIENCE, Platform, Server, Wire, eventually};

pub(super) fn cases() -> Vec<Case> {
    let guest = By::Guest;
    vec![
        guest.attacks(11, "64 KiB of response headers", |server| Box::pin(headers(server))),
        guest.attacks(12, "a body without end", |server| Box::pin(endless_body(server))),
        guest.attacks(13, "a body without end that nobody reads", |server| Box::pin(unread_answers(server))),
        guest.attacks(14, "a request body that it does not read", |server| Box::pin(unread_request(server))),
        guest.attacks(15, "no response", |server| Box::pin(no_response(server))),
        guest.attacks(16, "a response, then a loop", |server| Box::pin(respond_then_spin(server))),
        guest.attacks(17, "a trap in the middle of the body", |server| Box::pin(trap_mid_body(server))),
        guest.attacks(18, "a body that differs from its length", |server| Box::pin(wrong_length(server))),
        guest.attacks(19, "1 GiB of standard output", |server| Box::pin(log_flood(server))),
        guest.attacks(20, "forged lines and colours in the log", |server| Box::pin(forged_log(server))),
        guest.attacks(36, "memory of an earlier tenant", |server| Box::pin(earlier_tenant(server))),
        guest.attacks_own(37, "2,000 traps", &["--log-lines=100"], |platform| Box::pin(trap_storm(platform))),
    ]
}

async fn headers(server: &Server) -> Answered {
    let name = arm(server, "big-headers", "").await;
    fails(server, &name, 502, "function-trapped").await;
    Ok("502 function-trapped".to_owned())
}

/// What comes over the wire until the connection is closed, of a response that must be cut.
async fn cut(server: &Server, name: &str) -> usize {
    let mut wire = Wire::connect(server).await;
    wire.send(format!("GET /{name}/ HTTP/1.1\r\nhost: any\r\nconnection: close\r\n\r\n")).await;
    let read = wire.read_to_end().await;
    assert!(!read.ends_with(b"\r\n0\r\n\r\n"), "{name}: the body comes to a good end");
    read.len()
}

async fn endless_body(server: &Server) -> Answered {
    let limits = "[limits]\nresponse_body = \"32MiB\"\ncpu = \"30s\"\n";
    let name = arm(server, "endless-body", limits).await;
    let bytes = cut(server, &name).await;
    assert!(bytes < 36 << 20, "{bytes} bytes");
    let ended = &server.invocations(&name, 1).await[0];
    assert_eq!(ended["outcome"], "response-too-large", "{ended}");
    Ok(format!("cut after {} of 32 MiB: response-too-large", bytes >> 20))
}

async fn unread_answers(server: &Server) -> Answered {
    let limits = "[limits]\nresponse_body = \"16GiB\"\ncpu = \"30s\"\ntimeout = \"2s\"\n";
    let name = arm(server, "endless-body", limits).await;
    let mut wires = Vec::new();
    for _ in 0..50 {
        let mut wire = Wire::connect(server).await;
        wire.send(format!("GET /{name}/ HTTP/1.1\r\nhost: any\r\n\r\n")).await;
        wires.push(wire);
    }
    // A pool that is empty at once is one in which they have not begun yet.
    tokio::time::sleep(Duration::from_secs(3)).await;
    // The deadline frees the slots, whether the clients read or not. Their end is written down when they are gone.
    server.idle(Duration::from_secs(15)).await;
    drop(wires);
    let timed_out = async || {
        let all = server.invocations(&name, 50).await;
        (all.iter().filter(|ended| ended["outcome"] == "timeout").count() >= 50).then_some(())
    };
    eventually("50 deadlines", PATIENCE, timed_out).await;
    Ok("50 of them held back, and closed by the deadline of 2 s".to_owned())
}

async fn unread_request(server: &Server) -> Answered {
    let name = arm(server, "unread-body", "").await;
    let length = 1_u64 << 29;
    let mut wire = Wire::connect(server).await;
    wire.send(format!("POST /{name}/ HTTP/1.1\r\nhost: any\r\ncontent-length: {length}\r\n\r\n")).await;
    wire.send_what_is_taken(vec![b'x'; 64 << 20]).await;
    let answer = String::from_utf8_lossy(&wire.read_to_end().await).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let ended = &server.invocations(&name, 1).await[0];
    assert_eq!(ended["bytes_in"], 0, "{ended}");
    Ok("200, and nothing of the body was taken".to_owned())
}

async fn no_response(server: &Server) -> Answered {
    let name = arm(server, "no-response", "").await;
    fails(server, &name, 502, "no-response").await;
    Ok("502 no-response".to_owned())
}

async fn respond_then_spin(server: &Server) -> Answered {
    let name = arm(server, "respond-then-spin", "[limits]\ncpu = \"300ms\"\n").await;
    server.get(&format!("/{name}/")).await.expect(200).expect_text("answered, and now spinning\n");
    let ended = &server.invocations(&name, 1).await[0];
    assert_eq!(ended["outcome"], "cpu-limit", "{ended}");
    Ok("200 with the whole answer, then ended: cpu-limit".to_owned())
}

async fn trap_mid_body(server: &Server) -> Answered {
    let name = arm(server, "trap-mid-body", "").await;
    cut(server, &name).await;
    let ended = &server.invocations(&name, 1).await[0];
    assert_eq!(ended["outcome"], "trap", "{ended}");
    assert!(server.get(&format!("/{name}/")).attempt().await.is_err(), "a client took it for whole");
    Ok("the body breaks off".to_owned())
}

async fn wrong_length(server: &Server) -> Answered {
    let name = arm(server, "wrong-length", "").await;
    let said = match server.get(&format!("/{name}/")).attempt().await {
        // Nothing was sent yet: the failure can be told.
        Ok(answer) => {
            answer.expect_problem(502, "no-response", "function");
            "502 no-response"
        }
        Err(_) => "the body breaks off",
    };
    Ok(said.to_owned())
}

async fn log_flood(server: &Server) -> Answered {
    let name = arm(server, "log-flood", "[limits]\ncpu = \"2m\"\ntimeout = \"5m\"\n").await;
    let answer = server.get(&format!("/{name}/")).timeout(Duration::from_secs(300)).await.expect(200);
    assert!(answer.text().starts_with("wrote 1073741824"), "{answer}");
    server.invocations(&name, 1).await;
    let kept: usize = server.logs(&name).await.iter().map(|line| line["message"].as_str().unwrap().len()).sum();
    assert!(kept < 64 << 10, "{kept} bytes are kept");
    Ok(format!("200: all of it taken, {} KiB kept", kept >> 10))
}

async fn forged_log(server: &Server) -> Answered {
    let name = arm(server, "forge-log", "").await;
    server.get(&format!("/{name}/")).await.expect(200);
    server.invocations(&name, 1).await;
    let lines = server.logs(&name).await;
    let lines: Vec<_> = lines.iter().filter(|line| line["stream"] == "stdout").collect();
    assert_eq!(lines.len(), 4, "as many as were printed: {lines:?}");
    for line in lines {
        let message = line["message"].as_str().unwrap();
        let forbidden = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}');
        assert!(!message.contains(forbidden), "{message:?} reaches a terminal as it is");
    }
    Ok("4 lines on stdout, control characters escaped".to_owned())
}

async fn earlier_tenant(server: &Server) -> Answered {
    // Two functions of different code take turns, so that each gets memory that the other has left.
    let limits = "[limits]\nmemory = \"32MiB\"\ncpu = \"10s\"\n";
    let first = arm_with(server, "ghost", ghost(), limits).await;
    let second = arm_with(server, "ghost-too", crate::components::padded(&ghost(), 1, 0), limits).await;
    for _ in 0..20 {
        for name in [&first, &second] {
            server.get(&format!("/{name}/")).await.expect_problem(502, "no-response", "function");
        }
    }
    Ok("40 times 16 MiB of zeros".to_owned())
}

async fn trap_storm(platform: &Platform) -> Answered {
    const TRAPS: u64 = 2000;
    let name = arm(platform, "trap", "").await;
    let path = format!("/{name}/");
    let before = platform.process().log().len() as u64;
    let began = Instant::now();
    for _ in 0..TRAPS / 20 {
        let calls = (0..20).map(|_| async { platform.get(&path).await.expect(502) });
        futures::future::join_all(calls).await;
    }
    let took = began.elapsed();
    let lines = platform.logs(&name).await.len();
    assert!(lines <= 100, "{lines} lines of the function's log are kept");
    let logged = platform.process().log().len() as u64 - before;
    // The line that every request has, and the cause of the trap, which is bounded.
    let neighbours = 600 * platform.process().log().matches("siege-hello").count() as u64;
    assert!(logged < TRAPS * (600 + (4 << 10)) + neighbours, "{logged} bytes of the platform's log");
    Ok(format!(
        "{TRAPS} times 502 in {:.1} s; {lines} lines kept, {} bytes of our log each",
        took.as_secs_f64(),
        logged / TRAPS
    ))
}
