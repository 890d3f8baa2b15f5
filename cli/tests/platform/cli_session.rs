//! A developer's session: the real command line against a running platform.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::harness::{Platform, binary, example, guest, importing};

/// The command line of a developer on the same machine.
pub(crate) struct Developer<'a>(pub(crate) &'a Platform);

impl Developer<'_> {
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = binary();
        command.arg("--data-dir").arg(self.0.folder()).args(arguments).current_dir(self.0.scratch());
        command.stdin(Stdio::null());
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Runs a command that must succeed; answers with what it prints.
    pub(crate) async fn does(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) async fn gets(&self, arguments: &[&str]) -> Value {
        let text = self.does(&[arguments, &["-o", "json"]].concat()).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// Runs a command that the platform must refuse; answers with the message.
    pub(crate) async fn is_refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[tokio::test]
async fn from_a_file_to_a_function_and_back() {
    let platform = Platform::start().await;
    let developer = Developer(&platform);
    fs::write(platform.scratch().join("hello.wasm"), guest("hello")).unwrap();
    fs::write(platform.scratch().join("other.wasm"), guest("hello-std")).unwrap();

    let said = developer.does(&["deploy", "hello.wasm"]).await;
    let url = format!("{}/hello/", platform.process().run().data);
    assert_eq!(said, format!("deployed hello v1  {url}\n"));
    let said = developer.does(&["deploy", "hello.wasm"]).await;
    assert!(said.contains("v1") && said.contains("the same content"), "{said}");
    let said = developer.does(&["deploy", "other.wasm", "--name", "hello"]).await;
    assert!(said.starts_with("deployed hello v2  "), "{said}");

    assert_eq!(developer.does(&["invoke", "hello"]).await, "Hello from std\n");
    let with_head = developer.does(&["invoke", "hello", "/x", "-i"]).await;
    assert!(with_head.starts_with("HTTP/1.1 200 OK\n") && with_head.ends_with("\n\nHello from std\n"), "{with_head}");
    platform.invocations("hello", 2).await;
    let log = developer.does(&["logs", "hello"]).await;
    for (level, message) in [("info", "hello stdout"), ("warn", "hello stderr")] {
        let is_it = |line: &str| line.contains(&format!("  {level}   v2  ")) && line.ends_with(message);
        assert!(log.lines().any(is_it), "no {level} in {log}");
    }

    let versions = developer.does(&["versions", "hello"]).await;
    let active: Vec<_> = versions.lines().filter(|line| line.contains("active")).collect();
    assert!(active.len() == 1 && active[0].starts_with("v2"), "{versions}");
    let said = developer.does(&["rollback", "hello"]).await;
    assert!(said.starts_with("rolled back hello to v1  "), "{said}");
    assert_eq!(developer.does(&["invoke", "hello"]).await, "Hello from Wasmway!\n");

    let list = developer.does(&["list"]).await;
    assert!(
        list.lines().any(|line| line.starts_with("hello ") && line.contains("v1") && line.contains(&url)),
        "{list}"
    );
    let shown = developer.does(&["show", "hello"]).await;
    for part in ["hello", "v1", "sha256:", "wasi:http/incoming-handler@0.2.", "memory = 128MiB", &url] {
        assert!(shown.contains(part), "no {part} in {shown}");
    }
    assert_eq!(developer.does(&["delete", "hello", "--yes"]).await, "deleted hello\n");
    assert!(developer.is_refused(&["show", "hello"]).await.contains("unknown-function"));
}

#[tokio::test]
async fn a_project_is_deployed_with_its_manifest() {
    let platform = Platform::start().await;
    let developer = Developer(&platform);
    let project = platform.scratch().join("project");
    fs::create_dir_all(project.join("out")).unwrap();
    fs::write(project.join("out/anything.wasm"), example("hello-rust")).unwrap();
    let manifest = "name = \"greeter\"\n[build]\ncomponent = \"out/anything.wasm\"\n[limits]\ncpu = \"70ms\"\n";
    fs::write(project.join("wasmway.toml"), manifest).unwrap();
    for path in ["project", "project/wasmway.toml"] {
        let deployed = developer.gets(&["deploy", path]).await;
        assert_eq!((&deployed["name"], &deployed["version"]), (&"greeter".into(), &1.into()), "{deployed}");
        assert_eq!(deployed["manifest"]["limits"]["cpu"], "70ms");
    }
    let said = developer.does(&["deploy", "project", "-n", "shop"]).await;
    assert!(said.contains("/greeter.shop/"), "{said}");
    assert!(developer.does(&["invoke", "greeter", "/to/you", "-n", "shop"]).await.contains("GET /to/you"));
}

#[tokio::test]
async fn calls_are_listed_and_a_failed_one_explains_itself() {
    let platform = Platform::start().await;
    platform.deploy("trap").await;
    let developer = Developer(&platform);
    platform.get("/trap/").header("x-request-id", "mine/1").await.expect(502);
    let record = platform.invocations("trap", 1).await.remove(0);
    let list = developer.does(&["invocations", "trap"]).await;
    let line = list.lines().nth(1).unwrap_or_else(|| panic!("no call in {list}"));
    for part in ["mine/1", "v1", "GET /", "502", "trap", "MiB"] {
        assert!(line.contains(part), "no {part} in {line}");
    }
    let shown = developer.does(&["invocations", "trap", "mine/1"]).await;
    for part in ["mine/1", "502", "warm", "unreachable", "fall_through_the_floor"] {
        assert!(shown.contains(part), "no {part} in {shown}");
    }
    assert_eq!(developer.gets(&["invocations", "trap"]).await["invocations"][0], record);
    assert_eq!(developer.gets(&["invocations", "trap", "mine/1"]).await["error"], record["error"]);
    assert!(developer.is_refused(&["invocations", "trap", "other"]).await.contains("unknown-invocation"));
}

#[tokio::test]
async fn json_is_the_apis_own() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    platform.deploy_with("hello", "debug = true\n").await;
    let developer = Developer(&platform);
    let function = platform.function("hello").await;
    assert_eq!(developer.gets(&["show", "hello"]).await, function);
    assert_eq!(developer.gets(&["list"]).await["functions"][0], function);
    let versions = developer.gets(&["versions", "hello"]).await;
    assert_eq!(versions["versions"].as_array().unwrap().len(), 2);
    assert_eq!(developer.gets(&["rollback", "hello", "1"]).await["version"], 1);
    assert_eq!(developer.does(&["delete", "hello", "--yes", "-o", "json"]).await, "");
}

