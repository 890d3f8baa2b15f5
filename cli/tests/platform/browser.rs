//! The dashboard in a real browser: `cargo xtask browser` runs it, and brings the browser and what drives it.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;

use crate::harness::{Platform, guest};

/// What the function that shows its environment is deployed with.
const MANIFEST: &str = "[env]\nDATABASE_PASSWORD = \"hunter2\"\n[outbound]\nallow = [\"https://api.example.com\"]\n\
                        [[routes]]\nhost = \"shop.example\"\npath = \"/api\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a browser: cargo xtask browser"]
async fn pages_work_in_a_browser() {
    let platform = Arc::new(prepared().await);
    let calling = tokio::spawn(keep_calling(platform.clone()));
    let repository = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut node = Command::new("node");
    node.arg(repository.join("gateway/dashboard/tests/browser.mjs"))
        .env("CONTROL", platform.control_url())
        .env("TOKEN", platform.token())
        .env("GUESTS", repository.join("target/guests"));
    let status: ExitStatus = tokio::task::spawn_blocking(move || node.status().unwrap()).await.unwrap();
    calling.abort();
    assert!(status.success(), "the browser: {status}");
}

/// A platform with functions that do well, fail, print, and have two versions.
async fn prepared() -> Platform {
    let platform = Platform::start().await;
    platform.upload("hello", guest("hello")).await;
    platform.upload("hello", guest("hello-std")).await;
    platform.api(Method::POST, "/functions/hello/rollback").await.expect(200);
    for name in ["trap", "forge-log", "echo"] {
        platform.deploy(name).await;
    }
    platform.deploy_with("inspect", MANIFEST).await;
    platform.upload("cart", guest("hello")).namespace("shop").await;
    platform
}

/// Calls them for ever, some with what would be markup.
async fn keep_calling(platform: Arc<Platform>) {
    loop {
        for path in
            ["/hello/", "/hello/", "/hello/", "/trap/", "/forge-log/", "/inspect/%3Cimg%20src=x%20onerror=alert(1)%3E"]
        {
            // Those that fail are meant to.
            platform.get(path).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
