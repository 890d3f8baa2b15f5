//! Functions that attack: cases 1 to 37.

mod answers;
mod outbound;
mod rebinding;
mod resources;
mod waiting;

use serde_json::Value;

use crate::case::{Case, armed};
use crate::harness::Server;

pub(crate) fn cases() -> Vec<Case> {
    [resources::cases(), answers::cases(), outbound::cases(), rebinding::cases(), waiting::cases()]
        .into_iter()
        .flatten()
        .collect()
}

/// Calls a function that was armed, which must fail with this problem; answers with how it ended.
async fn fails(server: &Server, name: &str, status: u16, code: &str) -> Value {
    let answer = server.get(&format!("/{name}/")).await;
    answer.expect_problem(status, code, "function");
    server.invocations(name, 1).await.remove(0)
}

/// Deploys a component of the siege's own making.
async fn arm_with(server: &Server, name: &str, component: Vec<u8>, manifest: &str) -> String {
    let name = armed(name);
    server.upload(&name, component).manifest(manifest).await;
    name
}

/// CPU time of a call, in milliseconds.
fn cpu_ms(ended: &Value) -> u64 {
    ended["cpu_us"].as_u64().unwrap() / 1000
}

fn memory_mib(ended: &Value) -> u64 {
    ended["memory_bytes"].as_u64().unwrap() >> 20
}