#[tokio::test]
async fn requests_are_made_as_asked() {
    let platform = Platform::start().await;
    platform.deploy("inspect").await;
    platform.deploy("echo").await;
    let developer = Developer(&platform);
    let call = ["invoke", "inspect", "/a?b=c", "-X", "DELETE", "-H", "x-own: yes"];
    let seen: Value = serde_json::from_str(&developer.does(&call).await).unwrap();
    assert_eq!((&seen["method"], &seen["path_with_query"]), (&"DELETE".into(), &"/a?b=c".into()), "{seen}");
    assert!(seen["headers"].as_array().unwrap().contains(&serde_json::json!(["x-own", "yes"])), "{seen}");
    assert_eq!(developer.does(&["invoke", "echo", "-d", "text"]).await, "text");
    fs::write(platform.scratch().join("body"), "from a file").unwrap();
    assert_eq!(developer.does(&["invoke", "echo", "-d", "@body"]).await, "from a file");
}

#[tokio::test]
async fn a_refusal_ends_with_1_and_says_why() {
    let platform = Platform::start().await;
    let developer = Developer(&platform);
    fs::write(platform.scratch().join("text.wasm"), "not a component").unwrap();
    let said = developer.is_refused(&["deploy", "text.wasm"]).await;
    assert!(said.starts_with("error: Not a component: ") && said.contains("(not-a-component"), "{said}");
    fs::write(platform.scratch().join("queue.wasm"), importing("acme:queue/sender@1.0.0")).unwrap();
    let said = developer.is_refused(&["deploy", "queue.wasm"]).await;
    assert!(said.contains("acme:queue/sender@1.0.0") && said.contains("(unknown-import)"), "{said}");
    for arguments in
        [&["rollback", "no"][..], &["versions", "no"], &["logs", "no"], &["delete", "no", "--yes"], &["invoke", "no"]]
    {
        let said = developer.is_refused(arguments).await;
        assert!(said.contains("default/no") && said.contains("unknown-function"), "{arguments:?}: {said}");
    }
    let said = developer.is_refused(&["list", "--token", "wrong"]).await;
    assert!(said.contains("unauthorized") && said.contains("admin.token"), "{said}");
}

