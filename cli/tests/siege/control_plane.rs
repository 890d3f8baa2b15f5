//! Attacks on the control plane: cases 76 to 84.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use reqwest::Method;

use crate::case::{Answered, By, Case, arm, armed};
use crate::harness::{Platform, Server, guest};

pub(crate) fn cases() -> Vec<Case> {
    let control = By::ControlPlane;
    vec![
        control.attacks(76, "no token, and others", |server| Box::pin(no_token(server))),
        control.elsewhere(77, "a token of too small a scope", "cli/tests/platform/access.rs"),
        control.attacks(78, "a function of another namespace", |server| Box::pin(other_namespace(server))),
        control.attacks_own(79, "the token at rest", &[], |platform| Box::pin(token_at_rest(platform))),
        control.attacks_own(80, "the token in logs and addresses", &[], |platform| Box::pin(token_in_logs(platform))),
        control.attacks_own(81, "a page of another site", &["--dev"], |platform| Box::pin(foreign_page(platform))),
        control.attacks(82, "markup in names and logs", |server| Box::pin(markup(server))),
        control.attacks_own(83, "guessing the token", &[], |platform| Box::pin(guessing(platform))),
        control.attacks(84, "3,000 names in the metrics", |server| Box::pin(labels(server))),
    ]
}

async fn no_token(server: &Server) -> Answered {
    let own = server.token();
    let others = [None, Some("Bearer "), Some("Bearer wrong"), Some("Basic YWRtaW46YWRtaW4="), Some("bearer\tx")];
    let almost = format!("Bearer {}", &own[..own.len() - 1]);
    let paths =
        ["/functions", "/functions/siege-hello", "/functions/siege-hello/logs", "/functions/siege-hello/versions"];
    let mut refused = 0;
    for path in paths {
        for authorization in others.into_iter().chain([Some(almost.as_str())]) {
            let call = server.control(Method::GET, &format!("/api/v1{path}"));
            let call = authorization.into_iter().fold(call, |call, value| call.header("authorization", value));
            let answer = call.await;
            answer.expect_problem(401, "unauthorized", "platform");
            assert!(answer.header("www-authenticate").is_some(), "{answer}");
            refused += 1;
        }
    }
    let put = server.control(Method::PUT, "/api/v1/functions/siege-hello").body(guest("echo"));
    put.await.expect_problem(401, "unauthorized", "platform");
    server.control(Method::DELETE, "/api/v1/functions/siege-hello").await.expect(401);
    Ok(format!("{} times 401 unauthorized", refused + 2))
}

async fn other_namespace(server: &Server) -> Answered {
    let name = armed("hello");
    for path in ["", "/versions", "/logs", "/invocations", "/versions/1/component"] {
        let path = format!("/functions/{name}{path}?namespace=siege-nobody");
        let code = if path.contains("component") { "unknown-version" } else { "unknown-function" };
        server.api(Method::GET, &path).await.expect_problem(404, code, "platform");
    }
    let delete = server.api(Method::DELETE, &format!("/functions/{name}?namespace=siege-nobody"));
    delete.await.expect_problem(404, "unknown-function", "platform");
    server.get(&format!("/{name}.siege-nobody/")).await.expect_problem(404, "unknown-function", "platform");
    Ok("404, as for one that does not exist".to_owned())
}

/// The token is in one file that nobody else may read. That comparing takes the same time wherever a guess is wrong
/// is a property of the code (`gateway/src/token.rs`), which no measurement over HTTP could show.
async fn token_at_rest(platform: &Platform) -> Answered {
    let folder = platform.folder();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("admin.token")), 0o600);
    let token = platform.token();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && !path.ends_with("admin.token") {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(token.len()).any(|part| part == token.as_bytes());
            assert!(!found, "{} holds the token", path.display());
        }
    }
    Ok("in one file, of mode 0600 in a folder of mode 0700, and in no other".to_owned())
}

async fn token_in_logs(platform: &Platform) -> Answered {
    let token = platform.token();
    let inspect = arm(platform, "inspect", "").await;
    let bearer = format!("Bearer {token}");
    platform.api(Method::GET, &format!("/functions?token={token}")).await;
    platform.control(Method::GET, &format!("/{token}?token={token}")).header("authorization", &bearer).await;
    platform.get(&format!("/{inspect}/?token={token}")).header("authorization", &bearer).await.expect(200);
    platform.get(&format!("/siege-nobody/?token={token}")).header("authorization", &bearer).await.expect(404);
    platform.invocations(&inspect, 1).await;
    let log = format!("{}{}", platform.process().log(), platform.process().printed());
    assert!(log.contains(&inspect), "there is a log");
    assert!(!log.contains(&token), "the token is in the log");
    Ok("in no line of the log, wherever it was sent".to_owned())
}

