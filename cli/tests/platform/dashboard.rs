//! The dashboard over plain HTTP: who gets in, and what pages say. What they do in a browser is in `browser.rs`.

use reqwest::{Method, redirect};
use serde_json::{Value, json};

use crate::harness::{Platform, guest};

/// A browser as far as these tests need one: it keeps to where it is sent, and shows what it is given.
struct Browser {
    http: reqwest::Client,
    control: String,
    /// `NAME=VALUE` of the session.
    cookie: Option<String>,
}

struct Shown {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Shown {
    #[track_caller]
    fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    fn has(&self, part: &str) {
        assert!(self.text.contains(part), "{part:?} is not in\n{}", self.text);
    }

    #[track_caller]
    fn lacks(&self, part: &str) {
        assert!(!self.text.contains(part), "{part:?} is in\n{}", self.text);
    }
}

impl Browser {
    fn new(platform: &Platform) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap();
        Self { http, control: platform.control_url().to_owned(), cookie: None }
    }

    /// One whose user has shown a token.
    async fn of(platform: &Platform, token: &str) -> Self {
        let mut browser = Self::new(platform);
        let answer = browser.log_in(token, &[]).await.expect(303);
        let set = answer.header("set-cookie");
        assert!(set.contains("; HttpOnly; SameSite=Strict") && set.contains("Path=/"), "{set}");
        browser.cookie = Some(set.split(';').next().unwrap().to_owned());
        browser
    }

