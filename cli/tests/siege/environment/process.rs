//! The machine and the process: cases 68 and 71 to 75.

use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::case::{Answered, By, Case, arm, armed};
use crate::clients::many_connections;
use crate::harness::{PATIENCE, Platform, eventually, with_kept_connection, with_new_connections};

/// A library that puts the wall clock forward by ten years once a file is there, for the process that loads it.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    const char *jump = getenv("CLOCK_JUMP");
    if (clock == CLOCK_REALTIME && jump && access(jump, F_OK) == 0) now->tv_sec += 315360000;
    return result;
}
"#;

/// Builds the library of the clock and has the server load it.
const OTHER_CLOCK: &str = "printf '%s' \"$CLOCK_SOURCE\" | cc -shared -fPIC -O1 -xc - -o \"$DATA.clock.so\" -ldl\n\
    export LD_PRELOAD=\"$DATA.clock.so\" CLOCK_JUMP=\"$DATA.jump\"";
const OTHER_CLOCK_NEEDS: &str = "cc --version >/dev/null 2>&1 && test -e /proc/self/maps";

pub(super) fn cases() -> Vec<Case> {
    let environment = By::Environment;
    vec![
        environment
            .attacks_own(68, "a clock that jumps by ten years", &[], |platform| Box::pin(clock_jump(platform)))
            .after(OTHER_CLOCK_NEEDS, OTHER_CLOCK)
            .env("CLOCK_SOURCE", CLOCK),
        environment
            .attacks_own(71, "no file descriptor left", &[], |platform| Box::pin(no_descriptors(platform)))
            .after("ulimit -n 96", "ulimit -n 96"),
        environment.attacks_alone(72, "memory that runs short", &["--memory-pressure=1"], |platform| {
            Box::pin(memory_pressure(platform))
        }),
        environment.attacks_alone(73, "SIGTERM under load", &[], |platform| Box::pin(stopped_under_load(platform))),
        environment.elsewhere(74, "two nodes restarted in turn", "cargo xtask fleet a_rolling_restart"),
        environment.attacks_alone(75, "a pool without a free slot", &["--max-instances=4"], |platform| {
            Box::pin(pool_exhausted(platform))
        }),
    ]
}

async fn clock_jump(platform: &Platform) -> Answered {
    let sleep = arm(platform, "sleep", "[limits]\ntimeout = \"3s\"\n").await;
    let jump = platform.folder().with_extension("jump");
    let began = Instant::now();
    let (asleep, too_long, ()) = tokio::join!(
        async { platform.get(&format!("/{sleep}/1500")).await },
        async { platform.get(&format!("/{sleep}/600000")).await },
        async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            std::fs::write(&jump, "").unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    );
    asleep.expect(200).expect_text("slept 1500 ms\n");
    too_long.expect_problem(504, "timeout", "function");
    let took = began.elapsed();
    assert!((Duration::from_secs(3)..PATIENCE / 2).contains(&took), "{took:?}");
    let year = |ended: &serde_json::Value| ended["time"].as_str().unwrap()[..4].parse::<u32>().unwrap();
    platform.get(&format!("/{sleep}/0")).await.expect(200);
    let latest = platform.invocations(&sleep, 3).await;
    assert!(year(&latest[0]) >= year(&latest[2]) + 9, "the clock of the server did not jump: {latest:?}");
    // And back.
    std::fs::remove_file(&jump).unwrap();
    platform.get(&format!("/{sleep}/100")).await.expect(200);
    Ok(format!("a sleep of 1.5 s is 200, a deadline of 3 s holds after {:.1} s", took.as_secs_f64()))
}

async fn no_descriptors(platform: &Platform) -> Answered {
    // The neighbour has the connection that it came with.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let wires = many_connections(platform, 300).await;
    let told = || platform.process().log().matches("no connection can be accepted").count();
    eventually("the descriptors to run out", PATIENCE, async || (told() > 0).then_some(())).await;
    let before = platform.process().cpu();
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The neighbour goes on being served, which is work too.
    let used = platform.process().cpu() - before;
    assert!(used < Duration::from_secs(1), "{used:?} of CPU in two seconds of waiting");
    assert!(told() < 10, "told {} times", told());
    drop(wires);
    platform.get(&format!("/{}/", armed("hello"))).await.expect(200);
    Ok(format!("waiting costs {} ms of CPU in 2 s; served again when some are free", used.as_millis()))
}

async fn memory_pressure(platform: &Platform) -> Answered {
    // Every machine that runs this uses more than a hundredth of its memory.
    let hello = format!("/{}/", armed("hello"));
    let busy = eventually("the pressure to be noticed", PATIENCE, async || {
        let answer = platform.get(&hello).await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    busy.expect_problem(503, "node-busy", "platform");
    assert!(busy.header("retry-after").is_some(), "{busy}");
    Ok("503 node-busy with Retry-After, at a threshold of 1%".to_owned())
}

async fn stopped_under_load(platform: &mut Platform) -> Answered {
    let sleep = arm(platform, "sleep", "").await;
    let address = platform.data_address().to_owned();
    let mut clients = Vec::new();
    let hello: &'static str = "/siege-hello/";
    let short: &'static str = "/siege-sleep/100";
    assert_eq!(sleep, "siege-sleep");
    for path in [hello, hello, short] {
        clients.push(tokio::spawn(with_new_connections(address.clone(), path)));
        clients.push(tokio::spawn(with_kept_connection(address.clone(), path)));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let ended = platform.terminate().await;
    assert_eq!(ended.code(), Some(0));
    let mut answered = 0;
    for client in join_all(clients).await {
        answered += client.unwrap().unwrap_or_else(|lost| panic!("a request was lost: {lost}"));
    }
    assert!(answered > 50, "only {answered} requests were answered");
    Ok(format!("{answered} requests of 6 clients, none lost"))
}

async fn pool_exhausted(platform: &Platform) -> Answered {
    let sleep = arm(platform, "sleep", "").await;
    let path = format!("/{sleep}/1000");
    let calls = join_all((0..4).map(|_| async { platform.get(&path).await.status.as_u16() }));
    let full = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        join_all((0..40).map(|_| async { platform.get(&format!("/{sleep}/1")).await.status.as_u16() })).await
    };
    let (slept, turned_away) = tokio::join!(calls, full);
    let busy = turned_away.iter().filter(|status| **status == 503).count();
    assert!(slept.iter().chain(&turned_away).all(|status| matches!(status, 200 | 503)), "{slept:?} {turned_away:?}");
    assert!(busy > 0, "there was room for all");
    Ok(format!("{busy} of 40 answered 503, the rest 200, none 500"))
}