async fn foreign_page(platform: &Platform) -> Answered {
    let page = |method, path: &str| {
        platform.control(method, &format!("/api/v1{path}")).header("origin", "https://evil.example")
    };
    page(Method::GET, "/functions").await.expect_problem(403, "foreign-origin", "platform");
    // What a form of another page can send without being asked.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let rollback = page(Method::POST, "/functions/siege-hello/rollback").header("content-type", kind);
        rollback.await.expect_problem(403, "foreign-origin", "platform");
    }
    page(Method::DELETE, "/functions/siege-hello").await.expect_problem(403, "foreign-origin", "platform");
    let put = page(Method::PUT, "/functions/siege-hello").body(guest("echo"));
    put.await.expect_problem(403, "foreign-origin", "platform");
    // And a name of another site that leads here.
    let rebound = platform.control(Method::GET, "/api/v1/functions").header("host", "evil.example");
    rebound.await.expect_problem(403, "foreign-origin", "platform");
    let preflight =
        platform.control(Method::OPTIONS, "/api/v1/functions").header("origin", "https://evil.example").await;
    assert!(preflight.header("access-control-allow-origin").is_none(), "{preflight}");
    Ok("403 foreign-origin, even where no token is asked for".to_owned())
}

async fn markup(server: &Server) -> Answered {
    const SCRIPT: &str = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let plain = |answer: &crate::harness::Answer| {
        let kind = answer.header("content-type").unwrap_or_default();
        assert!(kind.contains("json"), "{answer}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer}");
    };
    plain(&server.get(&format!("/{SCRIPT}/")).await.expect(404));
    plain(&server.control(Method::GET, &format!("/{SCRIPT}")).await.expect(404));
    plain(&server.api(Method::GET, &format!("/functions/{SCRIPT}")).await.expect(400));
    plain(&server.api(Method::GET, &format!("/functions?namespace={SCRIPT}")).await.expect(400));
    let name = arm(server, "forge-log", "").await;
    server.get(&format!("/{name}/")).await.expect(200);
    server.invocations(&name, 1).await;
    plain(&server.api(Method::GET, &format!("/functions/{name}/logs")).await.expect(200));
    let docs = server.control(Method::GET, "/docs/").await.expect(200);
    assert!(docs.header("content-security-policy").is_some(), "/docs without a policy: {:?}", docs.headers);
    Ok("JSON that no browser takes for a page; the one page has a policy".to_owned())
}

async fn guessing(platform: &Platform) -> Answered {
    let guess = async |number: u32| {
        let call = platform.control(Method::GET, "/api/v1/functions");
        call.header("authorization", &format!("Bearer {number:064x}")).await
    };
    for number in 0..2000 {
        let answer = guess(number).await;
        if answer.status == 429 {
            answer.expect_problem(429, "too-many-attempts", "platform");
            assert!(answer.header("retry-after").is_some(), "{answer}");
            // Whoever has the token is not locked out by those who guess.
            platform.api(Method::GET, "/functions").await.expect(200);
            return Ok(format!("429 too-many-attempts after {number} guesses; the right token still works"));
        }
        answer.expect(401);
    }
    panic!("2,000 guesses, and not one was held up");
}

async fn labels(server: &Server) -> Answered {
    let series = async || server.metrics().await.text().lines().filter(|line| !line.starts_with('#')).count();
    let hello = format!("/{}/", armed("hello"));
    server.get(&hello).await.expect(200);
    let before = series().await;
    for batch in 0..60 {
        let calls = (0..50).map(|number| {
            let method = Method::from_bytes(format!("M{batch}X{number}").as_bytes()).unwrap();
            let (unknown, known) = (format!("/nobody-{batch}-{number}/"), format!("{hello}x{batch}/{number}"));
            async move {
                server.get(&unknown).timeout(Duration::from_secs(60)).await.expect(404);
                server.call(method, &known).header("host", &format!("h{number}.example")).await
            }
        });
        futures::future::join_all(calls).await;
    }
    let after = series().await;
    assert!(after <= before + 20, "{before} series have become {after}");
    Ok(format!("6,000 calls of unknown names, methods, hosts and paths: {} series more", after - before))
}