    async fn log_in(&self, token: &str, headers: &[(&str, &str)]) -> Shown {
        let form = format!("token={token}&next=/functions");
        let own = [("origin", self.control.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        let headers = if headers.is_empty() { &own[..1] } else { headers };
        self.send(Method::POST, "/login", &[headers, &own[1..]].concat(), form).await
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: String) -> Shown {
        let mut request = self.http.request(method, format!("{}{path}", self.control)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Shown { status, headers, text: answer.text().await.unwrap() }
    }

    async fn get(&self, path: &str) -> Shown {
        self.send(Method::GET, path, &[], String::new()).await
    }
}

async fn token(platform: &Platform, new: Value) -> (String, String) {
    let made = platform.api(Method::POST, "/tokens").body(new.to_string()).await.expect(201).json();
    (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_session_begins_with_a_token_and_ends_with_it() {
    let mut platform = Platform::start().await;
    let nobody = Browser::new(&platform);
    let sent = nobody.get("/functions?q=a").await.expect(303);
    assert_eq!(sent.header("location"), "/login?next=%2Ffunctions%3Fq%3Da");
    nobody.get("/login?next=//evil.example").await.expect(200).lacks("evil.example");
    nobody.get("/live/overview").await.expect(401);
    nobody.log_in("wrong", &[]).await.expect(401).has("not a token of this server");

    let (id, secret) = token(&platform, json!({"name": "ann", "role": "developer"})).await;
    let ann = Browser::of(&platform, &secret).await;
    ann.get("/functions").await.expect(200).has("No function is deployed");
    assert!(!ann.cookie.as_ref().unwrap().contains(&secret), "the cookie is not the token");
    platform.terminate().await;
    platform.start_again().await;
    let ann = Browser { control: platform.control_url().to_owned(), ..ann };
    ann.get("/functions").await.expect(200).has("ann");
    let entered =
        Browser { cookie: ann.cookie.as_ref().map(|cookie| cookie.replace(&id, "admin")), ..Browser::new(&platform) };
    entered.get("/functions").await.expect(303);
    platform.api(Method::DELETE, &format!("/tokens/{id}")).await.expect(204);
    ann.get("/functions").await.expect(303);

    let admin = Browser::of(&platform, &platform.token()).await;
    let origin = [("origin", admin.control.as_str())];
    let left = admin.send(Method::POST, "/logout", &origin, String::new()).await.expect(303);
    assert!(
        left.header("set-cookie").starts_with("wasmway_session=; ") && left.header("set-cookie").contains("Max-Age=0")
    );
}

#[tokio::test]
async fn those_who_guess_are_held_up() {
    let platform = Platform::start().await;
    let browser = Browser::new(&platform);
    for _ in 0..20 {
        browser.log_in("guess", &[]).await.expect(401);
    }
    browser.log_in("guess", &[]).await.expect(429).has("too many wrong tokens");
    Browser::of(&platform, &platform.token()).await.get("/").await.expect(200);
}

#[tokio::test]
async fn no_page_of_another_origin_uses_a_session() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    let admin = Browser::of(&platform, &platform.token()).await;
    let rollback = "/api/v1/functions/hello/rollback";
    let functions = platform.data().to_owned();
    for headers in [
        vec![("origin", functions.as_str())],
        vec![("origin", "null")],
        vec![("sec-fetch-site", "same-site")],
        vec![("sec-fetch-site", "cross-site"), ("origin", admin.control.as_str())],
        vec![],
    ] {
        admin.send(Method::POST, rollback, &headers, String::new()).await.expect(403).has("foreign-origin");
        admin.send(Method::POST, "/logout", &headers, String::new()).await.expect(403);
    }
    let foreign = [("sec-fetch-site", "same-site")];
    admin.send(Method::GET, "/api/v1/functions", &foreign, String::new()).await.expect(403);
    admin.log_in(&platform.token(), &[("origin", "http://evil.example")]).await.expect(403);
    // There is nothing to go back to, which only somebody is told who may ask.
    let own = [("origin", admin.control.as_str())];
    admin.send(Method::POST, rollback, &own, String::new()).await.expect(409).has("no-previous-version");
    admin.get("/api/v1/functions").await.expect(200).has("hello");
}

#[tokio::test]
async fn a_function_never_sees_a_session() {
    let platform = Platform::start().await;
    platform.deploy("inspect").await;
    let admin = Browser::of(&platform, &platform.token()).await;
    let cookie = format!("theme=dark; {}; lang=en", admin.cookie.unwrap());
    let seen = platform.get("/inspect/").header("cookie", &cookie).await.expect(200).json();
    let cookies: Vec<_> = seen["headers"].as_array().unwrap().iter().filter(|it| it[0] == "cookie").collect();
    assert_eq!(cookies, [&json!(["cookie", "theme=dark; lang=en"])]);
}

#[tokio::test]
async fn pages_show_what_their_reader_may_see_and_do() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    platform.upload("cart", guest("hello")).namespace("shop").answer().await.expect(201);
    let (_, viewer) = token(&platform, json!({"name": "eyes", "role": "viewer"})).await;
    let viewer = Browser::of(&platform, &viewer).await;
    for path in ["/", "/functions", "/functions/default/hello", "/functions/default/hello/settings", "/nodes"] {
        let page = viewer.get(path).await.expect(200);
        page.lacks("data-api");
        page.lacks("href=\"/deploy");
    }
    for path in ["/tokens", "/audit", "/namespaces", "/deploy"] {
        let page = viewer.get(path).await.expect(403);
        page.has("Forbidden");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    }
    let (_, shop) = token(&platform, json!({"name": "shop", "role": "developer", "namespace": "shop"})).await;
    let shop = Browser::of(&platform, &shop).await;
    let list = shop.get("/functions").await.expect(200);
    list.has("cart");
    list.lacks("hello");
    shop.get("/functions/default/hello").await.expect(404).has("Unknown function");
    shop.get("/live/functions/default/hello").await.expect(404);
    shop.get("/live/functions?k=default/hello&k=shop/cart").await.expect(200).lacks("default/hello");
    shop.get("/functions/shop/cart/settings").await.expect(200).has("data-api");
}

#[tokio::test]
async fn what_strangers_write_is_text() {
    let platform = Platform::start().await;
    const HOSTILE: &str = "<script>alert(1)</script>";
    let manifest = format!("[env]\nX = '''{HOSTILE}\"'''");
    platform.deploy_with("trap", &manifest).await;
    platform.get(&format!("/trap/%3Cscript%3E{}", "'\"><i>")).await.expect(502);
    platform.invocations("trap", 1).await;
    token(&platform, json!({"name": format!("{HOSTILE}\"'"), "role": "viewer"})).await;
    let admin = Browser::of(&platform, &platform.token()).await;
    for path in [
        "/",
        "/functions/default/trap",
        "/functions/default/trap/calls",
        "/functions/default/trap/settings",
        "/tokens",
        "/audit",
        "/functions?q=%3Cscript%3Ealert(1)%3C/script%3E",
        "/deploy?name=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
    ] {
        let page = admin.get(path).await.expect(200);
        page.lacks("<script>");
        page.lacks("<i>");
    }
    admin.get("/tokens").await.has("&#60;script&#62;alert(1)&#60;/script&#62;");
}

#[tokio::test]
async fn pages_load_nothing_from_elsewhere_and_are_shown_nowhere_else() {
    let platform = Platform::start().await;
    let admin = Browser::of(&platform, &platform.token()).await;
    let page = admin.get("/").await.expect(200);
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("cache-control"), "no-store");
    page.lacks("://cdn");
    page.lacks(" style=");
    page.lacks(" onclick=");
    let assets: Vec<_> = page.text.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert!(assets.len() >= 8, "{assets:?}");
    for asset in assets {
        let asset = admin.get(asset).await.expect(200);
        assert_eq!(asset.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(asset.header("x-content-type-options"), "nosniff");
    }
    admin.get("/assets/app.0000000000000000.js").await.expect(404);
    // What is not the dashboard's is as it was.
    platform.control(Method::GET, "/nothing").await.expect_problem(404, "not-found", "platform");
}

#[tokio::test]
async fn in_development_there_is_nothing_to_log_in_to() {
    let platform = Platform::builder().arg("--dev").start().await;
    let browser = Browser::new(&platform);
    let page = browser.get("/").await.expect(200);
    page.has("Deploy your first function");
    page.lacks("Sign out");
    assert_eq!(browser.get("/login").await.expect(303).header("location"), "/");
    browser.send(Method::GET, "/", &[("host", "evil.example")], String::new()).await.expect(403);
}

#[tokio::test]
async fn a_registry_shows_what_it_knows_and_where_the_rest_is() {
    let registry = Platform::builder().role("registry").start().await;
    registry.deploy("hello").await;
    let admin = Browser::of(&registry, &registry.token()).await;
    let overview = admin.get("/").await.expect(200);
    overview.has("functions are called on its gateways");
    overview.lacks("data-chart");
    admin.get("/functions").await.expect(200).has("hello");
    admin.get("/functions/default/hello").await.expect(200).has("Calls are on the gateways");
    admin.get("/functions/default/hello/versions").await.expect(200).has("active");
    admin.get("/nodes").await.expect(200).has("registry: gateways run functions");
}
