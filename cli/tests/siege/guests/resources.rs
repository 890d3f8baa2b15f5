//! CPU time and memory: cases 1 to 10.

use super::{arm_with, cpu_ms, fails, memory_mib};
use crate::case::{Answered, By, Case, arm};
use crate::components::{handler, many_memories, module, table_bomb};
use crate::harness::Server;

pub(super) fn cases() -> Vec<Case> {
    let guest = By::Guest;
    vec![
        guest.attacks(1, "a loop without end", |server| Box::pin(endless_loop(server))),
        guest.attacks(2, "recursion without end", |server| Box::pin(recursion(server))),
        guest.attacks(3, "a loop in a start function", |server| Box::pin(start_loop(server))),
        guest.attacks(4, "memory.grow by 4 GiB", |server| Box::pin(grow(server))),
        guest.attacks(5, "32 memories, and four up to the limit each", |server| Box::pin(memories(server))),
        guest.attacks(6, "a table that grows without end", |server| Box::pin(table(server))),
        guest.attacks(7, "10,000 core instances", |server| Box::pin(core_instances(server))),
        guest
            .attacks(8, "memory.fill of all memory in a loop", |server| Box::pin(fill(server)))
            .within_mib(64 + 4 * 64),
        guest.attacks(9, "100,000 handles, and full header fields", |server| Box::pin(handles(server))),
        guest.attacks(10, "300 methods of 10 MB", |server| Box::pin(long_methods(server))),
    ]
}

/// The budget, 20% and what a busy machine adds by itself.
fn keeps_to_budget(ended: &serde_json::Value, budget_ms: u64) {
    let used = cpu_ms(ended);
    assert!((budget_ms..budget_ms * 6 / 5 + 100).contains(&used), "{used} ms of CPU, where {budget_ms} are allowed");
}

async fn endless_loop(server: &Server) -> Answered {
    let name = arm(server, "loop", "[limits]\ncpu = \"500ms\"\n").await;
    let one = fails(server, &name, 504, "cpu-limit").await;
    keeps_to_budget(&one, 500);
    // And more of them at once than there are cores.
    let path = format!("/{name}/");
    let calls = (0..8).map(|_| async { server.get(&path).await.expect_problem(504, "cpu-limit", "function") });
    futures::future::join_all(calls).await;
    let all = server.invocations(&name, 9).await;
    all.iter().take(9).for_each(|ended| keeps_to_budget(ended, 500));
    let most = all.iter().map(cpu_ms).max().unwrap_or_default();
    Ok(format!("9 times 504 cpu-limit, after at most {most} of 500 ms of CPU"))
}

async fn recursion(server: &Server) -> Answered {
    let name = arm(server, "recurse", "").await;
    let ended = fails(server, &name, 502, "function-trapped").await;
    let error = ended["error"].as_str().unwrap_or_default();
    assert!(error.contains("call stack exhausted"), "{error}");
    Ok("502 function-trapped: call stack exhausted".to_owned())
}

async fn start_loop(server: &Server) -> Answered {
    let name = arm(server, "start-loop", "[limits]\ncpu = \"300ms\"\n").await;
    let ended = fails(server, &name, 504, "cpu-limit").await;
    keeps_to_budget(&ended, 300);
    Ok(format!("504 cpu-limit, after {} of 300 ms of CPU", cpu_ms(&ended)))
}

async fn grow(server: &Server) -> Answered {
    let name = arm(server, "grow", "[limits]\nmemory = \"64MiB\"\n").await;
    server.get(&format!("/{name}/")).await.expect(200).expect_text("refused\n");
    Ok("-1, and the function goes on".to_owned())
}

async fn memories(server: &Server) -> Answered {
    let answer = server.upload("siege-32-memories", many_memories(32, 1)).answer().await;
    let detail = answer.expect_problem(422, "limits-refused", "platform");
    assert!(detail.contains("32"), "{detail}");
    // As many as there may be: 512 pages are 32 MiB, of which all of them together have 64.
    let limits = "[limits]\nmemory = \"64MiB\"\n";
    let name = arm_with(server, "four-memories", many_memories(4, 512), limits).await;
    let ended = fails(server, &name, 502, "no-response").await;
    let most = memory_mib(&ended);
    assert!(most <= 64, "{ended}");
    Ok(format!("32 refused at deploy; of 4, each asking for 32 MiB, {most} of 64 MiB granted, then -1"))
}

async fn table(server: &Server) -> Answered {
    let limits = "[limits]\nmemory = \"4MiB\"\ncpu = \"10s\"\n";
    let name = arm_with(server, "table-bomb", table_bomb(i32::MAX), limits).await;
    let ended = fails(server, &name, 502, "no-response").await;
    let used = ended["memory_bytes"].as_u64().unwrap();
    assert!(used <= 4 << 20, "{ended}");
    Ok(format!("-1 after {} KiB of table and memory", used >> 10))
}

async fn core_instances(server: &Server) -> Answered {
    let mut said = Vec::new();
    // More than a component may have at all, and more than one may have here.
    for instances in [10_000, 100] {
        let component = handler(&module(1, |code| _ = code.nop()), instances);
        let answer = server.upload("siege-core-instances", component).answer().await;
        assert_eq!(answer.status.as_u16(), 422, "{instances}: {answer}");
        let problem = answer.json();
        said.push(format!("{instances}: 422 {}", problem["code"].as_str().unwrap()));
    }
    Ok(said.join(", "))
}

async fn fill(server: &Server) -> Answered {
    let name = arm(server, "fill", "[limits]\nmemory = \"64MiB\"\ncpu = \"500ms\"\n").await;
    let path = format!("/{name}/");
    let calls = (0..4).map(|_| async { server.get(&path).await.expect_problem(504, "cpu-limit", "function") });
    futures::future::join_all(calls).await;
    let all = server.invocations(&name, 4).await;
    let most = all.iter().map(cpu_ms).max().unwrap_or_default();
    // The instruction under way is brought to its end.
    assert!(most < 500 + 500, "{most} ms of CPU");
    Ok(format!("4 times 504 cpu-limit, after at most {most} of 500 ms of CPU"))
}

async fn handles(server: &Server) -> Answered {
    let name = arm(server, "handles", "[limits]\ncpu = \"10s\"\n").await;
    fails(server, &name, 502, "host-limit").await;
    let name = arm(server, "full-fields", "[limits]\ncpu = \"30s\"\n").await;
    let ended = fails(server, &name, 502, "host-limit").await;
    Ok(format!("502 host-limit twice: {}", ended["error"].as_str().unwrap()))
}

async fn long_methods(server: &Server) -> Answered {
    let name = arm(server, "long-methods", "[limits]\ncpu = \"30s\"\n").await;
    let ended = fails(server, &name, 502, "host-limit").await;
    Ok(format!("502 host-limit: {}", ended["error"].as_str().unwrap()))
}
