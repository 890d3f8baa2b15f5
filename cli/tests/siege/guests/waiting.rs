//! Waiting, and what goes over the border to the host: cases 28 to 34.

use std::time::{Duration, Instant};

use super::{cpu_ms, fails};
use crate::case::{Answered, By, Case, arm};
use crate::harness::{PATIENCE, Platform, Server};

pub(super) fn cases() -> Vec<Case> {
    let guest = By::Guest;
    let private = &["--outbound-allow-private"];
    vec![
        guest.attacks_own(28, "timeouts of 0 and of 2^64 - 1 ns", private, |platform| Box::pin(timeouts(platform))),
        guest.attacks(29, "200 requests that sleep for ever", |server| Box::pin(sleepers(server))).within_mib(64 + 64),
        guest.attacks(30, "polling with a timeout of zero", |server| Box::pin(poll_loop(server))),
        guest.attacks(31, "64 MiB of random bytes", |server| Box::pin(random(server))),
        guest.attacks(32, "CR, LF and NUL in headers", |server| Box::pin(smuggled(server, "value", "name"))),
        guest.attacks(33, "Transfer-Encoding, Host, Connection", |server| Box::pin(smuggled(server, "name", "name"))),
        guest.attacks(34, "an absolute path, an authority that is none", |server| {
            Box::pin(smuggled(server, "path", "authority"))
        }),
    ]
}

async fn timeouts(platform: &Platform) -> Answered {
    let origin = super::outbound::answering().await;
    let name = arm(platform, "outbound", &super::outbound::allowing(&[&origin])).await;
    let mut said = Vec::new();
    for nanos in [0, 1, u64::MAX - 1, u64::MAX] {
        let answer = platform.get(&format!("/{name}/?timeouts={nanos}&url={origin}/")).await;
        let short = nanos < 2 && answer.status == 500 && answer.text().contains("Timeout");
        assert!(answer.status == 202 || short, "{answer}");
        said.push(format!("{nanos} ns: {}", answer.status.as_u16()));
    }
    assert!(!platform.process().log().contains("panicked"), "a panic in the log");
    Ok(said.join("; "))
}

async fn sleepers(server: &Server) -> Answered {
    let name = arm(server, "sleep", "[limits]\ntimeout = \"2s\"\n").await;
    let path = format!("/{name}/600000000");
    let began = Instant::now();
    let calls = (0..200).map(|_| async { server.get(&path).await.expect_problem(504, "timeout", "function") });
    futures::future::join_all(calls).await;
    let took = began.elapsed();
    assert!((Duration::from_secs(2)..PATIENCE / 2).contains(&took), "{took:?}");
    let most = server.invocations(&name, 200).await.iter().map(cpu_ms).max().unwrap_or_default();
    Ok(format!("200 times 504 timeout, all within {:.1} s, at most {most} ms of CPU each", took.as_secs_f64()))
}

async fn poll_loop(server: &Server) -> Answered {
    let name = arm(server, "poll-loop", "[limits]\ncpu = \"300ms\"\ntimeout = \"1m\"\n").await;
    let ended = fails(server, &name, 504, "cpu-limit").await;
    assert!(cpu_ms(&ended) < 300 + 300, "{ended}");
    Ok(format!("504 cpu-limit, after {} of 300 ms of CPU", cpu_ms(&ended)))
}

async fn random(server: &Server) -> Answered {
    let name = arm(server, "random-flood", "[limits]\ncpu = \"10s\"\n").await;
    let ended = fails(server, &name, 502, "function-trapped").await;
    assert!(cpu_ms(&ended) < 200, "it was made: {ended}");
    Ok("502 function-trapped".to_owned())
}

/// What the guest got past the host's checks, of these kinds: nothing.
async fn smuggled(server: &Server, one: &str, other: &str) -> Answered {
    let name = arm(server, "smuggle", "").await;
    let answer = server.get(&format!("/{name}/")).await.expect(200);
    let accepted: Vec<_> = answer.text().lines().skip(1).collect();
    let of_kind = |line: &&&str| line.starts_with(one) || line.starts_with(other);
    assert_eq!(accepted.iter().filter(of_kind).count(), 0, "accepted: {accepted:?}");
    Ok(format!("no {}", if one == other { one.to_owned() } else { format!("{one} and no {other}") } + " is accepted"))
}