#[tokio::test]
async fn logs_are_followed_until_the_platform_ends() {
    let mut platform = Platform::start().await;
    platform.deploy("hello-std").await;
    let mut command = binary();
    command.arg("--data-dir").arg(platform.folder()).args(["logs", "hello-std", "--follow", "-o", "json"]);
    let mut following = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    // Whether it follows already cannot be seen from here; what came before is printed as well.
    platform.get("/hello-std/").header("x-request-id", "one").await.expect(200);
    platform.get("/hello-std/").header("x-request-id", "two").await.expect(200);
    let read = tokio::task::spawn_blocking(move || {
        let read: Vec<_> = lines.by_ref().take(4).map(|line| line.unwrap()).collect();
        (read, lines)
    });
    let (read, rest) = read.await.unwrap();
    let ids: Vec<_> =
        read.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["request_id"].clone()).collect();
    assert_eq!(ids, ["one", "one", "two", "two"]);
    platform.terminate().await;
    let status = tokio::task::spawn_blocking(move || (rest.count(), following.wait().unwrap())).await.unwrap();
    assert_eq!((status.0, status.1.code()), (0, Some(0)));
}

#[tokio::test]
async fn completions_know_the_commands() {
    let platform = Platform::start().await;
    for shell in ["bash", "zsh", "fish"] {
        let script = Developer(&platform).does(&["completions", shell]).await;
        for command in ["deploy", "invoke", "rollback", "logs"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}

#[tokio::test]
async fn an_example_rides_along() {
    let platform = Platform::builder().arg("--example").start().await;
    crate::harness::eventually("the example", crate::harness::PATIENCE, async || {
        let answer = platform.get("/hello/").await;
        (answer.status == 200).then(|| assert!(answer.text().starts_with("Hello from Rust!"), "{answer}"))
    })
    .await;
    let printed = crate::harness::eventually("the way to call it", crate::harness::PATIENCE, async || {
        Some(platform.process().printed()).filter(|printed| printed.lines().count() == 3)
    });
    let printed = printed.await;
    assert!(printed.ends_with(&format!("example       curl {}/hello/\n", platform.process().run().data)), "{printed}");
}

#[tokio::test]
async fn what_a_deploy_would_change_is_shown_and_growth_can_be_refused() {
    let platform = Platform::start().await;
    let folder = platform.scratch().join("shop");
    fs::create_dir(&folder).unwrap();
    let project = |guest: &str, manifest: &str| {
        fs::write(folder.join("shop.wasm"), crate::harness::guest(guest)).unwrap();
        fs::write(folder.join("wasmway.toml"), manifest).unwrap();
    };
    let component = folder.join("shop.wasm").display().to_string();
    let run = |more: &[&str]| platform.wasmway(&[&["deploy", &component], more].concat());
    project("hello", "[limits]\nmemory = \"64MiB\"");
    let (done, said) = run(&["--plan"]);
    assert!(done && said.contains("a new function") && said.contains("limits.memory"), "{said}");
    platform.api(reqwest::Method::GET, "/functions/shop").await.expect(404);
    assert!(run(&["--require-approval", "capabilities"]).0, "less memory and no capability is no growth");

    project("outbound", "[limits]\nmemory = \"256MiB\"\n[outbound]\nallow = [\"https://api.example.com\"]");
    let (done, said) = run(&["--plan"]);
    assert!(done, "{said}");
    for word in [
        "now v1, another component",
        "wasi:http/outgoing-handler@",
        "64MiB",
        "256MiB",
        "https://api.example.com",
        "GROWS",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let (done, said) = run(&["--require-approval", "capabilities"]);
    assert!(!done && said.contains("outgoing-handler") && said.contains("--approve"), "{said}");
    assert_eq!(platform.function("shop").await["version"], 1);
    let (done, said) = run(&["--require-approval", "capabilities", "--approve"]);
    assert!(done && said.contains("deployed shop v2"), "{said}");
    let (done, said) = run(&["--plan"]);
    assert!(done && said.contains("the same component") && said.contains("nothing else would change"), "{said}");
}

#[tokio::test]
async fn a_refusal_at_a_terminal_says_where_there_is_more() {
    let platform = Platform::start().await;
    let developer = Developer(&platform);
    assert!(!developer.is_refused(&["show", "nothing"]).await.contains("hint"), "a program reads this");
    let line = format!("{:?} show nothing --data-dir {:?}", binary().get_program(), platform.folder());
    let mut terminal = std::process::Command::new("script");
    terminal.args(["-q", "-e", "-c", &line, "/dev/null"]).env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || terminal.output().unwrap()).await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("(unknown-function, ") && said.contains("`wasmway explain unknown-function`"), "{said}");
}
